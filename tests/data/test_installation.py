"""What is told of the installation is true: values as jobs have them, their source, no secret, bytes of the disk."""

import os
from pathlib import Path

import pytest
from refusals import refusal

from vccapp.data.installation import LABELS, SECRETS, keep_ray_address, list_packages, list_settings, measure_disk
from vccapp.errors import DataError, SpecError
from vccapp.jobs.keeping.launch import environment, environment_of_job
from vccapp.settings import ServerSettings, Settings, open_settings

SECRET = "hunter2-in-a-url"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An environment that names a workspace and nothing else."""
    for name in [name for name in os.environ if name.upper().startswith("VCCAPP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("VCCAPP_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("VCCAPP_CHECKPOINTS", str(tmp_path / "runs"))
    return tmp_path / "home"


def told() -> dict[str, tuple[str, str]]:
    return {row.name: (row.value, row.source) for row in list_settings(open_settings())}


def test_every_setting_is_told_with_its_source(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert set(told()) == {*Settings.model_fields, *ServerSettings.model_fields} == {*LABELS}
    assert told()["home"] == (str(home), "environment") and told()["max_jobs"] == ("2", "default")
    monkeypatch.setenv("vccapp_max_jobs", "3")  # names are taken in any case
    assert told()["max_jobs"] == ("3", "environment")


def test_no_secret_is_told(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SECRETS:
        monkeypatch.setenv(f"VCCAPP_{name.upper()}", f"https://{SECRET}.example.org")
    monkeypatch.setenv("VCCAPP_RAY_ADDRESS", f"http://me:{SECRET}@head:8265")
    rows = list_settings(open_settings())
    assert SECRET not in repr(rows)
    assert {row.source for row in rows if row.name in SECRETS} == {"environment"}
    assert len({row.value for row in rows if row.name in SECRETS}) == 1


def test_the_kept_address_is_that_of_the_next_job_and_the_variable_wins(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep_ray_address("10.0.0.1:6379", open_settings())
    assert told()["ray_address"] == ("10.0.0.1:6379", "workspace")
    assert environment_of_job(open_settings())["VCCAPP_RAY_ADDRESS"] == "10.0.0.1:6379"
    monkeypatch.setenv("VCCAPP_RAY_ADDRESS", "head:1")
    assert told()["ray_address"] == ("head:1", "environment")
    with refusal(SpecError, "set_by_environment"):
        keep_ray_address("10.0.0.2:6379", open_settings())
    monkeypatch.delenv("VCCAPP_RAY_ADDRESS")
    keep_ray_address("", open_settings())
    assert told()["ray_address"] == ("auto", "default")


def test_a_job_keeps_the_address_with_which_it_was_started(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keep_ray_address("old:1", open_settings())
    of_job = environment(open_settings())
    keep_ray_address("new:2", open_settings())
    for name, value in of_job.items():
        monkeypatch.setenv(name, value)
    assert open_settings().ray_address == "old:1"


@pytest.mark.parametrize("address", ["head", "ray://head:10001", "head:port", "me:word@head:1", "head:1\n", "a b:1"])
def test_what_is_no_address_is_refused_and_nothing_written(home: Path, address: str) -> None:
    with refusal(SpecError, "bad_ray_address"):
        keep_ray_address(address, open_settings())
    assert not open_settings().kept.exists()


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("{", "record_damaged"),
        ('{"format": "settings", "version": 1, "ray_address": "not an address"}', "record_damaged"),
        ('{"format": "run", "version": 1}', "other_format"),
        ('{"format": "settings", "version": 99}', "newer_format"),
    ],
)
def test_a_file_that_cannot_be_read_is_told_and_not_passed_over(home: Path, text: str, code: str) -> None:
    """With another address than the one that was chosen, a job would go elsewhere."""
    home.mkdir()
    (home / "settings.json").write_text(text)
    with refusal(DataError, code):
        open_settings()


def test_the_disk_is_that_of_the_files_each_counted_once(home: Path) -> None:
    settings = open_settings()
    (settings.datasets / "one").mkdir(parents=True)
    first = settings.datasets / "one" / "values.bin"
    first.write_bytes(b"x" * 3_000_000)
    os.link(first, settings.home / "again.bin")
    (settings.home / "link").symlink_to("/")
    places = {place.label: place for place in measure_disk(settings)}
    assert 3_000_000 <= (places["Workspace"].used or 0) < 3_100_000
    assert 3_000_000 <= (places["Workspace: datasets and indexes"].used or 0) < 3_100_000
    assert places["Runs"].used == 0 and places["Runs"].free is None
    assert places["Data"].used is None and 0 < (places["Data"].free or 0) <= (places["Data"].total or 0)


def test_the_packages_are_those_that_are_imported() -> None:
    import numpy

    assert list_packages()["numpy"] == numpy.__version__
