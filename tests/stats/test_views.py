"""What the statistics pages work out, against numpy, scipy and what is known of made-up cells."""

import numpy as np
import pandas as pd
import pytest
from scipy.cluster.hierarchy import leaves_list, linkage
from toy import make_counts

from vccapp.data.reading.opening import open_dataset
from vccapp.data.schema import CONTROL
from vccapp.stats import views
from vccapp.stats.building.build import build_index
from vccapp.stats.index import Index, load_index

RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Index:
    folder = tmp_path_factory.mktemp("views")
    make_counts(n_perturbations=8).write_h5ad(folder / "toy.h5ad")
    build_index(open_dataset(folder / "toy.h5ad"), folder / "index")
    return load_index(folder / "index")


@pytest.mark.parametrize("by", ["perturbation", "guide", "batch"])
def test_depth_is_that_of_each_groups_cells(by: str, index: Index) -> None:
    cells = index.cells
    frame = views.compute_depth(cells, by=by).set_index(by)
    assert frame["n_cells"].sum() == len(cells)
    for label, row in frame.iterrows():
        own = cells[cells[by] == label]
        assert row["umis_median"] == pytest.approx(own["umis"].median())
        assert row["genes_low"] == pytest.approx(np.quantile(own["genes"], 0.1))
        assert row["genes_high"] == pytest.approx(np.quantile(own["genes"], 0.9))


def test_depth_of_log_values_has_no_umis(index: Index) -> None:
    frame = views.compute_depth(index.cells.assign(umis=np.nan), by="batch")
    assert frame["umis_median"].isna().all()
    assert frame["genes_median"].notna().all()


def test_pairs_count_every_cell_and_keep_empty_ones(index: Index) -> None:
    cells = index.cells
    frame = views.count_pairs(cells)
    table = pd.crosstab(cells["perturbation"], cells["batch"])
    assert len(frame) == table.size
    for row in frame.itertuples():
        assert row.n_cells == table.loc[row.perturbation, row.batch]
    none = cells[(cells["perturbation"] != "GENE1") | (cells["batch"] != cells["batch"].iloc[0])]
    assert (views.count_pairs(none)["n_cells"] == 0).any()


def test_imbalance() -> None:
    equal = views.compute_imbalance(["a", "b", "c"], np.array([5, 5, 5]))
    assert (equal.ratio, equal.gini) == (1, pytest.approx(0))
    found = views.compute_imbalance(["a", "b", "c"], np.array([1, 7, 2]))
    assert (found.largest, found.share, found.ratio) == ("b", 0.7, 7)
    pairs = np.abs(np.subtract.outer([1, 7, 2], [1, 7, 2]))
    assert found.gini == pytest.approx(pairs.mean() / (2 * np.mean([1, 7, 2])))


def test_quadrants_are_cut_at_the_medians() -> None:
    genes = pd.DataFrame(
        {
            "gene": list("abcde"),
            "means": [4.0, 3.0, 1.0, 0.5, 9.0],
            "dispersions": [2.0, -1.0, 1.5, -2.0, np.nan],
            "highly_variable": [True, False, False, False, False],
        }
    )
    frame, cuts = views.name_quadrants(genes)
    assert cuts == (2.0, 0.25)
    assert dict(zip(frame["gene"], frame["quadrant"], strict=True)) == dict(zip("abcd", views.QUADRANTS, strict=True))


def test_guides_measure_their_target_as_perturbations_do(index: Index) -> None:
    frame = views.measure_guides(index, index.cells)
    assert CONTROL not in set(frame["perturbation"])
    known = index.perturbations.set_index("perturbation")["knockdown"]
    mean, position, control = index.array("guide_mean"), index.gene_position, np.expm1(index.control_mean)
    guides = index.guides["guide"].tolist()
    assert set(frame["perturbation"]) == set(known.dropna().index)
    for row in frame.itertuples():
        target = position[row.perturbation]
        expected = np.expm1(mean[guides.index(row.guide), target]) / control[target]
        assert row.knockdown == pytest.approx(expected, rel=1e-5)
        assert row.n_cells == (index.cells["guide"] == row.guide).sum()


def test_correlation_equals_numpy() -> None:
    deltas = RNG.normal(size=(12, 300)).astype(np.float32)
    assert views.correlate(deltas) == pytest.approx(np.corrcoef(deltas), abs=1e-5)
    deltas[3] = 0
    assert (views.correlate(deltas)[3] == 0).all()


def test_alike_rows_become_neighbours() -> None:
    kinds = np.array([0, 1, 2] * 6)
    deltas = RNG.normal(size=(3, 200))[kinds] + 0.2 * RNG.normal(size=(18, 200))
    correlation = views.correlate(deltas)
    ordered = kinds[views.order_alike(correlation)]
    assert (np.diff(ordered) != 0).sum() == 2
    expected = leaves_list(linkage(deltas, "average", metric="correlation", optimal_ordering=True))
    assert (kinds[expected] == ordered).all() or (kinds[expected][::-1] == ordered).all()
    assert sorted(views.order_alike(correlation[:2, :2])) == [0, 1]


@pytest.mark.parametrize("n", [1, 2, 10])
def test_projection_is_the_svd(n: int) -> None:
    deltas = RNG.normal(size=(n, 40))
    scores, shares = views.project(deltas)
    left, singular, _ = np.linalg.svd(deltas - deltas.mean(axis=0), full_matrices=False)
    assert scores.shape == (n, 2)
    if n > 2:
        assert np.abs(scores) == pytest.approx(np.abs(left[:, :2] * singular[:2]), abs=1e-6)
        assert shares == pytest.approx(singular[:2] ** 2 / (singular**2).sum())


def test_reliability_is_of_the_halves(index: Index) -> None:
    genes = np.arange(0, len(index.genes), 2)
    frame = views.measure_reliability(index, genes)
    halves, control = index.array("half_mean"), index.array("mean")[0]
    for i, row in enumerate(frame.itertuples(), start=1):
        first, second = (halves[h, i, genes] - control[genes] for h in (0, 1))
        r = np.corrcoef(first, second)[0, 1]
        assert row.half_correlation == pytest.approx(r, abs=1e-4)
        assert row.reliability == pytest.approx(max(2 * r / (1 + r), 0) if r > 0 else 0, abs=1e-4)
