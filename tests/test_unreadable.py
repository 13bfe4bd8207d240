"""A file of ours that is damaged, of another kind or of a newer version is shown as such, and the rest stays.

For every kind: by the command that reads it, with and without --json, and on its page.
"""

import contextlib
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import pytest
import streamlit as st
from archived import unpack
from bundles import make_bundle
from custom_season import write_season
from mutations import write_submission
from page_kit import open_alone, use
from streamlit.testing.v1 import AppTest

from vccapp import ui
from vccapp.cli import main
from vccapp.data.atomic import write_json
from vccapp.data.reading.opening import open_dataset
from vccapp.data.splits.split import SPLIT
from vccapp.data.workspace import DATASET
from vccapp.models.saving import MODEL
from vccapp.neural.arc_state.program import ENVIRONMENT, RECORD
from vccapp.neural.fitting.checkpoint import CHECKPOINT
from vccapp.neural.state.shape import CONVERTED
from vccapp.records import Format
from vccapp.seasons.bundle import BUNDLE
from vccapp.seasons.custom import SEASON
from vccapp.seasons.opened import find_season, open_bundle, open_season
from vccapp.settings import Settings
from vccapp.stats.cells.embedding import EMBEDDING
from vccapp.stats.index import INDEX
from vccapp.stats.store import STORE
from vccapp.submission.ledger.entry import ENTRY, set_note
from vccapp.submission.making.made import MADE, Made, write_made
from vccapp.submission.plan import PLAN
from vccapp.submission.report import REPORT
from vccapp.submission.scored import LOCAL, score_submission
from vccapp.training import list_runs
from vccapp.training.record import NOTES, PREDICTION, RUN
from vccapp.training.results.entered import RESULT
from vccapp.training.results.scores import SCORE
from vccapp.training.runs.notes import set_note as set_run_note
from vccapp.training.sweeps.record import SWEEP, SweepRecord, write_sweep
from vccapp.training.sweeps.spec import make_sweep
from vccapp.ui.kit.frame import PAGES

RECORD_DAMAGES = {"cut": "record_damaged", "empty": "record_damaged", "other": "other_format", "newer": "newer_format"}
"""What happens to a record, and the code of the error."""
FILE_DAMAGES = {"cut": "file_damaged", "gone": "file_missing"}
"""What happens to an array or a table."""


class Kind(NamedTuple):
    """file : below the archive, {TITLE} the folder of the run of that title; format : None for arrays and tables

    listed : the command that lists it, and what its list is called; page : where the list stands
    optional : what it says is computed where it is gone
    """

    file: str
    format: Format | None
    listed: tuple[str, ...] = ()
    name: str = ""
    page: str = ""
    params: dict[str, str] = {}
    optional: bool = False

    @property
    def damages(self) -> dict[str, str]:
        if self.optional:
            return {name: code for name, code in FILE_DAMAGES.items() if name != "gone"}
        if self.format is None:
            return FILE_DAMAGES
        few = ("cut", "newer") if self.page == "jobs" else RECORD_DAMAGES  # a job takes seconds
        return {name: RECORD_DAMAGES[name] for name in few}


