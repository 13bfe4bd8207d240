"""A small index that was really built."""

import pytest
from toy import make_counts

from vccapp.data.reading.opening import open_dataset
from vccapp.stats.building.build import build_index
from vccapp.stats.index import Index, load_index


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Index:
    folder = tmp_path_factory.mktemp("index")
    make_counts(n_perturbations=6).write_h5ad(folder / "toy.h5ad")
    build_index(open_dataset(folder / "toy.h5ad"), folder / "index")
    return load_index(folder / "index")
