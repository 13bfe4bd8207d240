"""The prepared workspace that tests of pages open."""

from datetime import UTC, datetime

import pytest
from page_kit import use

from vccapp.data.simulation.demo import write_demo
from vccapp.data.workspace import list_datasets
from vccapp.settings import Settings


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """The demo with its index and one finished run."""
    from vccapp.data.reading.opening import open_dataset
    from vccapp.stats.building.build import build_index
    from vccapp.stats.index import load_index
    from vccapp.training import RunSpec, make_run_id, train
    from vccapp.ui.standard_split import standard_split

    folder = tmp_path_factory.mktemp("pages")
    settings = Settings(home=folder / "workspace", checkpoints=folder / "checkpoints", data_roots=(folder,))
    dataset = open_dataset(write_demo(settings))
    index = settings.datasets / dataset.fingerprint / "index"
    build_index(dataset, index)
    [record] = list_datasets(settings)
    from vccapp.data.splits.split import write_split

    split = standard_split(record, load_index(index))
    write_split(split, settings)
    spec = RunSpec(model="perturbation_mean", dataset=record.fingerprint, split=split.name)
    train(spec, settings, run_id=make_run_id(spec, now=datetime.now(UTC)))
    return settings


@pytest.fixture
def here(workspace: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The prepared workspace as that of the app."""
    return use(workspace, monkeypatch)
