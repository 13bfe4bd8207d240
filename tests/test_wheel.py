"""A wheel built from a clean clone works in another folder, without the checkout: the app and the path to a package."""

import json
import os
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import SECOND, Server, charts, heading, need_chromium, open_browser
from places import ROOT
from playwright.sync_api import expect

from vccapp.settings import Settings

pytestmark = [pytest.mark.slow, pytest.mark.browser]


def run(*command: object, folder: Path, env: dict[str, str] | None = None) -> str:
    """What a command that must end well prints."""
    ended = subprocess.run([str(word) for word in command], capture_output=True, text=True, cwd=folder, env=env)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment that holds the wheel; the dependencies alone are those of this environment."""
    if not (ROOT / ".git").exists():
        pytest.skip("this copy of the project is no git checkout, so there is nothing to clone")
    folder = tmp_path_factory.mktemp("wheel")
    run("git", "clone", "--quiet", "--depth", 1, ROOT.as_uri(), "clone", folder=folder)
    pip = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check")
    run(*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", "dist", "./clone", folder=folder)
    run(sys.executable, "-m", "venv", "--without-pip", "environment", folder=folder)
    python = folder / "environment" / "bin" / "python"
    [wheel] = (folder / "dist").iterdir()
    run(*pip, "--python", python, "install", "--no-deps", "--no-index", wheel, folder=folder)
    site = run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", folder=folder).strip()
    # A folder named in a .pth file is searched, but its own .pth files, such as that of a checkout, are not read.
    (Path(site) / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return python


@pytest.fixture(scope="module")
def env() -> dict[str, str]:
    """The environment variables without those that lead to a checkout or a workspace."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VCCAPP_"))}


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("elsewhere")


@pytest.fixture(scope="module")
def server(python: Path, env: dict[str, str], elsewhere: Path) -> Iterator[Server]:
    need_chromium()
    settings = Settings(home=elsewhere / "workspace", checkpoints=elsewhere / "checkpoints", data_roots=(elsewhere,))
    command = (str(python.parent / "vccapp"), "app", "--no-browser")
    server = Server(settings, command=command, port_option="--port", folder=elsewhere, env=env)
    server.start()
    yield server
    server.kill()


def test_the_package_is_that_of_the_wheel(python: Path, env: dict[str, str], elsewhere: Path) -> None:
    code = "import vccapp; print(vccapp.__file__)"
    found = Path(run(python, "-c", code, folder=elsewhere, env=env).strip())
    assert found.is_relative_to(python.parents[1])


def test_the_app_opens_the_demo_in_its_theme(server: Server) -> None:
    with open_browser() as page:
        page.goto(server.url)
        expect(heading(page)).to_have_text("Overview", timeout=60 * SECOND)
        expect(charts(page).first).to_be_visible(timeout=300 * SECOND)  # compiled and indexed in the meantime
        colour = page.get_by_test_id("stSidebar").evaluate("element => getComputedStyle(element).backgroundColor")
    theme = (ROOT / ".streamlit" / "config.toml").read_text()
    assert colour == "rgb(245, 247, 249)" and "#f5f7f9" in theme


def test_the_path_to_a_package_by_command(python: Path, env: dict[str, str], elsewhere: Path) -> None:
    def ask(*words: object) -> Any:
        return json.loads(run(python.parent / "vccapp", *words, "--json", folder=elsewhere, env=env))

    dataset = ask("data", "demo")["dataset"]
    ask("split", "make", dataset, "--name", "first")
    assert ask("train", "start", "perturbation_mean", "--split", "first")["state"] == "finished"
    ask("submit", "plan", "--practice", "--name", "mine")
    ask("submit", "build", "mine")
    assert list((elsewhere / "workspace" / "submissions" / "mine").glob("*.vcc"))
