"""Shared fixtures: the reference data (skipped, saying so, where it is absent) and a private workspace."""

import functools
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest
from places import SHARED

from vccapp.settings import Settings

if TYPE_CHECKING:
    from browser import Server

TESTS = Path(__file__).resolve().parent

hypothesis.settings.register_profile("ours", deadline=None)  # how long a test takes says nothing of what is right
hypothesis.settings.load_profile("ours")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What opens pages, starts workers, or runs commands or official tools is slow. Files with slow tests first: they
    would else be left to one process at the end, while the others wait.
    """
    for item in items:
        if item.path.relative_to(TESTS).parts[0] in ("cli", "jobs", "pages") or item.get_closest_marker("official"):
            item.add_marker("slow")
    slow = {item.path for item in items if item.get_closest_marker("slow") or item.get_closest_marker("browser")}
    items.sort(key=lambda item: item.path not in slow)


def pytest_collection_finish() -> None:
    """Every AppTest searches all installed packages for Streamlit components, a tenth of a second: once is enough."""
    if "streamlit" in sys.modules:
        from streamlit.components.v2 import manifest_scanner

        manifest_scanner.scan_component_manifests = functools.cache(manifest_scanner.scan_component_manifests)


@pytest.fixture(autouse=True)
def main_module(monkeypatch: pytest.MonkeyPatch) -> None:
    """An AppTest leaves its page as the main module, which processes that a later test starts would run."""
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real reference data beside the project."""
    if not SHARED.is_dir():
        pytest.skip(f"the reference data folder {SHARED.parent.name}/data is not beside the project")
    return SHARED


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings of a private, empty workspace."""
    return Settings(home=tmp_path / "workspace", checkpoints=tmp_path / "checkpoints", data_roots=(tmp_path,))


@pytest.fixture
def one_thread() -> Iterator[None]:
    """torch on one thread: networks as small as those of tests only lose by more."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def server(settings: Settings) -> Iterator["Server"]:
    """The app on the workspace of a module, which says what is in it."""
    from browser import Server

    server = Server(settings)
    server.start()
    yield server
    server.kill()
