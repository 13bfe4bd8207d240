"""The index against numpy, scanpy and scipy on the same cells; its accumulator, its store, its refusals."""

import json
import os
import shutil
from pathlib import Path

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from refusals import refusal
from scipy.sparse import csr_matrix
from scipy.stats import mannwhitneyu
from toy import make_counts

from vccapp.data.reading.opening import open_dataset
from vccapp.data.schema import CONTROL
from vccapp.errors import DataError, JobError, ResourceError, SpecError, Stopped
from vccapp.stats.building.accumulator import SUMS, Accumulator, Grouping, sums_bytes
from vccapp.stats.building.build import build_index
from vccapp.stats.building.de import compute_de
from vccapp.stats.building.plan import plan_index
from vccapp.stats.hvg import compute_hvg
from vccapp.stats.index import INDEX, Index, has_index, load_index
from vccapp.stats.store import GeneStore, StoreWriter, describe_store


@pytest.fixture(scope="module")
def counts() -> ad.AnnData:
    return make_counts()


@pytest.fixture(scope="module")
def index(counts: ad.AnnData, tmp_path_factory: pytest.TempPathFactory) -> Index:
    folder = tmp_path_factory.mktemp("index")
    counts.write_h5ad(folder / "toy.h5ad")
    build_index(open_dataset(folder / "toy.h5ad"), folder / "index")
    return load_index(folder / "index")


@pytest.fixture(scope="module")
def normalised(counts: ad.AnnData) -> np.ndarray:
    """scanpy's normalize_total and log1p: (n_cells, n_genes) float64."""
    import scanpy as sc

    copy = counts.copy()
    sc.pp.normalize_total(copy)
    sc.pp.log1p(copy)
    return copy.X.toarray().astype(float)


def test_gene_table_equals_numpy(index: Index, counts: ad.AnnData) -> None:
    x = counts.X.toarray()
    control = (counts.obs.target_gene == CONTROL).to_numpy()
    expected = pd.DataFrame(
        {
            "mean": x.mean(0),
            "max": x.max(0),
            "min": x.min(0),
            "nonzero_fraction": (x > 0).mean(0),
            "ctrl_mean": x[control].mean(0),
            "pert_mean": x[~control].mean(0),
            "delta": x[~control].mean(0) - x[control].mean(0),
            "ctrl_nonzero_fraction": (x[control] > 0).mean(0),
        }
    )
    pd.testing.assert_frame_equal(index.genes[list(expected)], expected, check_dtype=False, rtol=1e-5, atol=1e-6)
    assert index.genes["gene"].tolist() == counts.var_names.tolist()


def test_pseudobulks_equal_scanpys_normalisation(index: Index, counts: ad.AnnData, normalised: np.ndarray) -> None:
    labels = counts.obs.target_gene.to_numpy()
    for label in index.labels:
        cells = normalised[labels == label]
        np.testing.assert_allclose(index.mean(label), cells.mean(0), atol=1e-6)
        [row] = index.rows([label])
        np.testing.assert_allclose(index.array("variance")[row], cells.var(0), atol=1e-6)
    for kind, column in (("guide", "guide_id"), ("batch", "batch")):
        table = pd.read_parquet(index.folder / f"{kind}.parquet")
        for row, label in enumerate(table[kind]):
            expected = normalised[(counts.obs[column] == label).to_numpy()].mean(0)
            np.testing.assert_allclose(index.array(f"{kind}_mean")[row], expected, atol=1e-6)


def test_halves_are_disjoint_and_make_the_whole(index: Index) -> None:
    halves = index.array("half_mean")
    sizes = index.perturbations["n_cells"].to_numpy()
    first, second = (sizes + 1) // 2, sizes // 2
    whole = (halves[0] * first[:, None] + halves[1] * second[:, None]) / sizes[:, None]
    np.testing.assert_allclose(whole, index.means(index.labels), atol=1e-6)
    assert np.abs(halves[0] - halves[1]).max() > 0.01


def test_normalise_equals_scanpy(index: Index, counts: ad.AnnData, normalised: np.ndarray) -> None:
    np.testing.assert_allclose(
        index.normalise(csr_matrix(counts.X), np.arange(counts.n_obs)).toarray(), normalised, rtol=1e-6
    )


