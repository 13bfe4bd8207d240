"""The cases of ../shared/cases that take more than opening, with two more files of each kind: formats, effects, scores,
predictions. Those of columns, labels and scales are in tests/data/reading/test_cases.py.
"""

from collections.abc import Callable
from pathlib import Path

import anndata as ad
import h5py
import numpy as np
import pytest
from cases import write_case
from refusals import refusal
from scipy.sparse import csr_matrix
from toy import make_counts

from vccapp.data.reading.opening import open_dataset
from vccapp.data.schema import CONTROL
from vccapp.errors import DataError
from vccapp.evaluation.scoring.score_files import score_files
from vccapp.seasons.base import SEASONS
from vccapp.stats.building.build import build_index
from vccapp.stats.export import EXPORTS
from vccapp.stats.index import Index, load_index
from vccapp.submission.budget import explain_labels, read_pert_counts
from vccapp.submission.check import CheckResult, run_checks
from vccapp.tasks.check import expected_of

Case = Callable[..., Path]


@pytest.fixture
def case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Case:
    return lambda name, **given: write_case(name, tmp_path, monkeypatch, **given)


def index_of(path: Path) -> Index:
    dataset = open_dataset(path)
    folder = path.with_suffix(".index")
    build_index(dataset, folder)
    return load_index(folder)


def logged(data: ad.AnnData) -> ad.AnnData:
    """Natural log1p at the median depth."""
    x = data.X.toarray().astype(np.float64)
    totals = x.sum(axis=1, keepdims=True)
    data.X = csr_matrix(np.log1p(x / totals * np.median(totals)).astype(np.float32))
    return data


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "suffix"),
    [
        ("bad_obs_column", ".h5ad"),
        ("h5ad_gz_name", ".h5ad.gz"),
        ("h5mu", ".h5mu"),
        ("obs_only_compressed", ".h5ad"),
        ("old_06", ".h5ad"),
        ("zarr_case_columns", ".zarr"),
    ],
)
def test_formats(name: str, suffix: str, case: Case) -> None:
    """390 cells x 80 genes, 150 controls, 6 perturbations; tests/data/stores/test_formats.py has more of each kind."""
    dataset = open_dataset(case(name, suffix=suffix))
    schema = dataset.schema
    assert (schema.n_cells, schema.n_genes, schema.n_perturbations, schema.n_control_cells) == (390, 80, 6, 150)
    assert schema.unmeasured == () and schema.value_space == "counts"
    assert dataset.read_rows(np.arange(390)).sum() == open_dataset(case("bool_batch")).read_rows(np.arange(390)).sum()


@pytest.mark.parametrize("where", ["case", "target silenced", "one only in the controls"])
def test_full_knockouts_are_the_most_certain(where: str, case: Case, tmp_path: Path) -> None:
    """STAT1 and GENE5 are the most certain DEGs of STAT1, with infinite fold changes that the table keeps."""
    if where == "case":
        label, silenced = "STAT1", {"STAT1": -np.inf, "GENE5": np.inf}
        path = case("full_knockout")
    else:
        data, label, path = make_counts(n_cells=300), "GENE1", tmp_path / "cells.h5ad"
        x, own = data.X.toarray(), (data.obs["target_gene"] == "GENE1").to_numpy()
        gene = 1 if where == "target silenced" else 30
        x[:, gene] = np.where(own, 0, 5)
        data.X = csr_matrix(x)
        data.write_h5ad(path)
        silenced = {f"GENE{gene}": -np.inf}
    table = index_of(path).de(label).set_index("gene")
    assert set(table["p_value"].nsmallest(len(silenced)).index) == set(silenced)
    for gene, change in silenced.items():
        assert table.loc[gene, "log2_fold_change"] == change and table.loc[gene, "fdr"] < 1e-6