DATA = "home/datasets/{data}"
EMBEDDED = [word for value in ("inputs=X_pca", "embedding=one-hot", "baseline=") for word in ("--set", value)]
LISTED = {
    "dataset": Kind("home/datasets/{other}/dataset.json", DATASET, ("data", "list"), "datasets", "data"),
    "split": Kind("home/splits/ratio.json", SPLIT, ("split", "list"), "splits", "splits"),
    "split of Train": Kind("home/splits/ratio.json", SPLIT, ("split", "list"), "splits", "train"),
    "run": Kind("{bilinear}/run.json", RUN, ("runs", "list"), "runs", "runs"),
    "notes of a run": Kind("{bilinear}/notes.json", NOTES, ("runs", "list"), "runs", "runs"),
    "run of Compare": Kind("{bilinear}/run.json", RUN, ("train", "list"), "runs", "compare"),
    "run of Submit": Kind("{bilinear}/run.json", RUN, ("train", "list"), "runs", "submit"),
    "run of Scores": Kind("{bilinear}/run.json", RUN, ("eval", "leaderboard"), "rows", "scores"),
    "sweep": Kind("home/sweeps/tried/sweep.json", SWEEP, ("sweep", "list"), "sweeps", "sweeps"),
    "score": Kind("{bilinear}/scores/pseudobulks-test.json", SCORE, ("eval", "leaderboard"), "rows", "scores"),
    "table of a score": Kind(
        "{bilinear}/scores/pseudobulks-test.parquet", None, ("eval", "leaderboard"), "rows", "scores"
    ),
    "result": Kind("home/entered/{result}.json", RESULT, ("eval", "entered", "list"), "results", "scores"),
    "plan": Kind("home/submissions/mine/plan.json", PLAN, ("submit", "list"), "submissions", "submit"),
    "ledger entry": Kind("home/ledger/mine.json", ENTRY, ("submit", "ledger", "list"), "ranked", "ledger"),
    "plan in the ledger": Kind(
        "home/submissions/mine/plan.json", PLAN, ("submit", "ledger", "list"), "ranked", "ledger"
    ),
    "report": Kind("home/submissions/mine/report.json", REPORT, ("submit", "list"), "submissions", "submit"),
    "local score": Kind("home/scored/{score}/score.json", LOCAL, ("submit", "ledger", "list"), "ranked", "ledger"),
    "season of one's own": Kind("home/seasons/contest/season.json", SEASON, ("season", "list"), "seasons", "submit"),
    "bundle": Kind("home/seasons/vcc2026/validation/bundle.json", BUNDLE, ("season", "list"), "seasons", "submit"),
}
CALLED = {
    "what made cells": (
        Kind("home/submissions/mine/made.json", MADE, page="jobs"),
        ("submit", "package", "mine"),
    ),
    "model": (Kind("{ridge}/model/model.json", MODEL, page="jobs"), ("submit", "build", "mine")),
    "arrays of a model": (Kind("{ridge}/model/state.safetensors", None, page="jobs"), ("submit", "build", "mine")),
    "prediction": (
        Kind("{ridge}/prediction/perturbations.json", PREDICTION, page="compare", params={"cmp_runs": "{ridge id}"}),
        ("eval", "compare", "--run", "{ridge id}"),
    ),
    "deltas of a prediction": (
        Kind("{ridge}/prediction/deltas.npy", None, page="compare", params={"cmp_runs": "{ridge id}"}),
        ("eval", "compare", "--run", "{ridge id}"),
    ),
    "references": (
        Kind(
            "{ridge}/scores/references-test.parquet",
            None,
            page="compare",
            params={"cmp_runs": "{ridge id}"},
            optional=True,
        ),
        ("eval", "scores", "--run", "{ridge id}"),
    ),
    "checkpoint": (
        Kind("{interrupted}/checkpoint/{step}/state.json", CHECKPOINT, page="jobs"),
        ("train", "resume", "{interrupted id}"),
    ),
    "weights of a checkpoint": (
        Kind("{interrupted}/checkpoint/{step}/network.safetensors", None, page="jobs"),
        ("train", "resume", "{interrupted id}"),
    ),
    "optimiser of a checkpoint": (
        Kind("{interrupted}/checkpoint/{step}/optimiser.pt", None, page="jobs"),
        ("train", "resume", "{interrupted id}"),
    ),
    "index": (Kind(f"{DATA}/index/index.json", INDEX, page="overview"), ("data", "export", "{data}", "{out}")),
    "table of an index": (
        Kind(f"{DATA}/index/genes.parquet", None, page="overview"),
        ("data", "export", "{data}", "{out}"),
    ),
    "array of an index": (
        Kind(f"{DATA}/index/mean.npy", None, page="similarity"),
        ("eval", "compare", "--run", "{ridge id}"),
    ),
    "gene store": (
        Kind(f"{DATA}/index/store/store.json", STORE, page="genes", params={"gene": "GENE3"}),
        ("model", "embed", "{data}", "--method", "pca"),
    ),
    "values of a gene store": (
        Kind(f"{DATA}/index/store/values.bin", None, page="genes", params={"gene": "GENE3"}),
        ("model", "embed", "{data}", "--method", "pca"),
    ),
    "cell embedding": (
        Kind(f"{DATA}/index/embeddings/X_pca/embedding.json", EMBEDDING, page="train embeddings"),
        ("train", "start", "state", "--split", "lists", *EMBEDDED),
    ),
    "values of a cell embedding": (
        Kind(f"{DATA}/index/embeddings/X_pca/values.npy", None, page=""),
        ("train", "start", "state", "--split", "lists", *EMBEDDED),
    ),
    "environment": (Kind("home/environments/state/environment.json", ENVIRONMENT, page=""), ("state", "show")),
    "converted checkpoint": (
        Kind("data/converted/official.json", CONVERTED, page=""),
        ("train", "start", "state_checkpoint", "--split", "lists", "--set", "folder={converted}"),
    ),
    "weights of a converted checkpoint": (
        Kind("data/converted/weights.safetensors", None, page="jobs"),
        ("train", "start", "state_checkpoint", "--split", "lists", "--set", "folder={converted}"),
    ),
}
STILL_LISTED = ("report", "notes of a run", "ledger entry", "plan in the ledger", "local score", "bundle")
"""Another file, or the app itself, names the entry."""
MORE = ("local score", "season of one's own", "bundle")
LISTED_CASES = [
    pytest.param(kind, damage, marks=[pytest.mark.slow] if kind in MORE else [])
    for kind, found in LISTED.items()
    for damage in found.damages
]
CALLED_CASES = [(kind, damage) for kind, (found, _) in CALLED.items() for damage in found.damages]


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    folder = tmp_path_factory.mktemp("unreadable")
    home, checkpoints = unpack("0.1.0", folder)
    settings = Settings(home=home, checkpoints=checkpoints, data_roots=(folder,), device="cpu")
    set_note("mine", "of the ledger, which 0.1.0 did not have", settings)
    made = Made(python="", platform="", versions={}, season="vcc2025", rules="", genes="", panel=None, sources={})
    write_made(made, settings.submissions / "mine")
    write_json(settings.state_environment / RECORD, ENVIRONMENT.stamp({"versions": {"arc-state": "0.11.1"}}))
    [ridge] = [run.spec for run in list_runs(settings) if run.title == "ridge"]
    spec = make_sweep(ridge.model_copy(update={"params": {}}), {"strength": [0.5, 1.0]}, {}, sampler="grid")
    folder = settings.sweeps / "tried"
    folder.mkdir(parents=True)
    write_sweep(SweepRecord(id="tried", spec=spec, created=datetime.now(UTC), vccapp="0.2.0", folder=folder))
    [bilinear] = [run.id for run in list_runs(settings) if run.title == "bilinear"]
    set_run_note(bilinear, "which 0.1.0 did not have", settings)
    return settings