def test_de_equals_scipy_on_the_same_values(index: Index, counts: ad.AnnData) -> None:
    x = (
        index.normalise(csr_matrix(counts.X), np.arange(counts.n_obs)).toarray().astype(float)
    )  # scipy works in the precision it is given
    labels = counts.obs.target_gene.to_numpy()
    for label in index.labels[1:]:
        expected = mannwhitneyu(x[labels == label], x[labels == CONTROL], method="asymptotic")
        table = index.de(label)
        np.testing.assert_allclose(table["p_value"], np.nan_to_num(expected.pvalue, nan=1.0), rtol=1e-9)
        np.testing.assert_array_equal(table["statistic"], expected.statistic)


@pytest.mark.slow
def test_degs_and_fold_changes_equal_the_official_scorers(
    index: Index, normalised: np.ndarray, counts: ad.AnnData
) -> None:
    from pdex import pdex

    data = ad.AnnData(csr_matrix(normalised.astype(np.float32)), obs=counts.obs, var=counts.var)
    official = pdex(data, "target_gene", mode="ref", is_log1p=True, epsilon=0.0, as_pandas=True)
    for label in index.labels[1:]:
        theirs = official[official.target == label].set_index("feature").loc[index.genes["gene"]]
        ours = index.de(label)
        np.testing.assert_allclose(ours["fdr"], theirs["fdr"], rtol=1e-4)
        finite = np.isfinite(theirs["log2_fold_change"].to_numpy())
        np.testing.assert_allclose(
            ours["log2_fold_change"][finite], theirs["log2_fold_change"][finite], rtol=1e-3, atol=1e-5
        )
        assert set(ours.gene[ours.fdr < 0.05]) == set(theirs.index[theirs.fdr < 0.05])


def test_arithmetic_fold_change_is_of_counts_per_million(index: Index, counts: ad.AnnData) -> None:
    x = counts.X.toarray().astype(float)
    cpm = x / x.sum(1, keepdims=True) * 1e6
    labels = counts.obs.target_gene.to_numpy()
    label = index.labels[1]
    expected = np.log2((cpm[labels == label].mean(0) + 1e-9) / (cpm[labels == CONTROL].mean(0) + 1e-9))
    np.testing.assert_allclose(index.de(label)["log2_fold_change_2026"], expected, rtol=1e-3, atol=1e-4)


def test_deg_counts_follow_their_thresholds(index: Index) -> None:
    stored = index.perturbations.iloc[1:].reset_index(drop=True)
    pd.testing.assert_frame_equal(index.deg_counts(), stored[["perturbation", "degs", "up", "down"]])
    strict = index.deg_counts(fdr=0.05, min_abs_lfc=0.5)
    assert (strict["degs"] <= stored["degs"]).all()
    assert (index.deg_counts(fdr=1.1)["degs"] == len(index.genes)).all()


def test_knockdown_is_what_is_left_on_the_target(index: Index) -> None:
    label = index.labels[1]
    gene = index.gene_position[label]
    expected = np.expm1(index.mean(label)[gene]) / np.expm1(index.control_mean[gene])
    assert index.perturbations.set_index("perturbation").loc[label, "knockdown"] == pytest.approx(expected, rel=1e-4)
    assert 0 < expected < 0.5


def test_one_gene_over_all_cells(index: Index, normalised: np.ndarray) -> None:
    for column in (0, 7, len(index.genes) - 8):
        np.testing.assert_allclose(index.gene_values(index.genes["gene"][column]), normalised[:, column], rtol=1e-6)
    with refusal(SpecError, "unknown_gene"):
        index.gene_values("NOSUCH")


def test_log1p_input_gives_the_same_deltas(
    index: Index, normalised: np.ndarray, counts: ad.AnnData, tmp_path: Path
) -> None:
    data = ad.AnnData(csr_matrix(normalised.astype(np.float32)), obs=counts.obs, var=counts.var)
    data.write_h5ad(tmp_path / "log.h5ad")
    build_index(open_dataset(tmp_path / "log.h5ad"), tmp_path / "index")
    logged = load_index(tmp_path / "index")
    assert logged.meta["value_space"] == "log1p"
    np.testing.assert_allclose(logged.means(logged.labels), index.means(index.labels), atol=1e-5)
    np.testing.assert_allclose(logged.array("de/p_value"), index.array("de/p_value"), rtol=1e-4)
    assert logged.meta["target_sums"] == pytest.approx(index.meta["target_sums"], rel=1e-4)


