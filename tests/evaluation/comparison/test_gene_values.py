"""Means, intervals and cells of single genes, against the cells they come from."""

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from toy import make_counts

from vccapp.data.reading.opening import open_dataset
from vccapp.data.schema import CONTROL
from vccapp.evaluation.comparison import gene_values
from vccapp.evaluation.comparison.gene_values import compute_gene_means, sample_gene_cells
from vccapp.evaluation.comparison.prediction import Prediction
from vccapp.stats.building.build import build_index
from vccapp.stats.index import Index, load_index

GENES = ["GENE3", "GENE11", "GENE20"]


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Index:
    folder = tmp_path_factory.mktemp("genes")
    make_counts(n_cells=600).write_h5ad(folder / "toy.h5ad")
    build_index(open_dataset(folder / "toy.h5ad"), folder / "index")
    return load_index(folder / "index")


@pytest.fixture
def own(index: Index) -> Prediction:
    labels = index.labels[1:]
    return Prediction("key", "mine", "run", tuple(labels), index.deltas(labels) * np.float32(0.5))


def test_means_and_intervals_are_those_of_the_cells(index: Index, own: Prediction) -> None:
    label = index.labels[2]
    frame = compute_gene_means(index, [own], perturbation=label, genes=GENES).set_index(["source", "gene"])
    groups = index.cells["perturbation"].to_numpy()
    for gene in GENES:
        values = index.gene_values(gene)
        for who, name in (("control", CONTROL), ("real", label)):
            cells = values[groups == name].astype(float)
            row = frame.loc[who, gene]
            error = 1.96 * cells.std(ddof=1) / np.sqrt(len(cells))
            assert row["mean"] == pytest.approx(cells.mean(), abs=1e-5)
            assert (row["low"], row["high"]) == pytest.approx((cells.mean() - error, cells.mean() + error), abs=1e-4)
        wanted = frame.loc["control", gene]["mean"] + 0.5 * index.delta(label)[index.gene_position[gene]]
        assert frame.loc["mine", gene]["mean"] == pytest.approx(wanted, abs=1e-6)
        assert np.isnan(frame.loc["mine", gene]["low"])


def test_predicted_cells_have_the_predicted_mean(
    index: Index, own: Prediction, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gene_values, "MAX_CONTROLS", 50)
    label = index.labels[1]
    values = {gene: index.gene_values(gene) for gene in GENES}
    groups = index.cells["perturbation"]
    frame = sample_gene_cells(index, [own], values, groups=groups, perturbation=label, stored={})
    sizes = frame.groupby(["gene", "source"], observed=True)["value"].size()
    assert sizes[GENES[0]].to_dict() == {"control": 50, "real": (groups == label).sum(), "mine": 50}
    for gene in GENES:
        cells = frame[frame["gene"] == gene].groupby("source", observed=True)["value"]
        wanted = index.control_mean[index.gene_position[gene]] + own.only([label]).deltas[0][index.gene_position[gene]]
        assert cells.mean()["mine"] == pytest.approx(wanted, rel=1e-3)
        assert np.sort(cells.get_group("real")) == pytest.approx(np.sort(values[gene][(groups == label).to_numpy()]))


def test_stored_cells_are_taken_as_they_are(index: Index, own: Prediction) -> None:
    stored = csr_matrix(np.arange(2 * len(index.genes), dtype=np.float32).reshape(2, -1))
    frame = sample_gene_cells(
        index,
        [own],
        {"GENE3": index.gene_values("GENE3")},
        groups=index.cells["perturbation"],
        perturbation=index.labels[1],
        stored={"key": stored},
    )
    assert frame[frame["source"] == "mine"]["value"].tolist() == stored[:, 3].toarray().ravel().tolist()
