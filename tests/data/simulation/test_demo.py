"""The demo and the real sample: present, as described, and worth looking at."""

import hashlib
from pathlib import Path

import anndata as ad
import numpy as np
import pytest
from refusals import refusal
from scipy.stats import false_discovery_control, mannwhitneyu

from vccapp.data.schema import CONTROL
from vccapp.data.simulation import demo
from vccapp.data.simulation.demo import demo_path, demo_spec, sample_path, write_demo
from vccapp.data.simulation.simulate import simulate
from vccapp.data.workspace import list_datasets
from vccapp.errors import DataError
from vccapp.settings import Settings


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> ad.AnnData:
    """The demo's cells, log1p at their median UMIs, with the truth in uns."""
    spec, genes = demo_spec()
    out = simulate(spec, tmp_path_factory.mktemp("demo") / "demo.h5ad", genes=genes)
    data = ad.read_h5ad(out)
    umis = np.asarray(data.X.sum(axis=1)).ravel()
    data.obs["umis"] = umis
    data.X = np.log1p(data.X.toarray() * (np.median(umis) / umis)[:, None])
    data.uns["truth"] = dict(np.load(out.parent / "demo.truth" / "truth.npz"))
    data.uns["embedding"] = np.load(out.parent / "demo.truth" / "gene_embedding.npz")["embedding"]
    return data


def rows_of(cells: ad.AnnData, label: str) -> np.ndarray:
    return cells.X[(cells.obs["target_gene"] == label).to_numpy()]


def test_it_has_the_size_and_names_promised(cells: ad.AnnData) -> None:
    assert cells.shape == (3600, 2000)
    assert 4000 < np.median(cells.obs["umis"]) < 6000
    counts = cells.obs["target_gene"].value_counts()
    assert len(counts) == 31 and 0.2 < counts[CONTROL] / 3600 < 0.25
    assert counts.drop(CONTROL).max() > 3 * counts.min()
    assert cells.obs["batch"].nunique() == 3 and cells.obs["guide_id"].nunique() == 93
    assert {"ACTB", "GAPDH", "TP53", "MYC", "POU5F1"} <= set(cells.var_names)


@pytest.mark.slow
def test_perturbations_range_from_nothing_to_hundreds_of_degs(cells: ad.AnnData) -> None:
    control = rows_of(cells, CONTROL)
    degs = []
    for label in cells.uns["truth"]["perturbations"]:
        with np.errstate(invalid="ignore"):  # genes that nobody expresses
            p = mannwhitneyu(rows_of(cells, label), control, axis=0, method="asymptotic").pvalue
        degs.append(int((false_discovery_control(np.nan_to_num(p, nan=1.0)) < 0.05).sum()))
    degs = np.sort(degs)
    assert degs[0] <= 5 and 200 < degs[-1] < 1000
    assert (degs <= 5).sum() >= 5 and ((degs > 20) & (degs < 200)).sum() >= 4 and (degs >= 200).sum() >= 4


def test_knock_down_is_visible(cells: ad.AnnData) -> None:
    control = np.expm1(rows_of(cells, CONTROL)).mean(axis=0)
    for label in cells.uns["truth"]["perturbations"]:
        gene = cells.var_names.get_loc(label)
        assert np.expm1(rows_of(cells, label)[:, gene]).mean() < 0.6 * control[gene]


def test_held_out_effects_can_be_predicted_and_better_from_the_embedding(cells: ad.AnnData) -> None:
    labels = cells.uns["truth"]["perturbations"]
    control = rows_of(cells, CONTROL).mean(axis=0)
    deltas = np.array([rows_of(cells, label).mean(axis=0) - control for label in labels])
    embedding = cells.uns["embedding"][cells.var_names.get_indexer(labels)].astype(np.float64)
    kernel = embedding @ embedding.T + 1
    by_mean, by_embedding = [], []
    for part in np.array_split(np.random.default_rng(0).permutation(30), 5):
        rest = np.setdiff1d(np.arange(30), part)
        ridge = np.linalg.solve(kernel[np.ix_(rest, rest)] + 0.2 * np.eye(len(rest)), deltas[rest])
        for held_out in part:
            by_mean.append(np.corrcoef(deltas[rest].mean(axis=0), deltas[held_out])[0, 1])
            by_embedding.append(np.corrcoef(kernel[held_out, rest] @ ridge, deltas[held_out])[0, 1])
    assert 0.15 < np.mean(by_mean) < 0.7
    assert np.mean(by_embedding) > np.mean(by_mean) + 0.05


@pytest.mark.slow
def test_write_demo_registers_it_as_simulated(settings: Settings) -> None:
    seen: list[float] = []
    path = write_demo(settings, progress=lambda fraction, message="": seen.append(fraction))
    assert path == demo_path(settings) and path.is_file()
    assert seen == sorted(seen) and seen[-1] == 1.0
    (record,) = list_datasets(settings)
    assert record.simulated and "simulated" in record.title
    before = path.read_bytes()
    assert write_demo(settings).read_bytes() == before
    assert len(list_datasets(settings)) == 1


def test_the_real_sample_is_the_published_one() -> None:
    digest = hashlib.sha256(sample_path().read_bytes()).hexdigest()
    assert digest == "eb36c766cbf76353f9981cb3a3aa32137622d1de53b29d861c483742bcd4dec7"
    assert digest in (demo.ASSETS / "README.md").read_text()
    assert ad.read_h5ad(sample_path()).shape == (600, 1000)


def test_a_missing_asset_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "ASSETS", tmp_path)
    with refusal(DataError, "asset_missing"):
        sample_path()