@pytest.mark.slow
@hypothesis_settings(max_examples=25, deadline=None)
@given(cuts=st.lists(st.integers(1, 119), max_size=6), seed=st.integers(0, 100))
def test_any_partition_of_cells_gives_the_same_sums(cuts: list[int], seed: int) -> None:
    data = make_counts(120, 20, 3, seed=seed)
    cells = data.obs.rename(columns={"target_gene": "perturbation", "guide_id": "guide"})
    grouping = Grouping.of_cells(cells, seed=seed)
    scaling = np.linspace(0.5, 2, 120).astype(np.float32)
    whole = Accumulator(grouping, 20)
    whole.add(csr_matrix(data.X), 0, scaling)
    merged = Accumulator(grouping, 20)
    edges = sorted({0, 120, *cuts})
    for start, stop in reversed(list(zip(edges[:-1], edges[1:], strict=True))):
        piece = Accumulator(grouping, 20)
        piece.add(csr_matrix(data.X[start:stop]), start, scaling[start:stop])
        merged.merge(piece)
    np.testing.assert_allclose(merged.moments, whole.moments, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(merged.halves, whole.halves, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(merged.genes, whole.genes, rtol=1e-9)
    np.testing.assert_array_equal(merged.nonzero, whole.nonzero)


@pytest.mark.slow
@hypothesis_settings(max_examples=25, deadline=None)
@given(n_cells=st.integers(1, 50), n_genes=st.integers(1, 40), width=st.integers(1, 60), seed=st.integers(0, 1000))
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_store_returns_what_it_was_given(dtype: str, n_cells: int, n_genes: int, width: int, seed: int) -> None:
    import tempfile

    rng = np.random.default_rng(seed)
    x = rng.poisson(1.0, (n_cells, n_genes)).astype(np.float32)
    x[rng.random(x.shape) < 0.05] = rng.integers(250, 100_000)
    if dtype == "float32":
        x /= 7
    with tempfile.TemporaryDirectory() as name:
        writer = StoreWriter(Path(name), n_cells=n_cells, n_genes=n_genes, dtype=dtype)
        for start in range(0, n_cells, width):
            writer.add(csr_matrix(x[start : start + width]))
        describe_store(Path(name), [writer.close()], n_cells=n_cells, n_genes=n_genes, dtype=dtype)
        store = GeneStore(Path(name))
        np.testing.assert_array_equal(store.read(0, n_genes), x.T)
        middle = n_genes // 2
        np.testing.assert_array_equal(store.read(middle), x.T[middle : middle + 1])


def test_store_spans_blocks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(__import__("vccapp.stats.store", fromlist=["BLOCK_CELLS"]).BLOCK_CELLS, "uint8", 7)
    x = np.random.default_rng(0).poisson(100, (40, 9)).astype(np.float32) * 3
    writer = StoreWriter(tmp_path, n_cells=40, n_genes=9, dtype="uint8")
    for start in range(0, 40, 11):
        writer.add(csr_matrix(x[start : start + 11]))
    describe_store(tmp_path, [writer.close()], n_cells=40, n_genes=9, dtype="uint8")
    np.testing.assert_array_equal(GeneStore(tmp_path).read(2, 8), x.T[2:8])


def test_too_little_memory_is_refused_before_work(counts: ad.AnnData, tmp_path: Path) -> None:
    counts.write_h5ad(tmp_path / "toy.h5ad")
    with refusal(ResourceError, "memory"):
        build_index(open_dataset(tmp_path / "toy.h5ad"), tmp_path / "index", memory_bytes=1000)
    assert not (tmp_path / "index").exists()


def test_the_plan_counts_the_sums_to_the_byte(counts: ad.AnnData, tmp_path: Path) -> None:
    counts.write_h5ad(tmp_path / "toy.h5ad")
    dataset = open_dataset(tmp_path / "toy.h5ad")
    grouping = Grouping.of_cells(dataset.cells, seed=0)
    sums = Accumulator(grouping, dataset.n_genes)
    expected = sums_bytes(
        n_strata=len(grouping.strata),
        n_batches=len(grouping.batches),
        n_perturbations=len(grouping.perturbations),
        n_contexts=1,
        n_genes=dataset.n_genes,
    )
    assert sum(getattr(sums, name).nbytes for name in SUMS) == expected
    plan = plan_index(dataset)
    assert plan.memory_bytes > expected
    assert plan.disk_bytes > dataset.n_cells * dataset.n_genes + expected


def test_the_plan_counts_the_copy_of_cells_stored_by_gene(
    counts: ad.AnnData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ["csr.h5ad", "csc.h5ad", "again.h5ad"]
    for name in names:
        data = counts.copy()
        data.X = data.X.tocsr() if name == "csr.h5ad" else data.X.tocsc()
        data.write_h5ad(tmp_path / name)
    plain, by_gene = (plan_index(open_dataset(tmp_path / name)) for name in names[:2])
    assert (by_gene.scratch_bytes, by_gene.disk_bytes) == (0, plain.disk_bytes), "so few are turned in memory"
    monkeypatch.setattr("vccapp.data.matrices.csc.BUCKET_VALUES", 1000)
    by_gene = plan_index(open_dataset(tmp_path / "csc.h5ad"))
    assert by_gene.scratch_bytes == by_gene.disk_bytes - plain.disk_bytes == 8 * counts.X.nnz
    assert plan_index(open_dataset([tmp_path / name for name in names])).scratch_bytes == 2 * 8 * counts.X.nnz
    monkeypatch.setattr("shutil.disk_usage", lambda path: shutil._ntuple_diskusage(10**9, 0, by_gene.disk_bytes - 1))
    with refusal(ResourceError, "disk"):
        by_gene.refuse("csc.h5ad", memory_bytes=10**9, folder=tmp_path / "index")
    plain.refuse("csr.h5ad", memory_bytes=10**9, folder=tmp_path / "index")


def files_of(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


class Interrupter:
    """Progress that stops the work at a fraction."""

    def __init__(self, at: float) -> None:
        self.at = at

    def __call__(self, fraction: float, message: str = "") -> None:
        if fraction >= self.at:
            raise Stopped


@pytest.mark.parametrize("at", [0.1, 0.3, 0.56, 0.97])
def test_a_stopped_index_goes_on_and_equals_one_in_one_go(
    index: Index, counts: ad.AnnData, tmp_path: Path, at: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vccapp.stats.building.de.CHECKPOINT_GENES", 16)
    monkeypatch.setattr(compute_de, "__kwdefaults__", compute_de.__kwdefaults__ | {"block_genes": 16})
    counts.write_h5ad(tmp_path / "toy.h5ad")
    dataset = open_dataset(tmp_path / "toy.h5ad")
    with pytest.raises(Stopped):
        build_index(dataset, tmp_path / "index", progress=Interrupter(at))
    assert not has_index(tmp_path / "index")
    for folder in (path for path in tmp_path.rglob("*") if path.is_dir()):
        (folder / ".name.0123abcd.part").touch()  # what a writer that is killed leaves behind
    seen: list[float] = []
    build_index(dataset, tmp_path / "index", progress=lambda fraction, message="": seen.append(fraction))
    assert min(seen) >= (0 if at < 0.15 else 0.15 if at < 0.55 else 0.55)
    resumed = load_index(tmp_path / "index")
    for name in ("mean", "variance", "half_mean", "guide_mean", "de/p_value", "de/fdr", "de/lfc_2025"):
        np.testing.assert_array_equal(resumed.array(name), index.array(name))
    pd.testing.assert_frame_equal(resumed.genes, index.genes)
    pd.testing.assert_frame_equal(resumed.cells, index.cells)
    assert files_of(tmp_path / "index") == files_of(index.folder)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["index", "toy.h5ad"]


@pytest.mark.parametrize("step", ["shutil.rmtree", "os.replace"])
def test_an_index_killed_while_it_is_put_in_place_goes_on(
    index: Index, counts: ad.AnnData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    counts.write_h5ad(tmp_path / "toy.h5ad")
    dataset = open_dataset(tmp_path / "toy.h5ad")
    finished = tmp_path / ".index.building" / "index" / "index.json"
    do = {"shutil.rmtree": shutil.rmtree, "os.replace": os.replace}[step]

    def die(path: Path, *others: Path, **options: bool) -> None:
        if finished.exists():
            raise KeyboardInterrupt
        do(path, *others, **options)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(f"vccapp.stats.building.build.{step}", die)
        build_index(dataset, tmp_path / "index")
    assert finished.exists() and not has_index(tmp_path / "index")
    seen: list[str] = []
    build_index(dataset, tmp_path / "index", progress=lambda fraction, message="": seen.append(message))
    assert seen == ["index written"]
    assert files_of(tmp_path / "index") == files_of(index.folder)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["index", "toy.h5ad"]


def test_an_interrupted_index_of_other_content_is_begun_anew(counts: ad.AnnData, tmp_path: Path) -> None:
    counts.write_h5ad(tmp_path / "toy.h5ad")
    with pytest.raises(Stopped):
        build_index(open_dataset(tmp_path / "toy.h5ad"), tmp_path / "index", progress=Interrupter(0.56))
    other = make_counts(seed=9)
    other.write_h5ad(tmp_path / "toy.h5ad")
    build_index(open_dataset(tmp_path / "toy.h5ad"), tmp_path / "index")
    np.testing.assert_allclose(load_index(tmp_path / "index").genes["mean"], other.X.toarray().mean(0), rtol=1e-5)


def test_two_builders_of_one_index_do_not_meet(counts: ad.AnnData, tmp_path: Path) -> None:
    counts.write_h5ad(tmp_path / "toy.h5ad")
    dataset = open_dataset(tmp_path / "toy.h5ad")

    def second(fraction: float, message: str = "") -> None:
        with refusal(JobError, "index_busy"):
            build_index(dataset, tmp_path / "index")
        raise Stopped

    with pytest.raises(Stopped):
        build_index(dataset, tmp_path / "index", progress=second)


@pytest.mark.parametrize(("value", "found"), [(np.nan, "NaN"), (-2.0, "negative"), (0.5, "fractions")])
def test_wrong_values_deep_in_the_file_are_told(
    counts: ad.AnnData, tmp_path: Path, value: float, found: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts.write_h5ad(tmp_path / "toy.h5ad")
    dataset = open_dataset(tmp_path / "toy.h5ad")  # before the value goes wrong: a sample need not meet it
    with h5py.File(tmp_path / "toy.h5ad", "r+") as file:
        file["X/data"][file["X/indptr"][200]] = value
    with refusal(DataError, "bad_values"):
        build_index(dataset, tmp_path / "index")
    assert not has_index(tmp_path / "index")


def test_a_full_disk_is_refused_before_work(
    counts: ad.AnnData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts.write_h5ad(tmp_path / "toy.h5ad")
    monkeypatch.setattr("shutil.disk_usage", lambda path: shutil._ntuple_diskusage(10**6, 10**6, 1000))
    with refusal(ResourceError, "disk"):
        build_index(open_dataset(tmp_path / "toy.h5ad"), tmp_path / "index")
    assert [p.name for p in tmp_path.iterdir()] == ["toy.h5ad"]


def test_highly_variable_genes_are_scanpys(index: Index, counts: ad.AnnData, normalised: np.ndarray) -> None:
    import scanpy as sc

    data = ad.AnnData(csr_matrix(normalised.astype(np.float32)), obs=counts.obs, var=counts.var)
    for n_top in (10, 30):
        expected = sc.pp.highly_variable_genes(data, n_top_genes=n_top, flavor="seurat", inplace=False)
        linear = np.expm1(normalised)
        ours = compute_hvg(linear.mean(0), linear.var(0), len(linear), n_top=n_top)
        pd.testing.assert_frame_equal(ours, expected[list(ours)].reset_index(drop=True), rtol=1e-5, atol=1e-6)
    streamed = index.genes[["means", "dispersions", "dispersions_norm"]]
    pd.testing.assert_frame_equal(streamed, expected[list(streamed)].reset_index(drop=True), rtol=1e-4, atol=1e-5)


def test_an_index_of_another_version_is_refused(index: Index, tmp_path: Path) -> None:
    (tmp_path / "index.json").write_text(json.dumps(INDEX.stamp(index.meta) | {"version": INDEX.version + 1}))
    assert not has_index(tmp_path)
    with pytest.raises(DataError) as error:
        load_index(tmp_path)
    assert error.value.code == "newer_format"


def test_real_h1_cells(shared: Path, tmp_path: Path) -> None:
    build_index(open_dataset(shared / "vcc2025_h1_subset" / "H1-VCC-2025-training.h5ad"), tmp_path / "index")
    table = load_index(tmp_path / "index").perturbations.set_index("perturbation")
    assert table.loc["TMSB4X", "knockdown"] < 0.05
    assert table.loc[["SRC", "STAT1"], "degs"].tolist() == [0, 0]
    assert (table["n_cells"] == 100).all()
