"""The exported CSVs: values against numpy, columns and order against tables that others published."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from toy import make_counts
from twin import read_tables

from vccapp.cli import main
from vccapp.data.reading.opening import open_dataset
from vccapp.data.schema import CONTROL
from vccapp.stats.building.build import build_index
from vccapp.stats.export import EXPORTS, write_exports
from vccapp.stats.index import Index, load_index

PUBLISHED = {
    "gene_statistics.csv": "gene_statistics.csv",
    "gene_delta_with_nonzero_fraction.csv": "gene_delta_with_nonzero_fraction.csv",
    "deg_counts.csv": "test_set.csv",
}


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Index:
    folder = tmp_path_factory.mktemp("export")
    make_counts(n_cells=400).write_h5ad(folder / "toy.h5ad")
    build_index(open_dataset(folder / "toy.h5ad"), folder / "index")
    return load_index(folder / "index")


@pytest.fixture(scope="module")
def written(index: Index, tmp_path_factory: pytest.TempPathFactory) -> dict[str, pd.DataFrame]:
    """Every CSV as read back."""
    paths = write_exports(index, tmp_path_factory.mktemp("csv"), fdr=0.5, min_abs_lfc=0.1)
    assert [path.name for path in paths] == list(EXPORTS)
    return {path.name: pd.read_csv(path) for path in paths}


def test_values_equal_numpy(written: dict[str, pd.DataFrame]) -> None:
    counts = make_counts(n_cells=400)
    x, control = counts.X.toarray().astype(float), (counts.obs.target_gene == CONTROL).to_numpy()
    delta = x[~control].mean(0) - x[control].mean(0)
    genes = pd.DataFrame(
        {
            "gene": counts.var_names,
            "mean": x.mean(0),
            "max": x.max(0),
            "min": x.min(0),
            "nonzero_fraction": (x > 0).mean(0),
            "ctrl_mean": x[control].mean(0),
            "pert_mean": x[~control].mean(0),
            "delta": delta,
            "abs_delta": np.abs(delta),
            "ctrl_nonzero_fraction": (x[control] > 0).mean(0),
        }
    )
    statistics = written["gene_statistics.csv"]
    pd.testing.assert_frame_equal(statistics, genes[statistics.columns.tolist()], rtol=1e-6)

    full = written["gene_delta_with_nonzero_fraction.csv"]
    by_name = genes.set_index("gene").loc[full["gene"]].reset_index()
    pd.testing.assert_frame_equal(full, by_name[full.columns.tolist()], rtol=1e-6)
    assert (np.diff(full["abs_delta"]) <= 0).all() and sorted(full["gene"]) == sorted(genes["gene"])
    pd.testing.assert_frame_equal(written["gene_delta_all_sorted.csv"], full.drop(columns="ctrl_nonzero_fraction"))
    pd.testing.assert_frame_equal(written["gene_delta_top50.csv"], written["gene_delta_all_sorted.csv"][:50])


def test_deg_counts_are_of_the_thresholds(written: dict[str, pd.DataFrame], index: Index) -> None:
    table = written["deg_counts.csv"]
    for group, degs, up, down in table.itertuples(index=False):
        de = index.de(group)
        chosen = de[(de["fdr"] < 0.5) & (de["log2_fold_change"].abs() >= 0.1)]["log2_fold_change"]
        assert (degs, up, down) == (len(chosen), (chosen > 0).sum(), (chosen < 0).sum())
    assert table["DEG_Count"].is_monotonic_decreasing and table["DEG_Count"].max() > 0
    assert sorted(table["Group"]) == index.labels[1:]


def test_hvg_table(written: dict[str, pd.DataFrame], index: Index) -> None:
    table = written["hvg.csv"]
    assert table.columns.tolist() == ["gene", "highly_variable", "means", "dispersions", "dispersions_norm"]
    pd.testing.assert_frame_equal(table, index.genes[table.columns.tolist()])


@pytest.mark.parametrize("name", PUBLISHED)
def test_columns_equal_the_published(written: dict[str, pd.DataFrame], shared: Path, name: str) -> None:
    published = pd.read_csv(shared / "vcc2025_h1_training_stats" / PUBLISHED[name])
    assert written[name].columns.tolist() == published.columns.tolist()


def test_published_columns_mean_what_ours_do(shared: Path) -> None:
    """Figures of the real training file; where one contradicts another, the documentation says which is which."""
    folder = shared / "vcc2025_h1_training_stats"
    tables = read_tables(folder, shared / "vcc2025_official")
    n_control, n_cells = tables.cells[0].sum(), tables.cells.sum()
    statistics = pd.read_csv(folder / "gene_statistics.csv").set_index("gene")
    delta = pd.read_csv(folder / "gene_delta_with_nonzero_fraction.csv").set_index("gene")
    pooled = (delta["ctrl_mean"] * n_control + delta["pert_mean"] * (n_cells - n_control)) / n_cells
    np.testing.assert_allclose(pooled, statistics["mean"][delta.index], rtol=1e-4)
    np.testing.assert_allclose(delta["pert_mean"] - delta["ctrl_mean"], delta["delta"], atol=2e-5)
    assert delta["abs_delta"].is_monotonic_decreasing

    share = delta["ctrl_nonzero_fraction"]
    assert (share > delta["ctrl_mean"] + 1e-6).sum() > 6000  # more cells than counts: impossible in these rows
    in_file_order = pd.Series(share.to_numpy(), index=statistics.index)
    assert (in_file_order <= delta["ctrl_mean"][statistics.index] + 1e-6).all()
    assert np.corrcoef(in_file_order, statistics["nonzero_fraction"])[0, 1] > 0.9999
    np.testing.assert_allclose(share * n_control, np.rint(share * n_control), atol=1e-6)


@pytest.mark.slow
def test_by_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    monkeypatch.setenv("VCCAPP_HOME", str(tmp_path / "workspace"))
    make_counts().write_h5ad(tmp_path / "toy.h5ad")

    def call(*words: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as end:
            main(["data", *map(str, words)])
        return int(end.value.code or 0), *capsys.readouterr()

    toy, out = tmp_path / "toy.h5ad", tmp_path / "out.h5ad"
    code, _, err = call("preprocess", toy, out)
    assert code == 2 and "vccapp data index" in err and err.count("\n") == 1
    assert call("index", toy)[0] == 0
    code, printed, _ = call("preprocess", toy, out, "--n-hvg", 12, "--json")
    assert code == 0 and json.loads(printed)["n_hvg"] == 12 and open_dataset(out).schema.value_space == "log1p"
    assert call("preprocess", toy, out)[0] == 2
    code, printed, _ = call("export", toy, tmp_path / "csv", "--fdr", 0.01, "--json")
    assert code == 0 and [Path(path).name for path in json.loads(printed)["paths"]] == list(EXPORTS)
    assert {path.name for path in (tmp_path / "csv").iterdir()} == set(EXPORTS)
