"""Differential expression against scanpy and illico, on the same normalised values of toy and real cells.

scanpy has no continuity correction and is otherwise defined as ours. So our z-scores, p-values and DEGs, with the
correction undone, must be scanpy's; with it p-values rise, and a DEG of scanpy's near the cut may be none of ours.
"""

import os

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy.stats import false_discovery_control, norm
from toy import make_counts

from vccapp.data.reading.opening import open_dataset
from vccapp.data.schema import CONTROL
from vccapp.stats.building.build import build_index
from vccapp.stats.index import Index, load_index

SMALLEST_P = 1e-290  # where a float ends, relative differences mean nothing
REAL = {
    "h1": "vcc2025_h1_subset/H1-VCC-2025-training.h5ad",
    "thp1": "papalexi2021_thp1/papalexi2021_thp1_20729x299_counts.h5ad",
}


@pytest.fixture(scope="module", params=["toy", *REAL])
def both(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Index, ad.AnnData]:
    """An index, and its cells as log1p values with the label of each in obs.target."""
    folder = tmp_path_factory.mktemp("de")
    path = folder / "toy.h5ad"
    if request.param == "toy":
        make_counts(n_cells=600, n_genes=200).write_h5ad(path)
    else:
        path = request.getfixturevalue("shared") / REAL[request.param]
    dataset = open_dataset(path)
    build_index(dataset, folder / "index")
    index = load_index(folder / "index")
    values = index.normalise(dataset.read_rows(range(dataset.n_cells)), np.arange(dataset.n_cells))
    obs = pd.DataFrame({"target": dataset.cells["perturbation"].to_numpy()}).astype("category")
    obs.index = obs.index.astype(str)
    return index, ad.AnnData(values, obs=obs, var=pd.DataFrame(index=dataset.genes))


def undo_continuity(table: pd.DataFrame, *, n: int, n_control: int) -> tuple[np.ndarray, np.ndarray]:
    """|z| and p without the 0.5 by which the distance of U from what is expected was shortened.

    0 and 1 where that distance was not above 0.5, so that nothing is left to tell z from.
    """
    distance = np.abs(table["statistic"].to_numpy() - n * n_control / 2)
    shortened = np.maximum(distance - 0.5, 0)
    z = norm.isf(table["p_value"] / 2) * np.divide(distance, shortened, out=np.zeros(len(table)), where=shortened > 0)
    return z, 2 * norm.sf(z)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::pandas.errors.PerformanceWarning", "ignore:invalid value:RuntimeWarning")
def test_degs_are_scanpys_but_for_the_continuity_correction(both: tuple[Index, ad.AnnData]) -> None:
    import scanpy as sc

    index, data = both
    sc.tl.rank_genes_groups(data, "target", reference=CONTROL, method="wilcoxon", tie_correct=True)
    sizes = data.obs["target"].value_counts()
    for label in index.labels[1:]:
        theirs = sc.get.rank_genes_groups_df(data, label).set_index("names").loc[index.genes["gene"]]
        ours = index.de(label).set_index("gene")
        z, p = undo_continuity(ours, n=sizes[label], n_control=sizes[CONTROL])
        told = (z > 0) & (ours["p_value"] > SMALLEST_P).to_numpy()
        np.testing.assert_allclose(z[told], theirs["scores"].abs()[told], rtol=1e-5)
        np.testing.assert_allclose(p[told], theirs["pvals"][told], rtol=1e-6)
        assert (theirs["pvals"][z == 0] > 0.5).all()
        their_degs = set(theirs.index[theirs["pvals_adj"] < 0.05])
        assert set(ours.index[false_discovery_control(p) < 0.05]) == their_degs
        assert set(ours.index[ours["fdr"] < 0.05]) == their_degs  # no gene of these lies between the definitions


@pytest.mark.slow
def test_p_values_are_illicos(both: tuple[Index, ad.AnnData]) -> None:
    from illico import asymptotic_wilcoxon

    index, data = both
    table = asymptotic_wilcoxon(
        data, is_log1p=True, group_keys="target", reference=CONTROL, n_threads=os.cpu_count(), exp_post_agg=True
    )
    sizes = data.obs["target"].value_counts()
    for label in index.labels[1:]:
        theirs = table.loc[label].loc[index.genes["gene"]]
        ours = index.de(label).set_index("gene")
        np.testing.assert_array_equal(ours["statistic"], theirs["statistic"])
        # Where U is exactly as expected the distance is 0; illico takes 0.5 off that too, scipy and we do not.
        as_expected = (ours["statistic"] == sizes[label] * sizes[CONTROL] / 2).to_numpy()
        assert (ours["p_value"][as_expected] == 1).all()
        np.testing.assert_allclose(ours["p_value"][~as_expected], theirs["p_value"][~as_expected], rtol=1e-9)
