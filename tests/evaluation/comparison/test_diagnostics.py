"""Each diagnostic finds its fault in a case made to have it, and nothing in one that has not."""

import numpy as np
import pytest
from toy_index import ToyIndex

from vccapp.evaluation.comparison import diagnostics as d

N, GENES = 12, 80
NAMES = [f"GENE{i}" for i in range(GENES)]
LABELS = NAMES[:N]


@pytest.fixture
def control() -> np.ndarray:
    return np.random.default_rng(0).gamma(1.0, 1.0, GENES) + 0.3


@pytest.fixture
def real(control: np.ndarray) -> np.ndarray:
    """Deltas; perturbation k silences gene k."""
    deltas = np.random.default_rng(1).normal(0, 0.2, (N, GENES))
    deltas = np.maximum(deltas, -0.9 * control)
    deltas[range(N), range(N)] = np.log1p(0.1 * np.expm1(control[:N])) - control[:N]
    return deltas


@pytest.fixture
def good(real: np.ndarray) -> np.ndarray:
    """A prediction with some noise."""
    return real + np.random.default_rng(2).normal(0, 0.02, real.shape)


def test_real_cells(real, good) -> None:
    assert d.find_real_cells(real, good).status == "ok"
    assert d.find_real_cells(real, real.copy()).status == "problem"


def test_mode_collapse(real, good, control) -> None:
    assert d.find_mode_collapse(real, good, control).status == "ok"
    same = np.repeat(good.mean(axis=0)[None], N, axis=0)
    assert d.find_mode_collapse(real, same, control).status == "problem"
    nearly = same + 0.1 * (good - same) * np.abs(same).mean() / np.abs(good - same).mean()
    assert d.find_mode_collapse(real, nearly, control).status == "warning"
    nothing = d.find_mode_collapse(real, np.zeros_like(real), control)
    assert nothing.status == "problem" and "control mean" in nothing.message
    assert d.find_mode_collapse(real[:1], good[:1], control).status == "skipped"
    assert d.find_mode_collapse(same, good, control).status == "skipped", "the real perturbations do not differ either"


@pytest.mark.parametrize(("scale", "status"), [(1.0, "ok"), (0.5, "warning"), (0.1, "problem"), (8.0, "problem")])
def test_amplitude(real, good, scale, status) -> None:
    found = d.find_amplitude(real, scale * good)
    best = np.linalg.lstsq((scale * good).reshape(-1, 1), real.ravel(), rcond=None)[0][0]
    assert found.value == pytest.approx(best) and found.status == status
    if status != "ok":
        assert f"{best:.2f}" in found.advice and ("small" if scale < 1 else "large") in found.advice


def test_amplitude_of_a_wrong_direction(real) -> None:
    found = d.find_amplitude(real, np.random.default_rng(3).normal(size=real.shape))
    assert found.status == "warning" and "no factor helps" in found.message
    assert d.find_amplitude(real, np.zeros_like(real)).status == "skipped"


def test_target(real, good, control) -> None:
    choices = {"labels": LABELS, "genes": NAMES}
    assert d.find_target(real, good, control, **choices).status == "ok"
    missed = good.copy()
    missed[range(4), range(4)] = 0
    some = d.find_target(real, missed, control, **choices)
    assert some.status == "warning" and some.value == pytest.approx(4 / 12) and "GENE0, GENE1" in some.advice
    missed[range(N), range(N)] = 0
    assert d.find_target(real, missed, control, **choices).status == "problem"
    assert d.find_target(real, good, control, labels=["ELSEWHERE"] * N, genes=NAMES).status == "skipped"
    pairs = [f"{label}+ELSEWHERE" for label in LABELS]
    assert d.find_target(real, good, control, labels=pairs, genes=NAMES).status == "ok"


@pytest.mark.parametrize(("ratio", "status"), [(1.1, "ok"), (0.7, "warning"), (1.5, "warning"), (0.2, "problem")])
def test_library_size(ratio, status) -> None:
    found = d.find_library_size(ratio * np.full(5, 4000.0), 4000.0)
    assert found.status == status and found.value == pytest.approx(ratio)


@pytest.mark.parametrize(("share", "status"), [(1.0, "ok"), (0.5, "warning"), (0.01, "problem"), (9.0, "warning")])
def test_variance(share, status) -> None:
    real = np.random.default_rng(0).gamma(1.0, 1.0, (3, GENES))
    assert d.find_lost_variance(real, share * real).status == status


@pytest.mark.parametrize(
    ("profiles", "status", "value"),
    [([50, 9], "ok", 0.9), ([50, 4], "warning", 0.4), ([50, 1], "problem", 0.1), ([25, 10], "ok", 0.5)],
)
def test_identical_cells(profiles, status, value) -> None:
    found = d.find_identical_cells(np.array(profiles), np.array([50, 10]), labels=["A", "B"])
    assert (found.status, found.value) == (status, pytest.approx(value))
    assert d.find_identical_cells(np.ones(2, int), np.ones(2, int), labels=["A", "B"]).status == "skipped"


def test_double_log(good, control) -> None:
    assert d.find_double_log(good, control).status == "ok"
    twice = np.log1p(np.maximum(good + control, 0)) - control
    assert d.find_double_log(twice, control).status == "problem"
    assert d.find_double_log(np.repeat(-0.99 * control[None], N, axis=0), control).status == "ok"  # near zero, not log


def test_wrong_control(real, good, control) -> None:
    assert d.find_wrong_control(real, good, control).status == "ok"
    shift = np.random.default_rng(5).normal(0, 1.0, GENES)
    found = d.find_wrong_control(real, good + shift, control)
    assert found.status == "problem"
    own = d.find_wrong_control(real, good + shift, control, file_control=control + shift)
    assert own.status == "problem" and "file's controls have the same shift" in own.advice


def test_all_findings_the_worst_first(real, good, control) -> None:
    index = ToyIndex(LABELS, NAMES, means=np.vstack([control, control + real]))
    found = d.compute_diagnostics(index, LABELS, good)
    assert {finding.status for finding in found} == {"ok"} and len(found) == 7
    worse = d.compute_diagnostics(index, LABELS, 8 * good)
    assert [f.status for f in worse] == sorted((f.status for f in worse), key=lambda status: d.ORDER[status])
    assert worse[0].status == "problem" and "amplitude" in {f.name for f in worse if f.status == "problem"}
