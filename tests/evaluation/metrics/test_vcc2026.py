"""Our scores of 2026 are those of `cell-eval2 run --preset vcc2026`, perturbation by perturbation, from files on."""

from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from refusals import refusal
from scored_pairs import CONTROL, halve, make_cells, make_pair, official_2026, sides

from vccapp.data.reading.opening import open_dataset
from vccapp.errors import DataError
from vccapp.evaluation.metrics import vcc2026
from vccapp.evaluation.scoring.cell_space import CellSpace
from vccapp.evaluation.scoring.columns import open_cells
from vccapp.evaluation.scoring.profiles_2026 import profiles_2026
from vccapp.evaluation.scoring.score import summarise
from vccapp.evaluation.scoring.score_files import score_files

pytest.importorskip("cell_eval2", reason="cell-eval2, the official scorer of 2026, is not installed")

NAMES = {
    "pds_cosine": "pds_cosine",
    "direction_fidelity": "de_wilcoxon_direction_fidelity_yield_raw",
    "direction_reach": "de_wilcoxon_direction_reach_raw",
    "jaccard": "de_wilcoxon_sig_jaccard",
    "lfc_nmae": "de_wilcoxon_lfc_nmae",
}
ERROR, DISTANCE = "expr_mse_unbiased_capped", "expr_distance_unbiased"
SLOW = settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


def compare(real: ad.AnnData, predicted: ad.AnnData, folder: Path, *, memory_bytes: int = 10**9) -> pd.DataFrame:
    """Ours equal the official ones to 1e-9, and are undefined where those are; returns the official ones."""
    official = official_2026(real, predicted)
    for name, cells in (("real", real), ("predicted", predicted)):
        cells.write_h5ad(folder / f"{name}.h5ad")
    opened = [open_dataset(folder / f"{name}.h5ad") for name in ("real", "predicted")]
    ours = score_files(*opened, season="2026", memory_bytes=memory_bytes).set_index("perturbation")
    expected = official.reindex(index=ours.index, columns=list(NAMES.values()))
    np.testing.assert_allclose(ours[list(NAMES)], expected.astype(float), rtol=0, atol=1e-9)
    pair = profiles_2026(*map(open_cells, opened), memory_bytes=memory_bytes)
    scale = max(1.0, official[[ERROR, DISTANCE]].abs().max(axis=None))
    np.testing.assert_allclose(vcc2026.measure_errors(*pair), official[ERROR], rtol=0, atol=1e-9 * scale)
    np.testing.assert_allclose(vcc2026.measure_distances(pair[0]), official[DISTANCE], rtol=0, atol=1e-9 * scale)
    total = official[DISTANCE].sum()
    if total > 1e-6:
        assert summarise(ours.reset_index())["mse_capped"] == pytest.approx(official[ERROR].sum() / total, rel=1e-9)
    return official


@pytest.mark.official
@pytest.mark.slow
@SLOW
@given(choice=sides, memory_bytes=st.sampled_from([4000, 10**9]))
def test_random_and_degenerate_cells(choice: dict, memory_bytes: int, tmp_path: Path) -> None:
    compare(*make_pair(choice), tmp_path, memory_bytes=memory_bytes)


def spread(predicted: Path, real: Path) -> float:
    """What the predicted profiles differ among each other, over the noise they claim: rho, before it is cut at 1."""
    truth, guess = (
        side.pooled
        for side in profiles_2026(*map(open_cells, map(open_dataset, (real, predicted))), memory_bytes=10**9)
    )
    genes = open_dataset(real).genes
    labels = sorted(set(open_dataset(real).cells["perturbation"]) - {CONTROL})
    other = genes != np.array(labels)[:, None]
    weight = 1 / other.sum(axis=1)
    return vcc2026._spread(guess.profile, other, weight) / (np.minimum(guess.noise, truth.noise) * weight).sum()


@pytest.mark.slow
@pytest.mark.official
@pytest.mark.parametrize(
    ("kind", "low", "high"),
    [("the same control cells", 0, 1e-12), ("control cells", 0.2, 1), ("noisy copies", 1, np.inf)],
)
def test_every_branch_of_the_noise_budget(kind: str, low: float, high: float, tmp_path: Path) -> None:
    rng = np.random.default_rng(7)
    genes, labels = [f"G{i}" for i in range(80)], ["G1", "G2", "G3", "G4", "G5", "G6"]
    names = np.repeat([CONTROL, *labels], [120] + [30] * 6)
    rate = rng.gamma(1.0, 4.0, 80) * np.ones((len(names), 1))
    controls = rng.poisson(rate[:120])
    effects = rng.lognormal(0, 0.4, (6, 80))
    real = np.concatenate([controls, rng.poisson(rate[120:] * np.repeat(effects, 30, axis=0))])
    predicted = {
        "the same control cells": np.concatenate([controls, *[controls[:30]] * 6]),
        "control cells": np.concatenate([controls, *(controls[rng.choice(120, 30, replace=False)] for _ in labels)]),
        "noisy copies": np.concatenate([controls, rng.poisson(real[120:])]),
    }[kind]
    compare(make_cells(real, names, genes), make_cells(predicted, names, genes), tmp_path)
    assert low <= spread(tmp_path / "predicted.h5ad", tmp_path / "real.h5ad") <= high


@pytest.mark.slow
@pytest.mark.official
@pytest.mark.shared
@pytest.mark.parametrize("file", ["vcc2025_h1_subset/H1-VCC-2025-training.h5ad", "papalexi2021_thp1"])
def test_real_cells(file: str, shared: Path, tmp_path: Path) -> None:
    """One half of the real cells as a prediction of the other."""
    [path] = (shared / file).glob("*.h5ad") if (shared / file).is_dir() else [shared / file]
    official = compare(*halve(ad.read_h5ad(path), most=100), tmp_path)
    assert official[NAMES["jaccard"]].max() > 0.1


def test_genes_in_another_order_are_aligned_by_name(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    genes, names = np.array([f"G{i}" for i in range(40)]), np.repeat([CONTROL, "G1", "G2", "G3"], 30)
    real, predicted = rng.poisson(2.0, (120, 40)), rng.poisson(2.5, (120, 40))
    shuffled = rng.permutation(40)
    make_cells(real, names, genes.tolist()).write_h5ad(tmp_path / "real.h5ad")
    make_cells(predicted, names, genes.tolist()).write_h5ad(tmp_path / "same.h5ad")
    make_cells(predicted[:, shuffled], names, genes[shuffled].tolist()).write_h5ad(tmp_path / "shuffled.h5ad")
    truth = open_dataset(tmp_path / "real.h5ad")
    space = CellSpace(most_cells=20, dimensions=0)
    same, moved = (
        score_files(truth, open_dataset(tmp_path / f"{name}.h5ad"), season="2026", space=space)
        for name in ("same", "shuffled")
    )
    pd.testing.assert_frame_equal(moved, same)


def test_log_values_are_refused(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    names = np.repeat([CONTROL, "G1", "G2"], 20)
    x = rng.poisson(2.0, (60, 12))
    make_cells(x, names, [f"G{i}" for i in range(12)]).write_h5ad(tmp_path / "real.h5ad")
    make_cells(np.log1p(x), names, [f"G{i}" for i in range(12)]).write_h5ad(tmp_path / "logs.h5ad")
    with refusal(DataError, "needs_counts"):
        score_files(open_dataset(tmp_path / "real.h5ad"), open_dataset(tmp_path / "logs.h5ad"), season="2026")
