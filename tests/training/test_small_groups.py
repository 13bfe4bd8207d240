"""Groups of one, two and three cells: what cannot be known of them is missing, says why, and goes into no mean."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from refusals import refusal
from scipy.stats import mannwhitneyu
from toy import make_counts

from vccapp.data.reading.opening import open_dataset
from vccapp.data.schema import CONTROL
from vccapp.data.splits.split import split_from_lists, write_split
from vccapp.data.workspace import register
from vccapp.errors import SpecError
from vccapp.evaluation.comparison.agreement import compute_band, compute_correlations
from vccapp.evaluation.comparison.gene_values import compute_gene_means
from vccapp.evaluation.comparison.scores import view_scores
from vccapp.evaluation.limits import compute_limits
from vccapp.evaluation.profiles import predicted_profiles, real_profiles
from vccapp.evaluation.scoring.score import compute_metrics, summarise
from vccapp.references import LIMITS
from vccapp.settings import Settings
from vccapp.stats.building.build import build_index
from vccapp.stats.export import write_exports
from vccapp.stats.halves import explain_halves, half_deltas
from vccapp.stats.index import Index, load_index
from vccapp.training import RunSpec, load_run, train
from vccapp.training.comparison import open_comparison
from vccapp.training.results.own_scores import load_references

SIZES = {"GENE0": 1, "GENE1": 2, "GENE2": 3}
TEST = ["GENE0", "GENE1", "GENE2", "GENE3"]


def shrink(folder: Path, sizes: dict[str, int]) -> Path:
    """The toy data with only so many cells of some labels."""
    counts = make_counts(n_cells=480, n_perturbations=8)
    keep = np.ones(counts.n_obs, bool)
    for label, n in sizes.items():
        keep[np.flatnonzero(counts.obs["target_gene"] == label)[n:]] = False
    path = folder / "small.h5ad"
    counts[keep].copy().write_h5ad(path)
    return path


def prepare(folder: Path, sizes: dict[str, int]) -> tuple[Settings, str]:
    """A workspace with that dataset, indexed, and the split 's' that tests TEST."""
    settings = Settings(home=folder / "workspace", checkpoints=folder / "checkpoints", data_roots=(folder,))
    dataset = open_dataset(shrink(folder, sizes))
    build_index(dataset, register(dataset, settings) / "index")
    split = split_from_lists(
        name="s", dataset=dataset.fingerprint, train=[f"GENE{i}" for i in range(4, 7)], val=["GENE7"], test=TEST
    )
    write_split(split, settings)
    return settings, dataset.fingerprint


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> tuple[Settings, str]:
    settings, fingerprint = prepare(tmp_path_factory.mktemp("small"), SIZES)
    train(RunSpec(model="perturbation_mean", dataset=fingerprint, split="s"), settings, run_id="r")
    return settings, fingerprint


@pytest.fixture(scope="module")
def index(workspace: tuple[Settings, str]) -> Index:
    settings, fingerprint = workspace
    return load_index(settings.index_of(fingerprint))


def test_means_and_p_values_are_scipys(index: Index) -> None:
    cells, values = index.cells["perturbation"], index.gene_values("GENE3")
    control = values[cells == CONTROL]
    for label in SIZES:
        own = values[cells == label]
        assert index.mean(label)[3] == pytest.approx(own.mean(), rel=1e-6)
        expected = mannwhitneyu(own, control, method="asymptotic", use_continuity=True).pvalue
        assert index.de(label)["p_value"][3] == pytest.approx(expected, rel=1e-6)


def test_one_cell_has_no_halves(index: Index) -> None:
    first, second = half_deltas(index, ["GENE0", "GENE1", "GENE4"])
    assert np.isnan(first[0]).all() and np.isnan(second[0]).all()
    assert np.isfinite(first[1:]).all() and np.isfinite(second[1:]).all()
    assert np.isnan(index.array("half_mean")[1, index.rows(["GENE0"])]).all()
    assert "GENE0" in explain_halves(index, TEST) and not explain_halves(index, ["GENE1"])


def test_reliability_is_empty_with_its_reason(index: Index, tmp_path: Path) -> None:
    write_exports(index, tmp_path)
    table = pd.read_csv(tmp_path / "split_half_reliability.csv").set_index("perturbation")
    assert table.loc["GENE0", ["half_correlation", "reliability"]].isna().all()
    assert table.loc["GENE0", "reason"] == "one cell"
    rest = table.drop(index="GENE0")
    assert rest["reliability"].notna().all() and rest["reason"].isna().all()


def test_limits_are_of_those_that_have_halves(workspace: tuple[Settings, str], index: Index) -> None:
    settings, _ = workspace
    run = load_run("r", settings)
    for limit, expected in compute_limits(index, TEST[1:]).items():
        table = load_references(run, "test")[limit]
        assert table["perturbation"].tolist() == TEST[1:]
        pd.testing.assert_frame_equal(table.reset_index(drop=True), expected)
    assert len(load_references(run, "test")["perturbation_mean"]) == len(TEST)


def test_views_leave_it_empty(workspace: tuple[Settings, str]) -> None:
    settings, _ = workspace
    comparison = open_comparison(["r"], settings)
    assert set(LIMITS) <= set(comparison.stored)
    view = view_scores(comparison, comparison.runs[0], metric="mae")
    own = view.by_perturbation.set_index("perturbation")
    assert np.isnan(own.loc["GENE0", "mae perfect"]) and own.loc[TEST[1:], "mae perfect"].notna().all()
    assert own["mae"].notna().all()
    genes = comparison.index.genes["gene"].tolist()
    found = compute_correlations(comparison.index, comparison.runs, perturbations=TEST, genes=genes)
    without = compute_correlations(comparison.index, comparison.runs, perturbations=TEST[1:], genes=genes)
    assert found.iloc[-1, 1] == pytest.approx(without.iloc[-1, 1])
    for quantity in ("delta", "pseudobulk"):
        pair = [compute_band(comparison.index, labels, quantity=quantity) for labels in (TEST, TEST[1:])]
        pd.testing.assert_frame_equal(*pair)


def test_one_cell_has_no_interval_and_no_t(index: Index) -> None:
    means = compute_gene_means(index, [], perturbation="GENE0", genes=["GENE3"]).set_index("source")
    assert means[["low", "high"]].isna().all(axis=1).tolist() == [False, True]
    labels = ["GENE0", "GENE1"]
    deltas = 0.5 * index.deltas(labels)
    scores = compute_metrics(real_profiles(index, labels), predicted_profiles(index, deltas, labels))
    assert scores[["scouter_pcc_error", "scouter_nmse"]].isna().all(axis=1).tolist() == [True, False]
    assert scores[["mae", "nmse", "pearson_delta"]].notna().all(axis=None)


def test_one_perturbation_has_no_pds(workspace: tuple[Settings, str], index: Index) -> None:
    alone = compute_metrics(
        real_profiles(index, ["GENE4"]), predicted_profiles(index, index.deltas(["GENE4"]), ["GENE4"])
    )
    assert alone[["pds", "pds_cosine_means"]].isna().all(axis=None) and alone["mae"].iloc[0] < 1e-6
    assert summarise(alone)["pds"] is None
    settings, _ = workspace
    assert load_run("r", settings).metrics["val"]["perturbation_mean"]["pds"] is None


def test_one_control_gives_no_limits_and_no_training(tmp_path: Path) -> None:
    settings, fingerprint = prepare(tmp_path, {CONTROL: 1})
    index = load_index(settings.index_of(fingerprint))
    assert np.isnan(half_deltas(index, TEST)).all()
    for table in compute_limits(index, TEST).values():
        assert table.empty and all(value is None for value in summarise(table).values())
    with refusal(SpecError, "one_control"):
        train(RunSpec(model="perturbation_mean", dataset=fingerprint, split="s"), settings, run_id="r")
    assert not settings.checkpoints.exists() or not list(settings.checkpoints.iterdir())
