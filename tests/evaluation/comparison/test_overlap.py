"""DEGs found by predictions without cells, and differences of two predictions, counted by hand."""

import numpy as np
import pandas as pd
import pytest
from toy_index import ToyIndex

from vccapp.data.significance import FDR
from vccapp.evaluation.comparison.difference import compare_genes, compare_scores
from vccapp.evaluation.comparison.overlap import compute_overlap
from vccapp.evaluation.comparison.prediction import Prediction
from vccapp.references import CHANCE

GENES = [f"G{i}" for i in range(10)]
LABELS = ["A", "B", "C"]


@pytest.fixture
def index() -> ToyIndex:
    index = ToyIndex(LABELS, GENES)
    fdr = np.ones((4, 10), np.float32)
    fdr[1, [0, 1, 2]] = 0.001  # A has three DEGs
    fdr[2, 5] = FDR / 2  # B has one, C none
    index._arrays["de/fdr"] = fdr
    return index


def of(index: ToyIndex, deltas: np.ndarray, *, name: str = "mine") -> Prediction:
    return Prediction(name, name, "run", tuple(LABELS), deltas.astype(np.float32))


def test_overlap_counts_degs_among_the_strongest_predictions(index: ToyIndex) -> None:
    deltas = np.full((3, 10), 0.01)
    deltas[0, [0, 1, 7]] = [np.sign(index.delta("A")[0]), -np.sign(index.delta("A")[1]), 5]
    deltas[1, 5] = np.sign(index.delta("B")[5])
    frame = compute_overlap(index, [of(index, deltas)], labels=LABELS)
    own = frame[frame["source"] == "mine"].set_index("perturbation")
    assert own["n_degs"].tolist() == [3, 1, 0]
    assert own["shared"].tolist()[:2] == [2, 1]
    assert own["overlap"].tolist()[:2] == pytest.approx([2 / 3, 1])
    assert own["same_direction"].tolist()[:2] == [0.5, 1]
    assert np.isnan(own.loc["C", "overlap"])


def test_references_stand_beside(index: ToyIndex) -> None:
    frame = compute_overlap(index, [of(index, index.deltas(LABELS))], labels=LABELS)
    assert list(dict.fromkeys(frame["source"])) == ["mine", CHANCE]
    chance = frame[frame["source"] == CHANCE].set_index("perturbation")
    assert chance.loc["A", "overlap"] == pytest.approx(3 / 10)


def test_a_constant_prediction_finds_nothing_and_no_zero(index: ToyIndex) -> None:
    frame = compute_overlap(index, [of(index, np.zeros((3, 10)))], labels=LABELS)
    assert frame[frame["source"] == "mine"]["overlap"].isna().all()


def test_gene_differences_are_of_mean_errors(index: ToyIndex) -> None:
    real = index.deltas(LABELS)
    worse = real.copy()
    worse[:, 4] += 0.5
    worse[0, 2] -= 0.3
    frame = compare_genes(index, of(index, real), of(index, worse), labels=LABELS)
    assert frame["gene"].tolist()[:2] == ["G4", "G2"]
    assert frame["difference"].tolist()[:3] == pytest.approx([-0.5, -0.1, 0], abs=1e-6)
    assert len(frame) == 10


def test_score_differences_leave_out_what_one_lacks() -> None:
    first = pd.DataFrame({"perturbation": LABELS, "n_degs": [3, 1, 0], "mae": [0.1, np.nan, 0.3]})
    second = pd.DataFrame({"perturbation": LABELS[::-1], "n_degs": [0, 1, 3], "mae": [0.1, 0.2, 0.4]})
    frame = compare_scores(first, second, metric="mae")
    assert frame["perturbation"].tolist() == ["C", "A"]
    assert frame["difference"].tolist() == pytest.approx([0.2, -0.3])
    assert frame[["first", "second"]].to_numpy().tolist() == [[0.3, 0.1], [0.1, 0.4]]
