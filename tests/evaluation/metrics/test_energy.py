"""The energy distance is that of a naive loop, in genes and in principal components, drawn cells included."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from scored_pairs import as_logs, make_pair

from vccapp.data.reading.opening import open_dataset
from vccapp.evaluation.metrics.energy import measure_energy
from vccapp.evaluation.scoring.cell_space import CellSpace, place_cells
from vccapp.evaluation.scoring.columns import open_cells
from vccapp.evaluation.scoring.profiles_2025 import profiles_2025
from vccapp.evaluation.scoring.score import compute_metrics
from vccapp.evaluation.scoring.score_files import score_files


def naive(x: np.ndarray, y: np.ndarray) -> float:
    """Each pair in turn; a cell is no pair with itself."""

    def mean(a: np.ndarray, b: np.ndarray, *, same: bool) -> float:
        pairs = [(i, j) for i in range(len(a)) for j in range(len(b)) if not (same and i == j)]
        return float(np.mean([np.sqrt(((a[i] - b[j]) ** 2).sum()) for i, j in pairs]))

    return 2 * mean(x, y, same=False) - mean(x, x, same=True) - mean(y, y, same=True)


@pytest.mark.parametrize("form", [np.asarray, csr_matrix])
def test_it_is_that_of_a_naive_loop(form: type, monkeypatch: pytest.MonkeyPatch) -> None:
    from vccapp.evaluation.metrics import energy

    monkeypatch.setattr(energy, "BLOCK_CELLS", 7)
    rng = np.random.default_rng(0)
    x, y = rng.normal(0, 1, (23, 5)), rng.normal(0.5, 2, (12, 5))
    assert measure_energy(form(x), form(y)) == pytest.approx(naive(x, y), abs=1e-12)
    assert np.isnan(measure_energy(form(x), form(y[:1])))


def test_it_has_no_bias_by_the_number_of_cells() -> None:
    """Of few cells of one distribution the biased form is far above 0; this one is 0 on average."""
    rng = np.random.default_rng(1)
    found = [measure_energy(*rng.normal(0, 1, (2, 6, 10))) for _ in range(2000)]
    assert abs(np.mean(found)) < 4 * np.std(found) / np.sqrt(len(found))


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    choice = {"seed": 3, "real": ["own"] * 5, "predicted": ["own"] * 7, "outside": 0, "repeats": False}
    pair = make_pair(choice | {"alike": True, "n_genes": 60})
    for name, cells in zip(("real", "predicted"), pair, strict=True):
        as_logs(cells).write_h5ad(tmp_path / f"{name}.h5ad")
        cells.write_h5ad(tmp_path / f"{name}_counts.h5ad")
    return tmp_path / "real.h5ad", tmp_path / "predicted.h5ad"


@pytest.mark.slow
@pytest.mark.parametrize("dimensions", [0, 4])
def test_cells_of_files_are_compared(dimensions: int, files: tuple[Path, Path]) -> None:
    """All genes: the naive loop over the files' own cells. Components: that of the projected cells."""
    datasets = [open_dataset(path) for path in files]
    space = CellSpace(dimensions=dimensions)
    frame = score_files(*datasets, season="2025", space=space).set_index("perturbation")
    cells = [open_cells(dataset) for dataset in datasets]
    for row, label in enumerate(cells[0].labels):
        x, y = (side.dataset.read_rows(np.flatnonzero(side.groups == row + 1)).toarray() for side in cells)
        if dimensions:
            everything = cells[0].dataset.read_rows(np.arange(len(cells[0].groups))).toarray().astype(float)
            axes = np.linalg.svd(everything - everything.mean(axis=0), full_matrices=False)[2][:dimensions].T
            x, y = x @ axes, y @ axes
        assert frame.loc[label, "energy_distance"] == pytest.approx(naive(x, y), abs=1e-4)


@pytest.mark.slow
def test_cells_are_drawn_by_the_seed(files: tuple[Path, Path]) -> None:
    cells = [open_cells(open_dataset(path)) for path in files]
    pair = [profiles_2025(side, memory_bytes=10**9) for side in cells]
    space = CellSpace(most_cells=5)
    drawn = place_cells(pair, cells, space)
    assert [block.shape[0] for block in drawn[0].cells] == [5] * len(drawn[0].cells)
    again, other = (
        compute_metrics(*place_cells(pair, cells, replace(space, seed=seed)))["energy_distance"] for seed in (0, 1)
    )
    assert (compute_metrics(*drawn)["energy_distance"] == again).all() and (again != other).any()


def test_counts_are_brought_to_one_scale(files: tuple[Path, Path]) -> None:
    logs = score_files(*map(open_dataset, files), season="2025", space=CellSpace(dimensions=0))
    counts = [path.with_name(f"{path.stem}_counts.h5ad") for path in files]
    found = score_files(*map(open_dataset, counts), season="2025", space=CellSpace(dimensions=0))
    # The logs of each file are at its own median total, the counts of both at the real one's.
    np.testing.assert_allclose(found["energy_distance"], logs["energy_distance"], atol=0.2)
    assert (found["energy_distance"] != logs["energy_distance"]).all()
