"""The environment of the official program: whole or not there, and usable in its place. pip takes a wheel made here."""

import subprocess
import zipfile
from pathlib import Path

import pytest
from refusals import refusal

from vccapp.data.atomic import remove_dead
from vccapp.errors import DataError, JobError, ResourceError, SpecError, Stopped
from vccapp.neural.arc_state import install
from vccapp.neural.arc_state.program import ENVIRONMENT, RECORD, find_program
from vccapp.settings import Settings
from vccapp.tasks.install_state import InstallState

FILES = {
    "state/__init__.py": "",
    "state/__main__.py": "import sys\n\ndef main():\n    print('help of', sys.argv[1:])\n",
    "{about}/METADATA": "Metadata-Version: 2.1\nName: arc-state\nVersion: 0.11.1\n",
    "{about}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    "{about}/entry_points.txt": "[console_scripts]\nstate = state.__main__:main\n",
    "{about}/RECORD": "",
}


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "arc_state-0.11.1-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as file:
        for name, text in FILES.items():
            file.writestr(name.format(about="arc_state-0.11.1.dist-info"), text)
    monkeypatch.setattr(install, "packages", lambda: ["--no-index", str(path)])
    monkeypatch.delenv("VCCAPP_STATE", raising=False)
    return path


@pytest.mark.slow
def test_what_is_installed_runs_in_its_place(wheel: Path, settings: Settings) -> None:
    said: list[str] = []
    result = InstallState().run(settings, lambda _, message="": said.append(message))
    program = find_program(settings)
    assert result.versions == program.versions == {"arc-state": "0.11.1"}
    assert program.installed
    assert program.command == settings.state_environment / "bin" / "state"
    ended = subprocess.run([program.command, "tx"], capture_output=True, text=True, check=True)
    assert ended.stdout == "help of ['tx']\n"
    assert any("arc_state" in line or "arc-state" in line for line in said)
    remove_dead(settings.home)
    assert program.command.exists()
    record = settings.state_environment / RECORD
    for text, code in (("{", "record_damaged"), ('{"format": "run"}', "other_format"), ("", "record_damaged")):
        record.write_text(text)
        with refusal(DataError, code):
            find_program(settings)
    program.python.unlink()
    record.write_text(str(ENVIRONMENT.stamp({"versions": {}})).replace("'", '"'))
    with refusal(SpecError, "state_missing"):
        find_program(settings)


@pytest.mark.slow
def test_what_fails_or_is_stopped_leaves_nothing(wheel: Path, settings: Settings) -> None:
    def stop(_: float, message: str = "") -> None:
        if message != "Making an environment":
            raise Stopped

    with pytest.raises(Stopped):
        install.install_program(settings, progress=stop)
    wheel.write_bytes(b"no wheel")
    with refusal(JobError, "state_failed"):
        install.install_program(settings)
    assert not list((settings.home / "environments").iterdir())
    with refusal(SpecError, "state_missing"):
        find_program(settings)


def test_a_full_disk_is_told_before(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(install, "DISK_BYTES", {False: 10**18, True: 10**18})
    with refusal(ResourceError, "disk"):
        InstallState().check(settings)