@pytest.fixture(scope="module")
def more(archive: Settings) -> dict[str, str]:
    """What 0.1.0 could not write: an opened bundle, a season of one's own, a score of cells against themselves."""
    folder = archive.home.parent
    open_season(write_season(folder / "season"), archive)
    open_bundle(make_bundle(folder / "bundle"), archive)
    cells = folder / "scored.h5ad"
    write_submission(cells)
    score = score_submission(cells, open_dataset(cells), season=find_season("vcc2025", archive), settings=archive)
    return {"score": score.id}


@pytest.fixture(scope="module")
def names(archive: Settings) -> dict[str, str]:
    """What the placeholders of KINDS stand for."""
    runs = {run.spec.title: run for run in list_runs(archive)}
    found = {f"{title} id": run.id for title, run in runs.items()}
    found |= {title: f"checkpoints/{run.id}" for title, run in runs.items()}
    data = runs["ridge"].spec.dataset
    [other] = [path.name for path in archive.datasets.iterdir() if path.is_dir() and path.name != data]
    [result] = [path.stem for path in (archive.home / "entered").iterdir()]
    [step] = [path.name for path in (runs["interrupted"].folder / "checkpoint").iterdir()]
    folder = archive.home.parent
    places = {"out": str(folder / "out"), "converted": str(folder / "data" / "converted")}
    return found | places | {"data": data, "other": other, "result": result, "step": step}


