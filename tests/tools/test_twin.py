"""The twin: real data's genes, means, non-zero fractions, cells and effect sizes, from its tables alone."""

from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from refusals import refusal
from scipy.special import ndtr
from scipy.stats import false_discovery_control, nbinom
from twin import (
    FILES,
    Tables,
    calibrate_amplitude,
    draw_twin,
    main,
    read_tables,
    scale_cells,
    simulate_twin,
    solve_dispersion,
)

from vccapp.data.schema import CONTROL
from vccapp.data.simulation.experiment import SimulationSpec
from vccapp.errors import DataError, SpecError

N_CELLS = 4000


def write_tables(folder: Path) -> pd.DataFrame:
    """Tables of a made-up experiment: 40 genes, 6 targets, 2 batches. Returns its gene statistics."""
    rng = np.random.default_rng(0)
    genes = [f"G{i}" for i in range(39)] + ["NA"]
    targets = genes[:6]
    mean = rng.lognormal(0, 2, 40)
    statistics = pd.DataFrame({"gene": genes, "mean": mean, "nonzero_fraction": 1 - 1 / (1 + 0.4 * mean) ** 2.5})
    cells = pd.DataFrame(
        [(label, batch, n * scale) for label, scale in zip([*targets, CONTROL], range(1, 8), strict=True)
         for batch, n in (("b1", 10), ("b2", 20))],
        columns=["target_gene", "batch", "cell_n"],
    )  # fmt: skip
    total = cells.groupby("target_gene")["cell_n"].sum().rename("n_cells").reset_index()
    affected = np.arange(1, 7)
    frames = {
        "gene_statistics.csv": statistics,
        "gene_delta_with_nonzero_fraction.csv": pd.DataFrame({"gene": genes[::-1], "ctrl_mean": mean[::-1]}),
        "perturbation_batch_counts.csv": cells,
        "pert_counts_Training.csv": total,
        "perturbation_strength.csv": pd.DataFrame(
            {"gene": targets, "cell_count": 30 * affected, "affected_genes": affected}
        ),
        "cell_eval_results_30_targets.csv": pd.DataFrame(
            {"perturbation": targets[1:5], "de_nsig_counts_real": [3, 5, 6, 9]}
        ),
    }
    for name, frame in frames.items():
        frame.to_csv(folder / name, index=False)
    (folder / "gene_names.csv").write_text("\n".join(genes) + "\n")
    return statistics


@pytest.mark.slow
def test_tables_of_a_made_up_experiment(tmp_path: Path) -> None:
    statistics = write_tables(tmp_path)
    tables = read_tables(tmp_path)
    assert tables.genes == statistics["gene"].tolist()
    assert tables.perturbations == [CONTROL, "G0", "G1", "G2", "G3", "G4", "G5"]
    np.testing.assert_array_equal(tables.cells[1], [10, 20])
    np.testing.assert_allclose(tables.control_umis, statistics["mean"].sum())
    np.testing.assert_array_equal(tables.degs[2:6], [3, 5, 6, 9])
    assert tables.degs[1] == 3 and 3 <= tables.degs[6] <= 9
    out = simulate_twin(SimulationSpec(seed=1), tmp_path / "twin.h5ad", tables)
    cells = ad.read_h5ad(out)
    found = pd.crosstab(cells.obs["target_gene"], cells.obs["batch"]).loc[tables.perturbations, tables.batches]
    np.testing.assert_array_equal(found, tables.cells)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_table_is_named(tmp_path: Path, name: str) -> None:
    write_tables(tmp_path)
    (tmp_path / name).unlink()
    with refusal(DataError, "table_missing"):
        read_tables(tmp_path)


def test_damaged_tables_are_one_sentence(tmp_path: Path) -> None:
    write_tables(tmp_path)

    def refused(name: str, text: str) -> str:
        before = (tmp_path / name).read_text()
        (tmp_path / name).write_text(text)
        with pytest.raises(DataError) as error:
            read_tables(tmp_path)
        (tmp_path / name).write_text(before)
        return str(error.value)

    assert "no column nonzero_fraction" in refused("gene_statistics.csv", "gene,mean\nG0,1\n")
    assert "lacks 39 genes" in refused("gene_statistics.csv", "gene,mean,nonzero_fraction\nG0,1,0.5\n")
    assert "1 values in column mean" in refused("gene_statistics.csv", "gene,mean,nonzero_fraction\nG0,,0.5\n")
    assert "not a readable CSV" in refused("gene_statistics.csv", "")
    assert "no 'non-targeting' rows" in refused("perturbation_batch_counts.csv", "target_gene,batch,cell_n\nG0,b1,9\n")
    assert "disagree" in refused("pert_counts_Training.csv", "target_gene,n_cells\nG0,9\n")
    assert "Only 0 perturbations" in refused(
        "cell_eval_results_30_targets.csv", "perturbation,de_nsig_counts_real\nX,9\n"
    )
    with refusal(DataError, "table_missing"):
        read_tables()