@pytest.mark.parametrize("sizes", [None, {"GENE0": 1, "GENE1": 2}, {"GENE2": 1, "GENE3": 1}])
def test_tiny_groups_have_no_halves(sizes: dict[str, int] | None, case: Case, tmp_path: Path) -> None:
    """Reliability is empty for a perturbation of one cell, and there for one of five."""
    if sizes is None:
        path, sizes = case("tiny_groups"), {"STAT1": 1, "MED12": 2, "TET1": 3, "SRC": 5}
    else:
        data, path = make_counts(n_cells=300), tmp_path / "cells.h5ad"
        labels = data.obs["target_gene"].to_numpy(str)
        kept = np.ones(len(labels), bool)
        for label, n in sizes.items():
            kept[np.flatnonzero(labels == label)[n:]] = False
        data[kept].write_h5ad(path)
    index = index_of(path)
    table = EXPORTS["split_half_reliability.csv"](index).set_index("perturbation")
    for label, n in sizes.items():
        assert table.loc[label].isna().any() == (n == 1), label
    assert not table.loc[[label for label in index.perturbed if label not in sizes]].isna().any(axis=None)


@pytest.mark.parametrize("column", [None, "cell_type", "donor_id"])
def test_effects_are_within_lines(column: str | None, case: Case, tmp_path: Path) -> None:
    """Two lines: STAT1's effect in K562 is 3.6 long, not 7.6."""
    if column is None:
        path, label, longest = case("two_cell_lines"), "STAT1", 4.2
    else:
        first, second = make_counts(n_cells=200, seed=0), make_counts(n_cells=200, seed=1)
        second.X = csr_matrix(second.X.toarray() * np.where(np.arange(60) > 30, 9, 1))
        data = ad.concat({"K562": first, "RPE1": second}, label=column, index_unique="-")
        path, label, longest = tmp_path / "cells.h5ad", "GENE1", 6.0
        data.write_h5ad(path)
    index = index_of(path)
    assert index.contexts == ["K562", "RPE1"]
    cells, alone = open_dataset(path), index.within("K562")
    own = (cells.cells["context"] == "K562").to_numpy()
    values = np.log1p(normalised(cells.read_rows(np.flatnonzero(own)).toarray()))
    labels = cells.cells["perturbation"].astype(str).to_numpy()[own]
    effect = values[labels == f"{label}@K562"].mean(axis=0) - values[labels == f"{CONTROL}@K562"].mean(axis=0)
    np.testing.assert_allclose(alone.delta(f"{label}@K562"), effect, atol=2e-5)
    assert np.linalg.norm(effect) < longest


def normalised(x: np.ndarray) -> np.ndarray:
    totals = x.sum(axis=1, keepdims=True)
    return x / totals * np.median(totals)


@pytest.mark.slow
@pytest.mark.parametrize("order", ["case", "shuffled", "ids beside"])
def test_genes_in_another_order_are_scored_as_in_order(order: str, case: Case, tmp_path: Path) -> None:
    """DES 1, PDS 1, MAE 0."""
    if order == "case":
        predicted = case("metrics_shuffled_genes")
        real = predicted.with_name("real.h5ad")
        ad.read_h5ad(predicted)[:, ::-1].write_h5ad(real)
    else:
        data = logged(make_counts(n_cells=300))
        real, predicted = tmp_path / "real.h5ad", tmp_path / "predicted.h5ad"
        data.write_h5ad(real)
        if order == "ids beside":
            data.var["gene_ids"] = [f"ENSG{i:011d}" for i in range(data.n_vars)]
        data[:, np.random.default_rng(0).permutation(data.n_vars)].write_h5ad(predicted)
    scores = score_files(open_dataset(real), open_dataset(predicted), season="2025")
    assert scores["pds"].eq(1).all() and scores["mae"].max() < 1e-6 and scores["des"].dropna().eq(1).all()


@pytest.mark.parametrize("label", [None, "sgNT", "empty_vector"])
def test_a_hidden_control_label_is_shown_first(label: str | None, case: Case, tmp_path: Path) -> None:
    if label is None:
        path, label = case("hidden_control_label"), "sgNT"
    else:
        data, path = make_counts(), tmp_path / "cells.h5ad"
        data.obs["target_gene"] = data.obs["target_gene"].astype(str).replace(CONTROL, label)
        data.obs = data.obs[["target_gene"]]
        data.write_h5ad(path)
    with refusal(DataError, "no_control_label") as caught:
        open_dataset(path)
    assert f"no genes: {label}" in str(caught.value)


