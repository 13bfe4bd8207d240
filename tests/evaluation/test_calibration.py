"""Curves of calibrations: they are what the ordinary way scores, they find what is wrong, they do not flatter."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from toy_index import ToyIndex

from vccapp.evaluation.calibration.curves import CHOSEN, DIFFERENCE, KNOBS, PREDICTED, Curves, draw_curves, judge_choice
from vccapp.evaluation.calibration.pool import METRICS, Pool
from vccapp.evaluation.limits import compute_limits
from vccapp.evaluation.profiles import predicted_profiles, real_profiles
from vccapp.evaluation.scoring.score import compute_metrics
from vccapp.models.calibration.basis import measure_basis
from vccapp.models.calibration.prepared import Prepared
from vccapp.models.calibration.setting import Setting
from vccapp.references import FLOORS

N_GENES = 300
GENES = [f"G{i}" for i in range(N_GENES)]
SETTINGS = (
    Setting(),
    Setting(amplitude=0),
    Setting(amplitude=2.3),
    Setting(target_level=0.15),
    Setting(shared=0.5, components=3, shrinkage=0.7, amplitude=1.4, target_level=0.2),
)


def make_index(labels: list[str], *, seed: int = 0) -> tuple[ToyIndex, np.ndarray]:
    """Data whose labels may be in contexts, and their true deltas."""
    rng = np.random.default_rng(seed)
    index = ToyIndex(labels, GENES)
    controls = rng.gamma(1.0, 0.5, (len(index.controls), N_GENES)).repeat(1, axis=0)
    row = index.control_rows(labels)
    effects = rng.normal(0, 0.2, (len(labels), N_GENES)) * (rng.random(N_GENES) < 0.4)
    means = np.maximum(controls[row] + effects, 0)
    made = ToyIndex(labels, GENES, means=np.vstack([controls, means]))
    return made, means - controls[row]


def make_pool(labels: list[str], *, amplitude: float, noise: float, seed: int = 0, parts: int = 2) -> Pool:
    """Predictions of `amplitude` times the truth and noise, by several runs."""
    index, effects = make_index(labels, seed=seed)
    rng = np.random.default_rng(seed + 1)
    deltas = (amplitude * effects + rng.normal(0, noise, effects.shape)).astype(np.float32)
    basis = measure_basis(index, labels, n_components=0)
    made = np.linalg.qr(rng.normal(size=(N_GENES, 4)))[0].T.astype(np.float32)
    basis = replace(basis, components=np.stack([made] * len(index.controls)))
    rows = np.array_split(np.arange(len(labels)), parts)
    prepared = [
        Prepared.of(own, deltas[at], basis, control=index.control_means(own), genes=np.array(GENES))
        for at in rows
        for own in [[labels[i] for i in at]]
    ]
    return Pool(index, tuple(labels), list(zip(rows, prepared, strict=True)))


def references_of(pool: Pool) -> dict[str, pd.DataFrame]:
    floors = dict.fromkeys(FLOORS, np.zeros((len(pool.labels), N_GENES), np.float32))
    real = real_profiles(pool.index, pool.labels)
    tables = {
        name: compute_metrics(real, predicted_profiles(pool.index, deltas, pool.labels), METRICS)
        for name, deltas in floors.items()
    }
    return tables | compute_limits(pool.index, pool.labels, METRICS)


SINGLE = sorted(GENES[:18])
PAIRS = sorted([*GENES[:10], "G20+G21", "G3+UNKNOWN", "UNKNOWN"])
CONTEXTS = sorted(f"{gene}@{context}" for gene in GENES[:6] for context in ("A", "B")) + ["G9@C"]


@pytest.mark.parametrize("labels", [SINGLE, PAIRS, CONTEXTS], ids=["single", "pairs", "contexts"])
@pytest.mark.parametrize("setting", SETTINGS, ids=Setting.describe)
def test_a_setting_scores_what_its_prediction_scores_the_ordinary_way(labels: list[str], setting: Setting) -> None:
    pool = make_pool(labels, amplitude=0.6, noise=0.05)
    predicted = predicted_profiles(pool.index, pool.predict(setting), labels)
    expected = compute_metrics(real_profiles(pool.index, labels), predicted, METRICS)[list(METRICS)]
    np.testing.assert_allclose(pool.score(setting), expected.to_numpy(), rtol=0, atol=1e-9)


def test_equal_distances_and_near_ones_are_ranked_as_exact_sums_rank_them() -> None:
    """Effects that differ in the last digits only: sums in float32 cannot tell them apart."""
    pool = make_pool(SINGLE, amplitude=0.6, noise=0.05)
    means = pool.index.array("mean")
    means[2:] = means[1] + np.random.default_rng(0).normal(0, 1e-6, means[2:].shape)
    near = Pool(pool.index, pool.labels, pool.parts)
    for setting in SETTINGS:
        predicted = predicted_profiles(near.index, near.predict(setting), SINGLE)
        expected = compute_metrics(real_profiles(near.index, SINGLE), predicted, ["pds"])["pds"]
        np.testing.assert_array_equal(near.score(setting)[:, METRICS.index("pds")], expected)


def draw(pool: Pool, setting: Setting = Setting()) -> Curves:  # noqa: B008 - frozen
    return draw_curves(pool, setting, references_of(pool))


def test_a_wrong_amplitude_is_found_again() -> None:
    """Halved effects without noise need a factor of two; the gain is sure and survives cross-fitting."""
    curves = draw(make_pool(SINGLE, amplitude=0.5, noise=0.0))
    choice = curves.choices.set_index(["knob", "metric"]).loc[("amplitude", "mae")]
    assert choice["best_value"] == 2.0 and not choice["at_end"]
    assert choice["cross_fitted"] == pytest.approx(choice["best_gain"]) and choice["best_gain"] > 5 * choice["se"]
    found = draw(make_pool(SINGLE, amplitude=0.5, noise=0.0), Setting(amplitude=2.0)).scores.set_index("source")
    assert found.loc[CHOSEN, "mae"] < found.loc[PREDICTED, "mae"] / 5
    gain = found.loc[PREDICTED, "mae"] - found.loc[CHOSEN, "mae"]
    assert found.loc[DIFFERENCE, "mae"] == pytest.approx(-gain)


def test_curves_pass_through_the_setting_and_the_others_stay_as_it_has_them() -> None:
    pool, setting = make_pool(SINGLE, amplitude=0.6, noise=0.05), Setting(amplitude=1.37, shared=0.3)
    curves = draw(pool, setting)
    means = dict(zip(METRICS, pool.score(setting).mean(axis=0), strict=True))
    at = curves.values.set_index(["knob", "value", "metric"])["mean"]
    for metric, mean in means.items():
        assert at.loc[("amplitude", 1.37, metric)] == at.loc[("shared", 0.3, metric)] == pytest.approx(mean)
        other = pool.score(setting.model_copy(update={"components": 2}))[:, METRICS.index(metric)].mean()
        assert at.loc[("components", 2.0, metric)] == pytest.approx(other)
    assert set(curves.values.loc[curves.values["knob"] == "components", "value"]) <= {0, 1, 2, 3, 4}  # there are 4


def test_what_chance_gives_is_not_promised() -> None:
    """Scores that are noise: the best value along a knob gains on average, the cross-fitted one does not."""
    rng, at = np.random.default_rng(0), np.arange(0, 3.01, 0.25)
    found = [judge_choice(rng.normal(size=(20, len(at))), at, "amplitude", "pds") for _ in range(300)]
    naive, cross_fitted = np.mean([(gain, honest) for _, gain, honest, *_ in found], axis=0)
    assert naive > 0.3 and abs(cross_fitted) < 0.06
    scores = rng.normal(size=(20, len(at))) + 5 * (at == 2)  # a real gain stays, whichever end of the metric is good
    for sign, metric in ((1, "pds"), (-1, "mae")):
        best, gain, honest, se, at_end = judge_choice(sign * scores, at, "amplitude", metric)
        assert (best, at_end) == (2, False) and honest == pytest.approx(gain) and gain > 5 * se


def test_a_perturbation_without_a_score_counts_in_no_choice() -> None:
    rng, at = np.random.default_rng(1), np.array(KNOBS["shared"])
    scores = rng.normal(size=(9, len(at)))
    expected = judge_choice(scores, at, "shared", "pds")
    assert judge_choice(np.vstack([scores, np.full(len(at), np.nan)]), at, "shared", "pds") == expected


def test_a_best_value_at_the_end_is_warned_of() -> None:
    curves = draw(make_pool(SINGLE, amplitude=0.1, noise=0.0))
    assert curves.choices.set_index(["knob", "metric"]).loc[("amplitude", "mae"), "at_end"]
    assert any("Amplitude" in warning for warning in curves.warnings)
    assert not any("Amplitude" in warning for warning in draw(make_pool(SINGLE, amplitude=0.5, noise=0.0)).warnings)
