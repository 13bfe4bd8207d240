"""A workspace with a built submission, in a folder of the test's own."""

import shutil
from pathlib import Path

import pytest
from desk import make_desk

from vccapp.settings import Settings


@pytest.fixture(scope="session")
def made_desk(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return make_desk(tmp_path_factory.mktemp("desk"))


@pytest.fixture
def desk(made_desk: Settings, tmp_path: Path) -> Settings:
    """A copy; the data stay where they are, but for tests that change them."""
    for name, old in (("home", made_desk.home), ("runs", made_desk.checkpoints)):
        shutil.copytree(old, tmp_path / name)
    return Settings(
        home=tmp_path / "home", checkpoints=tmp_path / "runs", data_roots=made_desk.data_roots, device="cpu"
    )


@pytest.fixture
def own_data(desk: Settings, tmp_path: Path) -> tuple[Settings, Path]:
    """The same with its own copy of the data file, which a test may change."""
    old = desk.data_roots[0] / "toy.h5ad"
    new = tmp_path / "data" / "toy.h5ad"
    new.parent.mkdir()
    shutil.copy2(old, new)
    [record] = desk.datasets.glob("*/dataset.json")
    record.write_text(record.read_text().replace(str(old), str(new)))
    return desk.model_copy(update={"data_roots": (new.parent,)}), new
