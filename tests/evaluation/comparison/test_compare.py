"""The comparison frame holds what it says, and wrong genes and shapes are refused."""

import numpy as np
import pytest
from refusals import refusal
from toy_index import ToyIndex

from vccapp.errors import SpecError
from vccapp.evaluation.comparison.compare import COLUMNS, compute_comparison

GENES = [f"G{i}" for i in range(120)]
LABELS = ["A", "B", "C"]


@pytest.fixture
def index() -> ToyIndex:
    return ToyIndex(LABELS, GENES)


def test_the_comparison_is_tidy(index: ToyIndex) -> None:
    deltas = np.random.default_rng(2).normal(size=(2, 120)).astype(np.float32)
    frame = compute_comparison(index, deltas, perturbations=["C", "A"], genes=["G7", "G3"])
    assert tuple(frame.columns) == COLUMNS
    assert frame[["perturbation", "gene"]].to_numpy().tolist() == [["C", "G7"], ["C", "G3"], ["A", "G7"], ["A", "G3"]]
    last = frame.iloc[3]
    assert last["control"] == index.control_mean[3]
    assert last["real"] == pytest.approx(index.mean("A")[3])
    assert last["real_delta"] == pytest.approx(index.delta("A")[3])
    assert last["predicted_delta"] == deltas[1, 3]
    assert last["predicted"] == pytest.approx(index.control_mean[3] + deltas[1, 3])
    assert len(compute_comparison(index, deltas, perturbations=["C", "A"])) == 240


def test_wrong_genes_and_shapes_are_refused(index: ToyIndex) -> None:
    deltas = np.zeros((1, 120), np.float32)
    with refusal(SpecError, "unknown_gene"):
        compute_comparison(index, deltas, perturbations=["A"], genes=["NONE"])
    with refusal(SpecError, "delta_shape"):
        compute_comparison(index, deltas[:, 1:], perturbations=["A"])
