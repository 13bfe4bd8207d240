"""Folds as one row: what cross-validation gives of the same folds, which fits and scores by itself."""

import json

import pytest
from refusals import refusal
from toy import make_counts

from vccapp.cli import main
from vccapp.data.reading.opening import open_dataset
from vccapp.data.splits.split import make_folds, write_split
from vccapp.data.workspace import register
from vccapp.errors import SpecError
from vccapp.evaluation.leaderboard.ranking import MARK, RUN
from vccapp.jobs.keeping.launch import environment
from vccapp.models.base import make_model
from vccapp.references import NAMES
from vccapp.settings import Settings
from vccapp.stats.building.build import build_index
from vccapp.stats.index import load_index
from vccapp.training import RunSpec, load_run, train
from vccapp.training.cross_validation import cross_validate
from vccapp.training.results.board import load_board
from vccapp.training.results.leaderboard import RowChoice, choose_rows
from vccapp.training.results.pooled import pool_folds

METRICS = ("pearson_delta", "pds", "mae")
MODELS = ("knockdown_mean", "perturbation_mean")


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Two models on three folds, one of the runs twice; and on one fold of another split."""
    folder = tmp_path_factory.mktemp("pooled")
    settings = Settings(home=folder / "workspace", checkpoints=folder / "checkpoints", data_roots=(folder,))
    make_counts(400, n_perturbations=12).write_h5ad(folder / "toy.h5ad")
    dataset = open_dataset(folder / "toy.h5ad")
    build_index(dataset, register(dataset, settings, title="toy") / "index")
    perturbed = load_index(settings.index_of(dataset.fingerprint)).perturbed
    for name, seed in (("f", 3), ("g", 4)):
        for fold in make_folds(perturbed, name=name, dataset=dataset.fingerprint, k=3, seed=seed):
            write_split(fold, settings)
    for run, model, split in (
        *((f"{model}{i}", model, f"f-fold{i}") for model in MODELS for i in (1, 2, 3)),
        ("again", MODELS[0], "f-fold2"),
        ("other", MODELS[0], "g-fold1"),
    ):
        train(RunSpec(model=model, dataset=dataset.fingerprint, split=split), settings, run_id=run)
    return settings


@pytest.mark.slow
def test_pooled_folds_are_what_cross_validation_gives(settings: Settings) -> None:
    rows = choose_rows(pool_folds(load_board(settings), settings), RowChoice(per="folds"))
    assert len(rows.entries) == 2 and "again" in set(rows.entries["run"]) and "other" not in set(rows.entries["run"])
    table = rows.table(METRICS, rows.find_group(rows.newest(rows.default_reference)))
    own, marks = (table[table["kind"] == kind] for kind in (RUN, MARK))
    run = load_run("again", settings)
    index = load_index(settings.index_of(run.spec.dataset))
    folds = make_folds(index.perturbed, name="f", dataset=run.spec.dataset, k=3, seed=3)
    models = {name: make_model(name) for name in MODELS}
    found = cross_validate(index, folds, models, metrics=METRICS, reference=MODELS[0])
    means = found.means.set_index("model")
    assert set(own["n_perturbations"]) == {len(index.perturbed)}
    for metric in METRICS:
        assert own.set_index("model")[metric].to_dict() == pytest.approx(means.loc[[*MODELS], metric].to_dict())
        pooled = marks.set_index("row")[metric].dropna().to_dict()
        expected = {NAMES[name]: means.loc[name, metric] for name in NAMES}
        assert pooled == pytest.approx({name: value for name, value in expected.items() if value == value})
    [tested] = rows.view("mae", rows.default_reference).differences.to_dict("records")
    [expected] = found.differences.query("metric == 'mae' and model == 'perturbation_mean'").to_dict("records")
    assert abs(tested["difference"]) == pytest.approx(abs(expected["difference"])) and tested["p"] == expected["p"]


@pytest.mark.slow
def test_what_has_no_folds_is_refused(settings: Settings) -> None:
    runs = load_board(settings, runs=["other"])
    with refusal(SpecError, "no_folds"):
        pool_folds(runs, settings)
    with refusal(SpecError, "not_pooled"):
        choose_rows(pool_folds(load_board(settings), settings), RowChoice(per="folds", part="val"))


def test_the_commands_give_the_same(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    for name, value in environment(settings).items():
        monkeypatch.setenv(name, value)

    def call(*words: str) -> dict:
        with pytest.raises(SystemExit) as end:
            main([*words, "--json"])
        out = capsys.readouterr()
        assert end.value.code == 0, out.err
        return json.loads(out.out)

    dataset = load_run("again", settings).spec.dataset
    shown = call("eval", "leaderboard", "--rows", "folds", "--metric", "mae")["rows"]
    judged = call(
        "eval", "cross-validate", *MODELS, "--dataset", dataset, "--folds", "3", "--seed", "3", "--metric", "mae"
    )
    means = {row["model"]: row["mae"] for row in judged["means"]}
    own = {row["model"]: row["mae"] for row in shown if row["kind"] == RUN}
    assert own == pytest.approx({name: means[name] for name in MODELS})
