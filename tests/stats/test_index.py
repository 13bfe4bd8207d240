"""Arrays and tables of an index that do not fit each other or index.json are refused in a sentence."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from refusals import refusal
from toy import make_counts

from vccapp.data.reading.opening import open_dataset
from vccapp.errors import DataError
from vccapp.stats.building.build import build_index
from vccapp.stats.index import ARRAYS, Index, load_index


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two contexts, so that tables of each are there too."""
    folder = tmp_path_factory.mktemp("index")
    data = make_counts(n_cells=240, n_genes=30)
    data.obs["cell_line"] = np.resize(["A", "B"], 240)
    data.write_h5ad(folder / "cells.h5ad")
    build_index(open_dataset(folder / "cells.h5ad"), folder / "index")
    return folder / "index"


@pytest.fixture
def index(whole: Path, tmp_path: Path) -> Index:
    shutil.copytree(whole, tmp_path / "index")
    return load_index(tmp_path / "index")


def test_all_arrays_have_a_shape(whole: Path) -> None:
    names = {str(path.relative_to(whole).with_suffix("")) for path in whole.rglob("*.npy") if "store" not in path.parts}
    assert names == set(ARRAYS)
    for own in (load_index(whole), load_index(whole).within("B")):
        for name in ARRAYS:
            assert own.array(name).size
        assert len(own.genes) == 30 and len(own.cells) in (120, 240)


@pytest.mark.parametrize("name", ARRAYS)
@pytest.mark.parametrize("way", ["shorter", "longer", "flat", "lower"])
def test_arrays_of_another_shape(name: str, way: str, index: Index) -> None:
    path = index.folder / f"{name}.npy"
    values = np.load(path)
    changes = {
        "shorter": values[..., :-1],
        "longer": np.concatenate([values, values[..., :1]], axis=-1),
        "flat": values[None],
        "lower": values[:-1],
    }
    np.save(path, changes[way])
    for own in (index, index.within("A")):
        with refusal(DataError, "file_damaged") as caught:
            own.array(name)
        assert path.name in str(caught.value)


@pytest.mark.parametrize("name", ["cells", "genes"])
def test_tables_of_another_length(name: str, index: Index) -> None:
    path = index.folder / f"{name}.parquet"
    pd.read_parquet(path).iloc[:-1].to_parquet(path)
    with refusal(DataError, "file_damaged"):
        getattr(index, name)


@pytest.mark.parametrize("field", ["n_cells", "n_genes"])
def test_a_record_that_says_otherwise(field: str, index: Index) -> None:
    path = index.folder / "index.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {field: 7}))
    changed = load_index(index.folder)
    with refusal(DataError, "file_damaged"):
        changed.array("scaling" if field == "n_cells" else "mean")
    with refusal(DataError, "file_damaged"):
        _ = changed.cells if field == "n_cells" else changed.genes
