"""Shared fixtures: the reference data (skipped, saying so, where it is absent) and a private workspace."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from places import SHARED

from vccapp.settings import Settings


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