def checked(path: Path, folder: Path, depth: float) -> dict[str, CheckResult]:
    """By `submit check --practice --genes GENES --counts COUNTS`: 40 cells each, of this median."""
    with h5py.File(path) as file:
        genes = [name.decode() for name in file["var"][file["var"].attrs["_index"]][:]]
        column = file["obs/target_gene/categories"][:]
    targets = [name.decode() for name in column if name.decode() != CONTROL]
    (folder / "genes.txt").write_text("\n".join(genes) + "\n")
    rows = [f"{target},40,{depth}" for target in targets]
    (folder / "counts.csv").write_text("\n".join(["target_gene,n_cells,median_umi_per_cell", *rows]) + "\n")
    expected = expected_of(folder / "genes.txt", folder / "counts.csv")
    return {result.name: result for result in run_checks(path, SEASONS["vcc2025"], practice=True, **expected)}


SCALES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "log10": lambda x: x / np.log(10),
    "square roots": lambda x: np.sqrt(np.expm1(x)),
    "natural": lambda x: x,
}


@pytest.mark.parametrize("name", ["sub_log2", "sub_double_log", *SCALES])
def test_the_scale_of_a_whole_prediction_is_seen(name: str, case: Case, tmp_path: Path) -> None:
    """A warning: cells do not sum to the median that the table of counts advises."""
    if name.startswith("sub_"):
        path, depth = case(name), 240.0
    else:
        data = logged(make_counts(n_cells=300))
        depth = float(np.median(np.expm1(data.X.toarray()).sum(axis=1)))
        data.X = csr_matrix(SCALES[name](data.X.toarray()).astype(np.float32))
        data.obs["target_gene"] = data.obs["target_gene"].astype("category")
        path = tmp_path / "pred.h5ad"
        data.write_h5ad(path)
    result = checked(path, tmp_path, depth)["library_size"]
    assert result.status == ("ok" if name == "natural" else "warning"), result.message


@pytest.mark.parametrize("names", [None, ["3-Mar", "44257"], ["stat1", "NOTAGENE"]])
def test_labels_of_a_spreadsheet_are_named(names: list[str] | None, case: Case, tmp_path: Path) -> None:
    """1-Mar, 2-Sep and 44256 are named as no genes of the data."""
    path = tmp_path / "counts.csv"
    if names is None:
        path, names = case("counts_excel_csv", suffix=".csv"), ["1-Mar", "2-Sep", "44256"]
    else:
        rows = [f"{name},20" for name in ["STAT1", *names]]
        path.write_text("\n".join(["target_gene,n_cells", *rows]) + "\n")
    said = explain_labels(read_pert_counts(path)["target_gene"], ["STAT1", "MED12", "MARCHF1", "MARCHF3", "SEPTIN2"])
    assert said.startswith(f"{len(names)} (") and all(name in said for name in names) and "MED12" not in said


@pytest.mark.parametrize("way", ["case", "<f2", ">f4", "dense float64"])
def test_values_of_another_type_are_judged(way: str, case: Case, tmp_path: Path) -> None:
    """A result of the checks, whatever it is; never an error."""
    path = case("sub_float16") if way == "case" else tmp_path / "pred.h5ad"
    if way != "case":
        data = logged(make_counts(n_cells=300))
        data.obs["target_gene"] = data.obs["target_gene"].astype("category")
        data.X = data.X.toarray().astype("f8") if way.startswith("dense") else data.X.astype("f4")
        data.write_h5ad(path)
        if not way.startswith("dense"):
            with h5py.File(path, "r+") as file:
                values, about = file["X/data"][:], dict(file["X/data"].attrs)
                del file["X/data"]
                file.create_dataset("X/data", data=values.astype(way)).attrs.update(about)
    results = checked(path, tmp_path, 240.0)
    assert {"ok", "warning", "failed", "skipped"} >= {result.status for result in results.values()}
    assert any(result.status in ("warning", "failed") for result in results.values())
