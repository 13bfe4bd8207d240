"""Scores equal scipy's, constants give NaN quietly, and frames hold what they say."""

import warnings

import numpy as np
import pytest
from scipy.stats import pearsonr, spearmanr
from toy_index import ToyIndex

from vccapp.errors import SpecError
from vccapp.evaluation.compare import COLUMNS, TOP, compute_comparison, compute_scores, summarise

GENES = [f"G{i}" for i in range(120)]
LABELS = ["A", "B", "C"]


@pytest.fixture
def index() -> ToyIndex:
    return ToyIndex(LABELS, GENES)


def test_scores_equal_scipy(index: ToyIndex) -> None:
    deltas = index.deltas(["A", "B"]) + np.random.default_rng(1).normal(0, 0.3, (2, 120)).astype(np.float32)
    deltas = deltas.round(1)  # ties for the ranks
    scores = compute_scores(index, deltas, perturbations=["A", "B"])
    assert scores["perturbation"].tolist() == ["A", "B"]
    assert scores["n_degs"].tolist() == [1, 2]
    for i, label in enumerate(["A", "B"]):
        real, row = index.delta(label).astype(float), scores.iloc[i]
        predicted = deltas[i].astype(float)
        top = np.argsort(-np.abs(real))[:TOP]
        assert row["pearson_delta"] == pytest.approx(pearsonr(real, predicted).statistic, abs=1e-12)
        assert row["spearman_delta"] == pytest.approx(spearmanr(real, predicted).statistic, abs=1e-12)
        assert row["pearson_delta_top"] == pytest.approx(pearsonr(real[top], predicted[top]).statistic, abs=1e-12)
        assert row["spearman_delta_top"] == pytest.approx(spearmanr(real[top], predicted[top]).statistic, abs=1e-12)
        assert row["mae"] == pytest.approx(np.abs(real - predicted).mean(), abs=1e-12)
        assert row["mse_delta"] == pytest.approx(((real - predicted) ** 2).mean(), abs=1e-12)


def test_a_perfect_prediction_is_perfect(index: ToyIndex) -> None:
    summary = summarise(compute_scores(index, index.deltas(LABELS), perturbations=LABELS))
    assert summary.n_perturbations == 3
    assert summary.pearson_delta == pytest.approx(1) and summary.spearman_delta_top == pytest.approx(1)
    assert summary.mae == 0 and summary.mse_delta == 0


def test_constants_give_nan_without_a_warning(index: ToyIndex) -> None:
    deltas = np.vstack([np.zeros(120), np.full(120, 0.1), index.delta("C")])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scores = compute_scores(index, deltas, perturbations=LABELS)
        summary = summarise(scores)
        nothing = summarise(scores[:2])
    assert scores["pearson_delta"].isna().tolist() == [True, True, False]
    assert scores["spearman_delta"].isna().tolist() == [True, True, False]
    assert np.isfinite(scores["mae"]).all()
    assert summary.pearson_delta == pytest.approx(1)
    assert nothing.pearson_delta is None and nothing.mae is not None


def test_no_perturbations_give_an_empty_frame(index: ToyIndex) -> None:
    scores = compute_scores(index, np.zeros((0, 120), np.float32), perturbations=[])
    assert len(scores) == 0
    assert summarise(scores).mae is None


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
    with pytest.raises(SpecError, match="no gene NONE"):
        compute_comparison(index, deltas, perturbations=["A"], genes=["NONE"])
    with pytest.raises(SpecError, match=r"shape \(1, 119\)"):
        compute_scores(index, deltas[:, 1:], perturbations=["A"])