def test_a_twin_needs_cells_for_each_perturbation(tmp_path: Path) -> None:
    write_tables(tmp_path)
    with refusal(SpecError, "too_few_cells"):
        draw_twin(SimulationSpec(n_cells=20), read_tables(tmp_path))


def test_the_command_writes_a_twin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_tables(tmp_path)
    monkeypatch.setattr("sys.argv", ["twin.py", str(tmp_path / "twin.h5ad"), "--like", str(tmp_path), "--cells", "60"])
    main()
    assert ad.read_h5ad(tmp_path / "twin.h5ad").shape == (60, 40)


def test_dispersion_is_recovered_from_the_non_zero_fraction() -> None:
    rng = np.random.default_rng(0)
    mean = np.array([0.3, 1.0, 5.0, 12.0])
    dispersion = np.array([2.0, 0.5, 0.2, 1.0])
    library = np.exp(rng.normal(-(0.3**2) / 2, 0.3, 400_000))[:, None]
    nonzero = 1 - nbinom.pmf(0, 1 / dispersion, 1 / (1 + mean * library * dispersion)).mean(axis=0)
    np.testing.assert_allclose(solve_dispersion(mean, nonzero, library_spread=0.3), dispersion, rtol=0.03)
    silent = solve_dispersion(np.array([0.0]), np.array([0.0]), library_spread=0.3)
    assert np.isfinite(silent).all()


@pytest.mark.parametrize("wanted", [20, 300, 2500])
def test_amplitude_gives_the_wanted_number_of_degs(wanted: int) -> None:
    rng = np.random.default_rng(wanted)
    direction = rng.laplace(size=8000)
    noise = rng.uniform(0.02, 0.4, 8000)
    scale = calibrate_amplitude(direction, noise, n_degs=wanted)
    z = scale * direction / noise + rng.normal(size=8000)
    found = (false_discovery_control(2 * ndtr(-np.abs(z))) < 0.05).sum()
    assert 0.75 * wanted - 8 < found < 1.25 * wanted + 8


@pytest.mark.parametrize("n_cells", [42, 100, 840, 5000])
def test_scaled_cells_are_proportional(n_cells: int) -> None:
    cells = np.array([[140, 70], *([k * 20, k * 10] for k in range(1, 7))])
    scaled = scale_cells(cells, n_cells, np.random.default_rng(0))
    assert scaled.sum() == n_cells and scaled.sum(axis=1).min() >= 3
    if n_cells == cells.sum():
        np.testing.assert_array_equal(scaled, cells)
    if n_cells > 400:
        np.testing.assert_allclose(scaled, cells * n_cells / cells.sum(), atol=2)


@pytest.fixture(scope="module")
def real_tables(shared: Path) -> Tables:
    return read_tables(shared / "vcc2025_official", shared / "vcc2025_h1_training_stats")


@pytest.mark.shared
def test_real_tables_are_read(real_tables: Tables) -> None:
    assert real_tables.cells.shape == (151, 48) and real_tables.cells.sum() == 221_273
    assert len(real_tables.genes) == 18_080 and real_tables.genes[:2] == ["SAMD11", "NOC2L"]
    assert 57_000 < real_tables.control_umis < 58_000
    assert real_tables.degs[real_tables.perturbations.index("ACAT2")] == 6755
    rng = np.random.default_rng(0)
    np.testing.assert_array_equal(scale_cells(real_tables.cells, 221_273, rng), real_tables.cells)


@pytest.mark.slow
@pytest.mark.shared
def test_a_small_twin_looks_like_the_real_file(real_tables: Tables, tmp_path: Path) -> None:
    out = simulate_twin(SimulationSpec(n_cells=N_CELLS, seed=6), tmp_path / "twin.h5ad", real_tables)
    twin = ad.read_h5ad(out)
    assert twin.shape == (N_CELLS, 18_080)
    assert twin.var_names.tolist() == real_tables.genes
    mean = np.asarray(twin.X.mean(axis=0)).ravel()
    seen = (mean > 0) & (real_tables.mean > 20 / N_CELLS)
    assert np.corrcoef(np.log(mean[seen]), np.log(real_tables.mean[seen]))[0, 1] > 0.99
    assert abs(np.median(mean[seen] / real_tables.mean[seen]) - 1) < 0.03
    nonzero = np.bincount(twin.X.indices, minlength=18_080) / N_CELLS
    assert np.abs(nonzero - real_tables.nonzero_fraction).mean() < 0.01
    cells = twin.obs["target_gene"].value_counts()[real_tables.perturbations].to_numpy()
    np.testing.assert_allclose(cells, real_tables.cells.sum(axis=1) * N_CELLS / 221_273, atol=3.5)
    umis = np.asarray(twin.X.sum(axis=1)).ravel()
    assert abs(umis[(twin.obs["target_gene"] == CONTROL).to_numpy()].mean() / real_tables.control_umis - 1) < 0.03
