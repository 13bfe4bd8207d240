"""Our scores of 2025 are those of `cell-eval run --profile vcc`, perturbation by perturbation, from files on."""

from pathlib import Path

import anndata as ad
import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from refusals import refusal
from scipy.sparse import csr_matrix
from scored_pairs import CONTROL, as_logs, halve, make_cells, make_pair, official_2025, sides

from vccapp.data.reading.opening import open_dataset
from vccapp.errors import DataError
from vccapp.evaluation.scoring.score_files import score_files

METRICS = ["des", "pds", "mae"]
SLOW = settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.filter_too_much],
)


def compare(real: ad.AnnData, predicted: ad.AnnData, folder: Path, *, memory_bytes: int = 10**9) -> None:
    """Ours equal the official ones to 1e-9. Where the official scorer cannot score, the example is passed over."""
    try:
        official = official_2025(real, predicted, folder / "official")
    except ValueError as error:
        assume("zero entries" not in str(error) and "NaN" not in str(error))
        raise
    for name, cells in (("real", real), ("predicted", predicted)):
        cells.write_h5ad(folder / f"{name}.h5ad")
    opened = (open_dataset(folder / f"{name}.h5ad") for name in ("real", "predicted"))
    ours = score_files(*opened, season="2025", memory_bytes=memory_bytes).set_index("perturbation")
    assert ours.index.tolist() == official.index.tolist()
    np.testing.assert_allclose(ours[METRICS], official[METRICS], rtol=0, atol=1e-9)


@pytest.mark.official
@pytest.mark.slow
@SLOW
@given(choice=sides, space=st.sampled_from(["counts", "cell", "level"]), memory_bytes=st.sampled_from([4000, 10**9]))
def test_random_and_degenerate_cells(choice: dict, space: str, memory_bytes: int, tmp_path: Path) -> None:
    pair = make_pair(choice)
    if space != "counts":
        pair = tuple(as_logs(cells, per=space) for cells in pair)
    compare(*pair, tmp_path, memory_bytes=memory_bytes)


@pytest.mark.official
@pytest.mark.slow
def test_fold_changes_without_end_are_cut_as_the_official_scorer_cuts_them(tmp_path: Path) -> None:
    """Forty genes that only predicted cells have: all are infinite, and the real DEGs are fewer."""
    rng = np.random.default_rng(4)
    genes, names = [f"G{i}" for i in range(100)], np.repeat([CONTROL, "G0", "G1"], [60, 30, 30])
    x = rng.poisson(3.0, (2, 120, 100))
    x[:, :60, 60:] = 0
    x[0, 60:, 60:] = 0
    x[0, 60:, 40:75] = rng.poisson(9.0, (60, 35))
    pair = [as_logs(make_cells(side, names, genes)) for side in x]
    compare(*pair, tmp_path)


