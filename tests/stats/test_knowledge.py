"""What a source has seen: refused where it learnt from what the split holds out, whatever its file is called."""

from pathlib import Path

import anndata as ad
import numpy as np
import pytest
from refusals import refusal
from toy import make_counts

from vccapp.data.reading.opening import open_dataset
from vccapp.data.splits.split import Split, split_from_lists
from vccapp.errors import SpecError
from vccapp.stats.building.build import build_index
from vccapp.stats.index import Index, load_index
from vccapp.stats.knowledge import Knowledge, find_same_cells, refuse_leaks

LABELS = [f"GENE{i}" for i in range(6)]
TRAIN, VAL, TEST = LABELS[:3], LABELS[3:4], LABELS[4:]


def write_index(data: ad.AnnData, folder: Path, name: str) -> Index:
    data.write_h5ad(folder / f"{name}.h5ad")
    dataset = open_dataset(folder / f"{name}.h5ad")
    build_index(dataset, folder / "datasets" / dataset.fingerprint / "index")
    return load_index(folder / "datasets" / dataset.fingerprint / "index")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("knowledge")


@pytest.fixture(scope="module")
def data() -> ad.AnnData:
    return make_counts(400, 40, 6, seed=1)


@pytest.fixture(scope="module")
def index(data: ad.AnnData, folder: Path) -> Index:
    return write_index(data, folder, "whole")


@pytest.fixture(scope="module")
def split(index: Index) -> Split:
    return split_from_lists(name="s", dataset=index.meta["fingerprint"], train=TRAIN, val=VAL, test=TEST)


def test_what_was_learnt_may_be_in_train_alone_and_what_was_tuned_by_not_in_test(index: Index, split: Split) -> None:
    own = index.meta["fingerprint"]
    refuse_leaks([Knowledge(source="It", dataset=own, learnt=TRAIN, tuned=VAL)], index, split)
    for known, seen in (
        (Knowledge(source="It", dataset=own, learnt=LABELS), [*VAL, *TEST]),
        (Knowledge(source="It", dataset=own, learnt=TRAIN, tuned=TEST), TEST),
        (Knowledge(source="It", learnt=[TEST[0]]), TEST[:1]),  # of data that nobody names
    ):
        with refusal(SpecError, "source_saw_held_out") as caught:
            refuse_leaks([Knowledge(source="Another"), known], index, split)
        assert caught.value.found == seen
        assert all(label in str(caught.value) for label in seen)


def test_another_context_of_the_same_data_is_another(index: Index) -> None:
    split = split_from_lists(name="s", dataset="d", train=["GENE0@A"], test=["GENE0@B"])
    refuse_leaks([Knowledge(source="It", dataset=index.meta["fingerprint"], learnt=["GENE0@A"])], index, split)


def test_other_cells_of_the_same_perturbations_are_welcome(index: Index, split: Split, folder: Path) -> None:
    other = write_index(make_counts(400, 40, 6, seed=2), folder, "other")
    assert find_same_cells(index, other, LABELS) == []
    refuse_leaks([Knowledge(source="It", dataset=other.meta["fingerprint"], learnt=LABELS)], index, split)
    gone = Knowledge(source="It", dataset="gone", learnt=LABELS)
    refuse_leaks([gone], index, split)


@pytest.mark.parametrize("change", ["half the cells", "fewer genes", "among others", "renamed genes"])
def test_the_same_cells_are_known_in_another_file(
    change: str, data: ad.AnnData, index: Index, split: Split, folder: Path
) -> None:
    expected = TEST
    if change == "half the cells":
        twin = data[np.arange(len(data)) % 2 == 0].copy()
    elif change == "fewer genes":
        twin = data[:, 5:].copy()
    elif change == "among others":
        twin = ad.concat([make_counts(300, 40, 6, seed=3), data])
        twin.obs_names_make_unique()
    else:
        twin = data.copy()
        twin.var_names = [f"OTHER{i}" for i in range(twin.n_vars)]
    other = write_index(twin, folder, change)
    assert other.meta["fingerprint"] != index.meta["fingerprint"]
    assert find_same_cells(index, other, TEST) == expected
    with refusal(SpecError, "source_saw_held_out"):
        refuse_leaks([Knowledge(source="It", dataset=other.meta["fingerprint"], learnt=TEST)], index, split)
