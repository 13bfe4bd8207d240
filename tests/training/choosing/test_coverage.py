"""Coverage is what counting by hand gives; the list holds what there is and nothing that is no file of vectors."""

from pathlib import Path

import numpy as np
import pytest
from toy import make_counts
from toy_index import ToyIndex

from vccapp.data.embeddings import open_embedding
from vccapp.data.splits.split import Split, split_from_lists
from vccapp.settings import Settings
from vccapp.training.choosing.coverage import (
    ALWAYS,
    compare_embeddings,
    describe_coverage,
    list_embeddings,
    measure_coverage,
)

LABELS = ["TP53", "MYC", "MYC+STAT1", "NOGENE1", "GAPDH+NOGENE2", "NOGENE3"]


@pytest.fixture
def split() -> Split:
    return split_from_lists(name="s", dataset="0" * 16, train=LABELS[:2], val=LABELS[2:4], test=LABELS[4:])


@pytest.fixture
def index() -> ToyIndex:
    return ToyIndex(LABELS, ["TP53", "MYC", "ACTB"])


def write_vectors(path: Path, genes: list[str]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, genes=np.array(genes), embedding=np.random.default_rng(0).random((len(genes), 4), np.float32))
    return path


def test_distinct_targets_are_counted_part_by_part(index: ToyIndex, split: Split, tmp_path: Path) -> None:
    path = write_vectors(tmp_path / "v.npz", ["MYC", "STAT1", "GAPDH", "OTHER"])
    found = measure_coverage(str(path), index, split)
    assert found.values.tolist() == [
        ["data", 7, 3, "NOGENE1, NOGENE2, NOGENE3, TP53", ""],
        ["train", 2, 1, "TP53", ""],
        ["val", 3, 2, "NOGENE1", ""],
        ["test", 3, 1, "NOGENE2, NOGENE3", ""],
    ]
    assert describe_coverage(found) == "3 of 7 targets have a vector; of the test part 1 of 3."


def test_targets_that_some_joined_embeddings_lack_are_told(index: ToyIndex, split: Split, tmp_path: Path) -> None:
    (first, second) = (
        write_vectors(tmp_path / f"{i}.npz", genes) for i, genes in enumerate((["MYC"], ["MYC", "TP53"]))
    )
    source = f"{first} + {second}"
    found = measure_coverage(source, index, split).set_index("part")
    assert found["known"].tolist() == [2, 2, 1, 0] and found["partly"].tolist() == ["TP53", "TP53", "", ""]
    [row] = compare_embeddings([source], index, split).to_dict("records")
    assert row["partly"] == "TP53" and row["known"] == 2


def test_a_file_that_changes_is_read_again(index: ToyIndex, split: Split, tmp_path: Path) -> None:
    import os

    path = write_vectors(tmp_path / "v.npz", ["MYC", "OTHER"])
    assert measure_coverage(str(path), index, split)["known"][0] == 1
    write_vectors(path, ["MYC", "TP53", "OTHER"])
    os.utime(path, ns=(0, 1))
    assert measure_coverage(str(path), index, split)["known"][0] == 2


def test_the_coverage_of_the_default_is_that_of_its_own_table(index: ToyIndex, split: Split) -> None:
    genes = {gene for label in LABELS for gene in label.split("+")}
    shipped = set(open_embedding("default").genes)
    [known] = measure_coverage("default", index, split).query("part == 'data'")["known"]
    assert known == len(genes & shipped) == 4


def test_one_that_cannot_be_read_is_told_beside_the_others(index: ToyIndex, split: Split, tmp_path: Path) -> None:
    path = write_vectors(tmp_path / "v.npz", ["MYC"])
    frame = compare_embeddings(["default", str(tmp_path / "gone.npz"), str(path)], index, split)
    assert frame["known"].tolist()[0] == 4 and frame["known"].isna().tolist() == [False, True, False]
    assert frame["problem"].ne("").tolist() == [False, True, False]
    assert frame["test_targets"].dropna().tolist() == [3, 3]


def test_files_of_vectors_are_found(tmp_path: Path) -> None:
    root, home = tmp_path / "data", tmp_path / "home"
    settings = Settings(home=home, checkpoints=root / "runs", data_roots=(root,))
    assert list_embeddings(settings) == list(ALWAYS)
    own = write_vectors(home / "embeddings" / "mine.npz", ["MYC"])
    sets = root / "sets" / "pathways.gmt"
    sets.parent.mkdir(parents=True)
    sets.write_text("A\tx\tMYC\tTP53\n")
    (root / "runs").mkdir()
    (root / "runs" / "state.pt").write_bytes(b"x")
    write_vectors(root / "counts.npz", ["MYC"])  # may be anything
    make_counts(n_cells=10, n_perturbations=2).write_h5ad(root / "cells.h5ad")
    assert list_embeddings(settings)[len(ALWAYS) :] == sorted([str(own), str(sets)])