@pytest.mark.slow
@pytest.mark.official
def test_one_prediction_for_all_is_ranked_by_name(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    genes, names = [f"G{i}" for i in range(30)], np.repeat([CONTROL, "B", "A", "C", "G3"], 20)
    real = make_cells(rng.poisson(3.0, (100, 30)), names, genes)
    same = make_cells(np.tile(rng.poisson(3.0, (20, 30)), (5, 1)), names, genes)
    compare(as_logs(real), as_logs(same), tmp_path)
    compare(as_logs(same), as_logs(real), tmp_path)


@pytest.mark.slow
@pytest.mark.official
@pytest.mark.shared
@pytest.mark.parametrize("file", ["vcc2025_h1_subset/H1-VCC-2025-training.h5ad", "papalexi2021_thp1"])
@pytest.mark.parametrize("space", ["counts", "cell"])
def test_real_cells(file: str, space: str, shared: Path, tmp_path: Path) -> None:
    """One half of the real cells as a prediction of the other."""
    [path] = (shared / file).glob("*.h5ad") if (shared / file).is_dir() else [shared / file]
    pair = halve(ad.read_h5ad(path), most=100)
    if space != "counts":
        pair = tuple(as_logs(cells) for cells in pair)
    compare(*pair, tmp_path)


@pytest.mark.slow
@pytest.mark.official
@pytest.mark.shared
def test_the_official_mean_baseline_has_the_same_scores_here(shared: Path, tmp_path: Path) -> None:
    """`cell-eval baseline` writes the mean of all perturbations, repeated, and the real controls."""
    from cell_eval import build_base_mean_adata

    real, _ = halve(ad.read_h5ad(shared / "vcc2025_h1_subset" / "H1-VCC-2025-training.h5ad"), most=100)
    real = as_logs(real)
    mean = build_base_mean_adata(real.copy(), pert_col="target_gene", control_pert=CONTROL)
    values = csr_matrix(mean.X).astype(np.float32)  # as a submission holds them
    compare(real, make_cells(values, mean.obs["target_gene"].to_numpy(str), real.var_names), tmp_path)


@pytest.mark.slow
@pytest.mark.official
def test_in_float32_the_official_scorer_rounds(tmp_path: Path) -> None:
    """What the docstring of score_files says of X in float32: MAE differs, by no more than rounding of float32."""
    choice = {"seed": 3, "real": ["own"] * 5, "predicted": ["own"] * 7, "outside": 0, "repeats": False}
    real, predicted = (as_logs(cells) for cells in make_pair(choice | {"alike": True, "n_genes": 60}))
    for cells in (real, predicted):
        cells.X = cells.X.astype(np.float32)
    official = official_2025(real, predicted, tmp_path / "official")["mae"]
    for name, cells in (("real", real), ("predicted", predicted)):
        cells.write_h5ad(tmp_path / f"{name}.h5ad")
    opened = (open_dataset(tmp_path / f"{name}.h5ad") for name in ("real", "predicted"))
    ours = score_files(*opened, season="2025").set_index("perturbation")["mae"]
    np.testing.assert_allclose(ours, official, rtol=1e-6)
    assert (ours != official).any()


def test_files_that_do_not_match_are_refused(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    genes = [f"G{i}" for i in range(12)]
    x, names = rng.poisson(2.0, (60, 12)), np.repeat([CONTROL, "G1", "G2"], 20)
    make_cells(x, names, genes).write_h5ad(tmp_path / "real.h5ad")
    make_cells(x, names, [*genes[:-1], "G99"]).write_h5ad(tmp_path / "genes.h5ad")
    make_cells(x, np.where(names == "G2", "G3", names), genes).write_h5ad(tmp_path / "labels.h5ad")
    x[5:] = 0
    make_cells(x, names, genes).write_h5ad(tmp_path / "empty.h5ad")
    real = open_dataset(tmp_path / "real.h5ad")
    for name, code in {"genes": "genes_differ", "labels": "perturbations_differ", "empty": "no_counts"}.items():
        with refusal(DataError, code):
            score_files(real, open_dataset(tmp_path / f"{name}.h5ad"), season="2025")


def test_genes_in_another_order_and_missing_perturbations_are_scored(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    genes = [f"G{i}" for i in range(40)]
    names = np.repeat([CONTROL, "G1", "G2", "G3"], 40)
    rate = np.where((names[:, None] == np.array(genes)), 0.5, 4.0) * (
        1 + (names == "G2")[:, None] * (np.arange(40) > 30)
    )
    x = rng.poisson(rate)
    make_cells(x, names, genes).write_h5ad(tmp_path / "real.h5ad")
    shuffled = rng.permutation(40)
    make_cells(x[:, shuffled], names, [genes[i] for i in shuffled]).write_h5ad(tmp_path / "shuffled.h5ad")
    make_cells(x[:120], names[:120], genes).write_h5ad(tmp_path / "fewer.h5ad")
    real = open_dataset(tmp_path / "real.h5ad")
    same = score_files(real, open_dataset(tmp_path / "real.h5ad"), season="2025")
    found = score_files(real, open_dataset(tmp_path / "shuffled.h5ad"), season="2025")
    assert (found["pds"] == 1).all() and found["mae"].to_numpy() == pytest.approx(0, abs=1e-12)
    assert found["des"].tolist() == same["des"].tolist() and same["des"].max() == 1
    fewer = score_files(real, open_dataset(tmp_path / "fewer.h5ad"), season="2025")
    assert fewer["perturbation"].tolist() == ["G1", "G2"] and (fewer["pds"] == 1).all()
