"""A model on the control cells of other data: genes by name, contexts as far as it knows them."""

from pathlib import Path

import numpy as np
import pytest
from refusals import refusal
from scipy.sparse import csr_matrix
from scipy.sparse import random as random_csr
from toy import make_counts

from vccapp.data.reading.opening import open_dataset
from vccapp.data.splits.split import split_from_lists
from vccapp.errors import DataError
from vccapp.models.base import Model, make_model
from vccapp.stats.building.build import build_index
from vccapp.stats.index import Index, load_index
from vccapp.stats.per_context import PerContext
from vccapp.training.aligned import AlignedModel, align_model, note_alignment

GENES = [f"GENE{i}" for i in range(60)]


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Index:
    folder = tmp_path_factory.mktemp("data")
    make_counts(400).write_h5ad(folder / "x.h5ad")
    build_index(open_dataset(folder / "x.h5ad"), folder / "index")
    return load_index(folder / "index")


def model_of(index: Index, genes: list[str]) -> Model:
    """Fitted, and then said to be of other genes."""
    split = split_from_lists(name="s", dataset=index.meta["fingerprint"], train=GENES[:3], test=GENES[3:4])
    model = make_model("perturbation_mean").fit(index, split, seed=0)
    model.genes = np.array(genes)
    return model


def test_the_same_genes_leave_the_model_alone(index: Index) -> None:
    model = model_of(index, GENES)
    assert align_model(model, index) is model and note_alignment(GENES, [], index) == ()


def test_genes_are_matched_by_name_and_unknown_ones_keep_the_controls(index: Index) -> None:
    names = [f"GENE{i}" if i % 10 else f"OTHER{i}" for i in range(60)][::-1]
    model = model_of(index, names)
    aligned = align_model(model, index)
    assert isinstance(aligned, AlignedModel)
    [delta], [own] = aligned.predict(["GENE1"]), model.predict(["GENE1"])
    for place, gene in enumerate(GENES):
        assert delta[place] == (own[names.index(gene)] if gene in names else 0)
    [note] = note_alignment(names, [], index)
    assert note.startswith("6 of the 60 genes are unknown to the model")
    rng = np.random.default_rng(0)
    block = csr_matrix(rng.gamma(2, 0.5, (50, 60)).astype(np.float32))
    [(cells, scaling)] = aligned.cell_blocks("GENE1", [(block, np.ones(50, np.float32))])
    assert cells.shape == (50, 60) and scaling.shape == (50,)
    wanted = np.maximum(index.mean("non-targeting") + delta, 0)
    np.testing.assert_allclose(np.asarray(cells.mean(axis=0)).ravel()[:40], wanted[:40], atol=1e-3)


def test_cells_that_are_the_models_own_keep_the_unknown_genes_of_their_controls(index: Index) -> None:
    model = model_of(index, ["GENE5", "ELSEWHERE", "GENE2"])

    class Own:
        makes_cells, genes, control_means = True, model.genes, PerContext((), np.zeros((1, 3)))

        def cell_blocks(self, perturbation, controls):
            for block, scaling in controls:
                yield (block * 2 + csr_matrix(np.ones(block.shape, np.float32))).tocsr(), scaling

    block = random_csr(20, 60, 0.4, format="csr", rng=np.random.default_rng(1), dtype=np.float32)
    [(cells, _)] = AlignedModel(Own(), index).cell_blocks("GENE1", [(block, np.ones(20, np.float32))])
    x, found = block.toarray(), cells.toarray()
    for place in range(60):
        np.testing.assert_array_equal(found[:, place], x[:, place] * 2 + 1 if place in (2, 5) else x[:, place])


def test_a_context_that_the_model_does_not_know_gets_the_mean_of_the_others(index: Index) -> None:
    model = model_of(index, GENES)
    model.control_means = PerContext(("K562", "RPE1"), np.repeat(model.control_means.rows, 2, axis=0))
    by_context = {"GENE1@K562": 1.0, "GENE1@RPE1": 3.0}
    model.predict = lambda labels: np.array([[by_context[label]] * 60 for label in labels], np.float32)
    aligned = align_model(model, index)
    assert (aligned.predict(["GENE1"]) == 2).all()
    assert (aligned.predict(["GENE1@K562"]) == 1).all()
    [note] = note_alignment(GENES, ["K562", "RPE1"], index)
    assert note.startswith("The context of the controls is unknown to the model")


def test_no_gene_in_common_is_refused(index: Index, tmp_path: Path) -> None:
    with refusal(DataError, "model_genes"):
        align_model(model_of(index, [f"ELSE{i}" for i in range(60)]), index)
