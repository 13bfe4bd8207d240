"""An index of several contexts holds, within each, what an index of that context's cells alone holds."""

from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from places import SHARED
from refusals import refusal
from scipy.sparse import csr_matrix
from toy import make_counts

from vccapp.data.reading.opening import open_dataset
from vccapp.data.schema import CONTROL, context_of, target_of
from vccapp.errors import SpecError
from vccapp.stats.building.build import build_index
from vccapp.stats.index import Index, load_index
from vccapp.stats.views import compute_similarity, measure_guides

DEVEL = SHARED / "perturbench_devel" / "devel.h5ad"
LINES = ("K562", "RPE1")
BY_PERTURBATION = (
    "mean",
    "variance",
    "count_sum",
    "de/p_value",
    "de/fdr",
    "de/statistic",
    "de/lfc_2025",
    "de/lfc_2026",
)


def index_of(data: ad.AnnData, folder: Path) -> Index:
    folder.mkdir()
    data.write_h5ad(folder / "cells.h5ad")
    build_index(open_dataset(folder / "cells.h5ad"), folder / "index")
    return load_index(folder / "index")


@pytest.fixture(scope="module", params=["counts", "log1p"])
def built(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Index, dict[str, Index]]:
    """Two lines whose cells lie mixed, the second ten times as deep in half of the genes; and each line alone."""
    folder = tmp_path_factory.mktemp(request.param)
    first, second = (make_counts(n_cells=n, n_genes=40, seed=seed) for n, seed in ((300, 0), (200, 1)))
    x = second.X.toarray()
    x[:, 20:] *= 10
    second.X = csr_matrix(x)
    data = ad.concat({"K562": first, "RPE1": second}, label="cell_line", index_unique="-")
    data = data[np.random.default_rng(0).permutation(data.n_obs)].copy()
    if request.param == "log1p":
        data.X = csr_matrix(np.log1p(data.X.toarray() / 3))
    alone = {line: index_of(data[data.obs["cell_line"] == line].copy(), folder / line) for line in LINES}
    return index_of(data, folder / "both"), alone


@pytest.mark.slow
@pytest.mark.parametrize("line", LINES)
def test_a_context_is_as_if_its_cells_were_all(built: tuple[Index, dict[str, Index]], line: str) -> None:
    whole, alone = built[0], built[1][line]
    own = whole.within(line)
    assert [target_of(label) for label in own.labels] == alone.labels
    assert {context_of(label) for label in own.labels} == {line}
    for name in BY_PERTURBATION:
        np.testing.assert_allclose(own.array(name), alone.array(name), rtol=1e-6, atol=1e-9, err_msg=name)
    for name in ("perturbations", "guides", "batches", "genes"):
        mine, theirs = getattr(own, name), getattr(alone, name)
        pd.testing.assert_frame_equal(
            mine.drop(columns=mine.columns[0]), theirs.drop(columns=theirs.columns[0]), rtol=1e-6
        )
    for kind in ("guide_mean", "batch_mean"):
        np.testing.assert_allclose(own.array(kind), alone.array(kind), rtol=1e-6)
    gene = own.genes["gene"][3]
    np.testing.assert_array_equal(own.gene_values(gene), alone.gene_values(gene))
    np.testing.assert_array_equal(own.cell_values(np.array([2, 9])), alone.cell_values(np.array([2, 9])))
    np.testing.assert_array_equal(own.array("scaling"), alone.array("scaling"))
    assert own.cells["umis"].tolist() == pytest.approx(alone.cells["umis"].tolist(), nan_ok=True)
    guides, theirs = measure_guides(own, own.cells), measure_guides(alone, alone.cells)
    np.testing.assert_allclose(guides["knockdown"], theirs["knockdown"], rtol=1e-6)
    np.testing.assert_allclose(compute_similarity(own).correlation, compute_similarity(alone).correlation, atol=1e-5)


def test_the_whole_compares_each_with_its_own_controls(built: tuple[Index, dict[str, Index]]) -> None:
    whole, alone = built
    assert whole.contexts == list(LINES)
    assert whole.controls == [f"{CONTROL}@{line}" for line in LINES]
    assert whole.perturbed == whole.labels[2:]
    for label in whole.perturbed:
        theirs = alone[context_of(label)].delta(target_of(label))
        np.testing.assert_allclose(whole.delta(label), theirs, rtol=1e-5, atol=1e-6)
    effects = whole.perturbations.set_index("perturbation")["effect"]
    for label in whole.perturbed:
        assert effects[label] == pytest.approx(np.linalg.norm(whole.delta(label).astype(float)), rel=1e-4)
    with refusal(SpecError, "several_contexts"):
        _ = whole.control_mean
    with refusal(SpecError, "unknown_context"):
        whole.within("HeLa")
    with refusal(SpecError, "unknown_context"):
        alone["K562"].within("K562")


def test_genes_over_all_contexts_weigh_perturbed_cells(built: tuple[Index, dict[str, Index]]) -> None:
    whole, alone = built
    n = {line: index.perturbations["n_cells"][1:].sum() for line, index in alone.items()}
    delta = sum(n[line] * alone[line].genes["delta"] for line in LINES) / sum(n.values())
    np.testing.assert_allclose(whole.genes["delta"], delta, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(whole.genes["delta"], whole.genes["pert_mean"] - whole.genes["ctrl_mean"], atol=1e-9)


def test_variable_genes_over_contexts_are_scanpys(built: tuple[Index, dict[str, Index]]) -> None:
    """All genes are among the 2,000: what is compared are means and dispersions within the contexts."""
    whole, alone = built
    for name in ("means", "dispersions", "dispersions_norm"):
        expected = np.nanmean([alone[line].genes[name] for line in LINES], axis=0)
        np.testing.assert_allclose(whole.genes[name], expected, rtol=1e-6)


@pytest.mark.slow
@pytest.mark.shared
@pytest.mark.skipif(not DEVEL.exists(), reason=f"{DEVEL} is missing")
def test_degs_of_a_real_line_are_scanpys(tmp_path: Path) -> None:
    import scanpy as sc

    data = ad.read_h5ad(DEVEL)
    build_index(open_dataset(DEVEL), tmp_path / "index")
    counts = load_index(tmp_path / "index").within("k562").deg_counts().set_index("perturbation")["degs"]
    line = data[data.obs["cell_type"] == "k562"].copy()
    line.obs["perturbation"] = line.obs["perturbation"].astype(str)
    sc.tl.rank_genes_groups(line, "perturbation", reference="control", method="wilcoxon", tie_correct=True)
    result = line.uns["rank_genes_groups"]
    theirs = {name: int((result["pvals_adj"][name] < 0.05).sum()) for name in result["pvals_adj"].dtype.names}
    assert counts["KLF1@k562"] == 2
    ours = {target_of(label): n for label, n in counts.items()}

    assert ours == theirs
