"""Data of two cell lines: every model trains, predicts and is judged within the line of each perturbation."""

from datetime import UTC, datetime

import anndata as ad
import numpy as np
import pytest
from scipy.sparse import csr_matrix
from toy import make_counts

from vccapp.data.reading.opening import open_dataset
from vccapp.data.schema import context_of, control_of, is_control
from vccapp.data.splits.split import hold_out_contexts, make_split, write_split
from vccapp.data.workspace import register
from vccapp.models.base import load_model
from vccapp.settings import Settings
from vccapp.stats.building.build import build_index
from vccapp.stats.index import Index, load_index
from vccapp.training import RunSpec, load_run, make_run_id, train
from vccapp.training.comparison import open_comparison
from vccapp.training.diagnose import diagnose_run
from vccapp.training.results.score_run import score_run

SMALL = {"genes": 30, "width": 16, "inner": 8, "code": 4, "epochs": 2, "epoch_steps": 1, "batch_size": 32}
MODELS = {
    "perturbation_mean": {},
    "knockdown_mean": {},
    "ridge": {"embedding": "expression"},
    "knn": {"embedding": "expression"},
    "bilinear": {},
    "additive": {},
    "scouter": SMALL | {"embedding": "expression"},
    "state": {"preset": "xs", "genes": 30, "steps": 3, "set_size": 8, "sets": 2, "embedding": "expression"},
}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Line B expresses half of the genes eight times as much; splits 'genes' and 'lines' hold out genes and a line."""
    folder = tmp_path_factory.mktemp("workspace")
    settings = Settings(
        home=folder / "workspace", checkpoints=folder / "checkpoints", data_roots=(folder,), device="cpu"
    )
    first, second = (make_counts(360, n_perturbations=8, seed=seed) for seed in (0, 1))
    x = second.X.toarray()
    x[:, 30:] *= 8
    second.X = csr_matrix(x)
    ad.concat({"A": first, "B": second}, label="cell_line", index_unique="-").write_h5ad(folder / "lines.h5ad")
    dataset = open_dataset(folder / "lines.h5ad")
    build_index(dataset, register(dataset, settings) / "index")
    labels = load_index(settings.index_of(dataset.fingerprint)).perturbed
    write_split(make_split(labels, name="genes", dataset=dataset.fingerprint, ratio=(0.5, 0.25, 0.25)), settings)
    write_split(hold_out_contexts(labels, name="lines", dataset=dataset.fingerprint, test=["B"]), settings)
    return settings


@pytest.fixture(scope="module")
def index(workspace: Settings) -> Index:
    [folder] = workspace.datasets.iterdir()
    return load_index(folder / "index")


def run(model: str, split: str, settings: Settings) -> str:
    [folder] = settings.datasets.iterdir()
    spec = RunSpec(model=model, dataset=folder.name, split=split, params=MODELS[model])
    run_id = make_run_id(spec, now=datetime.now(UTC))
    train(spec, settings, run_id=run_id)
    return run_id


@pytest.mark.slow
@pytest.mark.parametrize("split", ["genes", "lines"])
@pytest.mark.parametrize("model", MODELS)
def test_predictions_stay_within_the_line(model: str, split: str, workspace: Settings, index: Index) -> None:
    run_id = run(model, split, workspace)
    labels, deltas = load_run(run_id, workspace).require_prediction("test")
    fitted = load_model(workspace.checkpoints / run_id / "model")
    np.testing.assert_allclose(fitted.predict(labels), deltas, atol=1e-5)
    np.testing.assert_array_equal(fitted.control_means.of(labels), index.control_means(labels))
    between = np.linalg.norm(index.mean(index.controls[0]) - index.mean(index.controls[1]))
    assert np.linalg.norm(deltas, axis=1).max() < between, "an effect is as long as the lines are apart"
    assert not fitted.predict(index.controls).any()


@pytest.mark.slow
def test_the_mean_effect_is_that_of_the_line(workspace: Settings, index: Index) -> None:
    run_id = run("perturbation_mean", "genes", workspace)
    split = load_run(run_id, workspace).split
    model = load_model(workspace.checkpoints / run_id / "model")
    for line in "AB":
        own = [label for label in split.train if context_of(label) == line]
        mean = index.deltas(own).astype(float).mean(axis=0)
        np.testing.assert_allclose(model.predict([f"GENE99@{line}"])[0], mean, atol=1e-6)
    held_out = load_model(workspace.checkpoints / run("perturbation_mean", "lines", workspace) / "model")
    np.testing.assert_array_equal(held_out.predict(["X@A"]), held_out.predict(["X@B"]))  # nothing is known of B


@pytest.mark.slow
def test_a_split_by_context_is_compared_and_scored(workspace: Settings, index: Index) -> None:
    run_id = run("ridge", "lines", workspace)
    comparison = open_comparison([run_id], workspace, part="test")
    assert {context_of(label) for label in comparison.labels} == {"B"}
    assert open_comparison([run_id], workspace, context="B").labels == comparison.labels
    assert {found.status for found in diagnose_run(run_id, "test", workspace, context="B")} <= {
        "ok",
        "warning",
        "problem",
        "skipped",
    }
    score = score_run(run_id, "test", "vccapp", workspace)
    assert score.n_perturbations == 8 and score.means["mae"] is not None
    genes = run("ridge", "genes", workspace)
    score, labels = score_run(genes, "test", "vccapp", workspace), load_run(genes, workspace).split.test
    assert {context_of(label) for label in labels} == {"A", "B"}
    assert score.n_cells["controls"] == sum(
        index.perturbations.set_index("perturbation")["n_cells"][list({control_of(label) for label in labels})]
    )
    assert not any(map(is_control, labels))


@pytest.mark.slow
def test_ranks_are_within_the_line(workspace: Settings, index: Index) -> None:
    """The PDS of a part is that of each line's perturbations among themselves."""
    run_id = run("ridge", "genes", workspace)
    whole = open_comparison([run_id], workspace)
    scores = whole.scores(whole.runs[0].key, "pds").set_index("perturbation")["pds"]
    for line in "AB":
        own = open_comparison([run_id], workspace, context=line)
        assert 0 < len(own.labels) < len(whole.labels)
        alone = own.scores(own.runs[0].key, "pds").set_index("perturbation")["pds"]
        assert alone.to_dict() == scores[list(own.labels)].to_dict()
