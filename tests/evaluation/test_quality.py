"""Compare's diagnostics and Submit's checks see the same cells: they must say the same of them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from toy_index import ToyIndex

from vccapp.data.h5ad import CsrWriter
from vccapp.data.schema import CONTROL
from vccapp.evaluation import quality as q
from vccapp.evaluation.comparison.diagnostics import CellStatistics, compute_diagnostics
from vccapp.seasons.base import SEASONS
from vccapp.submission.check import run_checks

GENES = [f"G{i}" for i in range(60)]
LABELS = [f"G{i}" for i in range(8)]
CHALLENGE = SEASONS["vcc2025"].model_copy(update={"n_genes": len(GENES)})
SHARED = ["identical_cells", "library_size", "mode_collapse", "target_gene"]
Cells = dict[str, np.ndarray]


@pytest.fixture
def real() -> Cells:
    """Dense log1p cells of each label, of one total; every perturbation silences its gene and moves others."""
    rng = np.random.default_rng(0)
    cells = {}
    for row, label in enumerate([CONTROL, *LABELS]):
        level = np.linspace(2, 40, len(GENES))
        if label != CONTROL:
            level[GENES.index(label)] *= 0.1
            level[12 + 5 * row : 17 + 5 * row] *= 3
        counts = rng.poisson(level, (80, len(GENES)))
        cells[label] = np.log1p(counts * (1000 / counts.sum(axis=1, keepdims=True)))
    return cells


def rescaled(change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Cells], Cells]:
    """All perturbations changed, not the controls."""
    return lambda cells: {label: x if label == CONTROL else change(x) for label, x in cells.items()}


def repeat(dense: np.ndarray, n: int) -> np.ndarray:
    return np.tile(dense[:n], (len(dense) // n, 1))


def scale(dense: np.ndarray, factor: float) -> np.ndarray:
    return np.log1p(factor * np.expm1(dense))


def without_knockdown(cells: Cells, n: int) -> Cells:
    made = {label: dense.copy() for label, dense in cells.items()}
    for label in LABELS[:n]:
        made[label][:, GENES.index(label)] = cells[CONTROL][:, GENES.index(label)]
    return made


def mixed(cells: Cells, own: float) -> Cells:
    """Cells around the mean perturbation, with a share of what is specific to each."""
    means = {label: cells[label].mean(axis=0) for label in LABELS}
    common = np.mean(list(means.values()), axis=0)
    wanted = {label: common + own * (means[label] - common) for label in LABELS}
    noise = 0.01 * np.random.default_rng(1).random((80, len(GENES)))
    return {CONTROL: cells[CONTROL]} | {label: np.maximum(mean + noise, 0) for label, mean in wanted.items()}


FAULTS: dict[str, tuple[str, str, Callable[[Cells], Cells]]] = {
    "none": ("", "ok", lambda cells: cells),
    "logarithm to base 2": ("library_size", "problem", rescaled(lambda x: x / np.log(2))),
    "logarithm to base 10": (
        "library_size",
        "problem",
        rescaled(lambda x: x / np.log(10)),
    ),
    "1.5 times the total": ("library_size", "warning", rescaled(lambda x: scale(x, 1.5))),
    "1.2 times the total": ("library_size", "ok", rescaled(lambda x: scale(x, 1.2))),
    "one of another total": ("library_size", "warning", lambda cells: cells | {"G2": scale(cells["G2"], 3.0)}),
    "the controls again": ("mode_collapse", "problem", lambda cells: dict.fromkeys(cells, cells[CONTROL])),
    "one effect for all": ("mode_collapse", "problem", lambda cells: mixed(cells, 0.0)),
    "hardly specific": ("mode_collapse", "warning", lambda cells: mixed(cells, 0.06)),
    "shrunken": ("mode_collapse", "ok", lambda cells: mixed(cells, 0.5)),
    "no knock-down": ("target_gene", "problem", lambda cells: without_knockdown(cells, 8)),
    "some knock-downs": ("target_gene", "warning", lambda cells: without_knockdown(cells, 2)),
    "one knock-down lacks": ("target_gene", "ok", lambda cells: without_knockdown(cells, 1)),
    "one cell repeated": ("identical_cells", "problem", lambda cells: cells | {"G3": repeat(cells["G3"], 1)}),
    "each cell four times": ("identical_cells", "warning", lambda cells: cells | {"G3": repeat(cells["G3"], 20)}),
    "each cell twice": ("identical_cells", "ok", lambda cells: cells | {"G3": repeat(cells["G3"], 40)}),
}


def diagnose(real: Cells, made: Cells) -> dict[str, str]:
    """Verdicts of Compare on predictions and on their cells."""
    means = {label: dense.mean(axis=0) for label, dense in made.items()}
    index = ToyIndex(LABELS, GENES, means=np.array([real[label].mean(axis=0) for label in [CONTROL, *LABELS]]))
    sparse = {label: csr_matrix(dense.astype(np.float32)) for label, dense in made.items()}
    statistics = CellStatistics(
        labels=tuple(LABELS),
        variance=np.array([made[label].var(axis=0) for label in LABELS]),
        total=np.array([np.median(q.sum_counts(sparse[label])) for label in LABELS]),
        control_total=np.full(len(LABELS), np.median(q.sum_counts(sparse[CONTROL]))),
        n_cells=np.array([len(made[label]) for label in LABELS]),
        n_profiles=np.array([q.count_profiles(q.sign_cells(sparse[label])) for label in LABELS]),
    )
    deltas = np.array([means[label] - means[CONTROL] for label in LABELS])
    return {found.name: found.status for found in compute_diagnostics(index, LABELS, deltas, cells=statistics)}


def check(made: Cells, path: Path) -> dict[str, str]:
    """Verdicts of Submit on the file."""
    with CsrWriter(path, genes=GENES, pert_col="target_gene") as writer:
        for label, dense in made.items():
            writer.append(csr_matrix(dense.astype(np.float32)), label)
    return {result.name: result.status for result in run_checks(path, CHALLENGE, genes=GENES)}


@pytest.mark.parametrize("fault", FAULTS)
def test_both_sides_say_the_same(fault: str, real: Cells, tmp_path: Path) -> None:
    name, verdict, spoil = FAULTS[fault]
    made = spoil(real)
    compared, checked = diagnose(real, made), check(made, tmp_path / "pred.h5ad")
    if name:
        assert compared[name] == verdict
    for each in SHARED:
        assert (compared[each] == "ok") == (checked[each] == "ok"), each
        assert {compared[each], checked[each]} <= {"ok", "warning", "problem"}, "neither side left it out"


def test_limits_point_either_way() -> None:
    up, down = q.Limits(warning=1.5, problem=3.0), q.Limits(warning=0.5, problem=0.1)
    assert [up.judge(value) for value in (1.5, 1.6, 3.0, 3.1)] == ["ok", "warning", "warning", "problem"]
    assert [down.judge(value) for value in (0.5, 0.4, 0.1, 0.0)] == ["ok", "warning", "warning", "problem"]


def test_totals_of_odd_values_stay_finite() -> None:
    cells = csr_matrix(np.array([[np.nan, np.log1p(3.0)], [np.inf, 0.0], [0.0, 0.0], [np.log1p(2.0), np.log1p(5.0)]]))
    totals = q.sum_counts(cells)
    assert totals[[0, 2, 3]] == pytest.approx([3, 0, 7]) and 1e20 < totals[1] < np.inf


def test_cells_are_told_apart_by_value_and_place() -> None:
    cells = csr_matrix(np.array([[1.0, 0, 2], [0, 1, 2], [1, 0, 2], [2, 0, 1]]))
    assert q.count_profiles(q.sign_cells(cells)) == 3


def test_targets_are_those_that_controls_express() -> None:
    control = np.array([0.0, 0.01, 1.0, 2.0])
    found = q.find_targets(["A", "B+C", "ELSEWHERE", "C+D"], list("ABCD"), control)
    assert (found.rows.tolist(), found.columns.tolist()) == ([1, 3, 3], [2, 2, 3])
    left = found.measure_left(np.tile(np.log1p(0.5 * np.expm1(control)), (4, 1)), control)
    assert left == pytest.approx([0.5, 0.5, 0.5])
    assert not len(q.find_targets(["A"], list("ABCD"), control).rows)
