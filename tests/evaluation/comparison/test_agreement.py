"""Predictions, their agreement with the real cells, and the band of a repeated measurement."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import pearsonr
from toy import make_counts

from vccapp.data.reading.opening import open_dataset
from vccapp.data.schema import CONTROL
from vccapp.data.splits.split import make_split
from vccapp.evaluation.comparison.agreement import SHARE, compare_predictions, compute_band, compute_correlations
from vccapp.evaluation.comparison.prediction import Prediction, fit_baseline
from vccapp.references import FULL_NAMES, PERFECT, REPEAT
from vccapp.stats.building.build import build_index
from vccapp.stats.halves import half_deltas
from vccapp.stats.index import Index, load_index


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Index:
    folder = tmp_path_factory.mktemp("agreement")
    make_counts(n_cells=900, n_perturbations=6).write_h5ad(folder / "toy.h5ad")
    build_index(open_dataset(folder / "toy.h5ad"), folder / "index")
    return load_index(folder / "index")


@pytest.fixture
def labels(index: Index) -> list[str]:
    return index.labels[1:]


def make_prediction(index: Index, labels: list[str], *, seed: int = 0) -> Prediction:
    noise = np.random.default_rng(seed).normal(0, 0.1, (len(labels), len(index.genes)))
    return Prediction("key", "mine", "run", tuple(labels), (index.deltas(labels) + noise).astype(np.float32))


def test_a_prediction_keeps_the_order_asked(index: Index, labels: list[str]) -> None:
    own = make_prediction(index, labels)
    few = own.only([labels[3], labels[0]])
    assert few.labels == (labels[3], labels[0]) and few.name == "mine"
    assert (few.deltas == own.deltas[[3, 0]]).all()


def test_a_baseline_predicts_what_its_model_does(index: Index, labels: list[str]) -> None:
    split = make_split(labels, name="s", dataset="x", ratio=(0.5, 0, 0.5))
    own = fit_baseline(index, split, model="perturbation_mean", labels=split.test)
    assert own.kind == "baseline" and own.name.startswith("baseline: ")
    assert own.deltas[0] == pytest.approx(index.deltas(list(split.train)).mean(axis=0), abs=1e-6)


def test_halves_are_those_of_the_index(index: Index, labels: list[str]) -> None:
    first, second = half_deltas(index, labels[::-1])
    halves = index.array("half_mean")
    control = index.control_mean
    assert first[-1] == pytest.approx(halves[0, 1] - control)
    assert second[0] == pytest.approx(halves[1, -1] - control)


def test_frames_of_several_stand_below_each_other(index: Index, labels: list[str]) -> None:
    both = [make_prediction(index, labels), fit_baseline(index, _split(labels), model="control_mean", labels=labels)]
    frame = compare_predictions(index, both, perturbations=labels[:2], genes=["GENE3", "GENE1"])
    assert frame["source"].tolist() == ["mine"] * 4 + ["baseline: control mean"] * 4
    assert (frame["predicted_delta"][4:] == 0).all()
    assert frame["real_delta"][:4].tolist() == frame["real_delta"][4:].tolist()


def test_correlations_are_means_over_perturbations_with_the_limits_last(index: Index, labels: list[str]) -> None:
    own, flat = make_prediction(index, labels), fit_baseline(index, _split(labels), model="control_mean", labels=labels)
    genes = index.genes["gene"].tolist()[:30]
    found = compute_correlations(index, [own, flat], perturbations=labels, genes=genes).set_index("source")
    real, halves = index.deltas(labels)[:, :30], half_deltas(index, labels)
    expected = np.mean([pearsonr(a, b).statistic for a, b in zip(real, own.deltas[:, :30], strict=True)])
    h = np.array([pearsonr(a[:30], b[:30]).statistic for a, b in zip(*halves, strict=True)])
    assert found.loc["mine", "pearson_delta"] == pytest.approx(expected, abs=1e-5)
    assert np.isnan(found.loc["baseline: control mean", "pearson_delta"])
    assert found.index[-2:].tolist() == [FULL_NAMES[REPEAT], FULL_NAMES[PERFECT]]
    repeat, perfect = found["pearson_delta"].iloc[-2:]
    assert repeat == pytest.approx((2 * h / (1 + h)).mean(), abs=1e-5)
    assert perfect == pytest.approx(np.sqrt(2 * h / (1 + h)).mean(), abs=1e-5)


class Halves:
    """An index of which only the halves are known: measurements of spread `sigma` (whole cells) around truth."""

    def __init__(self, *, sigma: float, n_genes: int = 20_000) -> None:
        rng = np.random.default_rng(0)
        self.perturbations = pd.DataFrame({"perturbation": [CONTROL, "A"], "n_cells": [100, 100]})
        truth = np.stack([np.zeros(n_genes), rng.normal(0, 0.5, n_genes)])
        self.half = (truth + rng.normal(0, sigma * np.sqrt(2), (2, 2, n_genes))).astype(np.float32)

    def array(self, name: str) -> np.ndarray:
        return {"half_mean": self.half}[name]

    def rows(self, labels: list[str]) -> list[int]:
        return [int(label != CONTROL) for label in labels]

    def control_rows(self, labels: list[str]) -> list[int]:
        return [0] * len(labels)

    def control_means(self, labels: list[str]) -> np.ndarray:
        return self.half[:, self.control_rows(labels)].mean(axis=0)


def test_the_band_is_that_of_a_repeated_experiment() -> None:
    sigma = 0.1  # of a pseudobulk of all cells; two experiments differ by sqrt(2) of it, against the same controls
    band = compute_band(Halves(sigma=sigma), ["A"])
    expected = 1.96 * sigma * np.sqrt(2)
    middle = band[band["value"].abs() < 0.5]
    assert middle["spread"].to_numpy() == pytest.approx(expected, rel=0.15)
    assert band["value"].is_monotonic_increasing


def test_the_band_of_pseudobulks_lies_at_their_values() -> None:
    halves = Halves(sigma=0.1)
    halves.half += 3
    band = compute_band(halves, ["A"], quantity="pseudobulk")
    assert band["value"].between(0, 6).all() and abs(band["value"].median() - 3) < 0.5
    middle = band[(band["value"] - 3).abs() < 0.5]
    assert middle["spread"].to_numpy() == pytest.approx(1.96 * 0.1 * np.sqrt(2), rel=0.15)


def test_a_half_without_cells_gives_no_band() -> None:
    halves = Halves(sigma=0.1)
    halves.perturbations.loc[1, "n_cells"] = 1
    assert compute_band(halves, ["A"]).empty
    assert SHARE == 0.95


def test_few_genes_give_a_band_too(tmp_path: Path) -> None:
    band = compute_band(Halves(sigma=0.1, n_genes=5), ["A"])
    assert len(band) >= 2 and (band["spread"] > 0).all()


def _split(labels: list[str]):
    return make_split(labels, name="s", dataset="x", ratio=(0.5, 0, 0.5))