@pytest.fixture
def here(archive: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The archive as the workspace; pages say what they raise, as app.py has it."""
    monkeypatch.setattr("streamlit.error_util.invoke_script_error_handler", lambda error, _: ui.show_error(error))
    return use(archive, monkeypatch)


@pytest.fixture
def call(here: Settings, capsys: pytest.CaptureFixture) -> Callable[..., tuple[int, str, str]]:
    """Exit code, standard output and standard error of a command."""

    def run(*words: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as end:
            main([*words])
        return int(end.value.code or 0), *capsys.readouterr()

    return run


@contextlib.contextmanager
def damaged(path: Path, kind: Kind, damage: str) -> Iterator[None]:
    """A file that is cut short, gone, without fields, of another kind, or of a newer version; whole again after that.

    It is replaced, as the app does it, so that the folder's time changes.
    """
    whole = path.read_bytes()
    fields = {} if kind.format is None else {"format": kind.format.name, "version": kind.format.version}
    content = {
        "cut": whole[: len(whole) // 2],
        "empty": json.dumps(fields).encode(),
        "other": json.dumps(fields | {"format": "recipe"}).encode(),
        "newer": json.dumps(fields | {"version": 99}).encode(),
        "gone": None,
    }[damage]
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        path.write_bytes(whole)


def name_of(row: dict[str, str]) -> str:
    """Of a row of any list."""
    return next(row[name] for name in ("id", "fingerprint", "name", "submission", "row") if name in row)


def warnings_of(page: AppTest) -> list[str]:
    """What a page warns of, but for the data file, which was unpacked and so written again."""
    return [warning.value for warning in page.warning if warning.icon != ":material/sync_problem:"]


def open_page(kind: Kind, names: dict[str, str]) -> AppTest:
    """Anew: what an earlier visit read stays in memory."""
    st.cache_resource.clear()
    params = {name: value.format(**names) for name, value in kind.params.items()}
    if kind.page != "train embeddings":
        return open_alone(kind.page, data=names["data"], **params)
    page = AppTest.from_file(str(PAGES / "train.py"), default_timeout=30)
    page.query_params["data"] = names["data"]
    page.session_state["train_embed"] = True
    return page.run()


def texts(page: AppTest) -> str:
    """All that a page says."""
    assert not page.exception
    elements = [*page.error, *page.warning, *page.caption, *page.markdown]
    return "\n".join(str(found.value) for found in elements)


@pytest.mark.slow
@pytest.mark.parametrize(("which", "damage"), LISTED_CASES)
def test_a_list_shows_it_and_the_rest(
    which: str,
    damage: str,
    here: Settings,
    names: dict[str, str],
    call: Callable[..., tuple[int, str, str]],
    request: pytest.FixtureRequest,
) -> None:
    kind = LISTED[which]
    names = names | (request.getfixturevalue("more") if which in MORE else {})
    path = here.home.parent / kind.file.format(**names)
    _, out, _ = call(*kind.listed, "--json")
    before = json.loads(out)
    assert before["unreadable"] == []
    with damaged(path, kind, damage):
        code, out, err = call(*kind.listed, "--json")
        assert code == 0, err
        found = json.loads(out)
        [told] = found["unreadable"]
        assert told["code"] == kind.damages[damage] and str(path) in told["error"]
        [gone] = {name_of(row) for row in before[kind.name]} - {name_of(row) for row in found[kind.name]} or [None]
        assert (gone is None) == (which in STILL_LISTED)
        code, out, _ = call(*kind.listed)
        assert code == 0 and str(path) in out
        page = open_page(kind, names)
        assert not page.exception and not page.error
        assert str(path) in "\n".join(warning.value for warning in page.warning)
    assert not warnings_of(open_page(kind, names))


@pytest.mark.parametrize("page", ["train", "runs", "compare", "scores", "submit"])
def test_a_run_of_a_model_that_is_not_installed_is_listed(page: str, here: Settings, names: dict[str, str]) -> None:
    path = here.home.parent / names["bilinear"] / "run.json"
    whole = path.read_text()
    path.write_text(whole.replace('"model": "bilinear"', '"model": "of_a_plugin"'))
    try:
        shown = open_page(Kind("", None, page=page), names)
        assert not shown.exception and not shown.error and not warnings_of(shown)
    finally:
        path.write_text(whole)


@pytest.mark.slow
@pytest.mark.parametrize(("which", "damage"), CALLED_CASES)
def test_a_command_and_a_page_say_it(
    which: str, damage: str, here: Settings, names: dict[str, str], call: Callable[..., tuple[int, str, str]]
) -> None:
    kind, command = CALLED[which]
    path = here.home.parent / kind.file.format(**names)
    words = [word.format(**names) for word in command]
    with damaged(path, kind, damage):
        code, _, err = call(*words, "--json")
        told = json.loads(err.strip().splitlines()[-1])["error"]
        assert code == 2 and str(path) in told
        assert "Traceback" not in err
        if kind.page:  # else it is refused before there is a job that a page could show
            assert str(path) in texts(open_page(kind, names))
