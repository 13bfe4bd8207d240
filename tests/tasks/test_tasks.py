"""Every task: its JSON, its command and what the command line makes of it, what it needs, its title."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from page_kit import parse_command, use
from started import task_of
from toy import make_counts

from vccapp.commands import parse_assignments
from vccapp.data.reading.opening import open_dataset
from vccapp.data.schema import Columns
from vccapp.data.splits.split import split_from_lists, write_split
from vccapp.data.workspace import register
from vccapp.errors import VccAppError
from vccapp.seasons.base import SEASONS
from vccapp.settings import Settings
from vccapp.stats.building.build import build_index
from vccapp.stats.building.plan import plan_index
from vccapp.stats.index import load_index
from vccapp.submission.budget import observed_counts
from vccapp.submission.build import build_submission
from vccapp.submission.plan import write_plan
from vccapp.submission.planning.make import make_plan
from vccapp.tasks.base import TASKS, Result, Task, read_task
from vccapp.tasks.build import Build
from vccapp.tasks.calibrate import Calibrate
from vccapp.tasks.check import Check
from vccapp.tasks.demo import Demo
from vccapp.tasks.embed import Embed
from vccapp.tasks.import_ import Import
from vccapp.tasks.index import Index
from vccapp.tasks.install_state import InstallState
from vccapp.tasks.mend import Mend
from vccapp.tasks.official import Official
from vccapp.tasks.open_season import OpenSeason
from vccapp.tasks.package import Package
from vccapp.tasks.package_file import PackageFile
from vccapp.tasks.plan import MakePlan
from vccapp.tasks.reproduce import Reproduce
from vccapp.tasks.resume import Resume
from vccapp.tasks.score import ScoreRun
from vccapp.tasks.score_file import ScoreFile
from vccapp.tasks.split import StandardSplit
from vccapp.tasks.sweep import Sweep
from vccapp.tasks.train import Train
from vccapp.training import RunSpec, check_run, load_run, train
from vccapp.training.fit import count_ranks, estimate_fit
from vccapp.training.sweeps.spec import make_sweep

LABELS = [f"GENE{i}" for i in range(8)]
NAMED = Columns(perturbation="target_gene", guide="guide_id", batch="batch", control="non-targeting")
EXAMPLES: dict[str, Callable[[Path, str], Task]] = {
    "index": lambda folder, data: Index(paths=(folder / "toy.h5ad",)),
    "index of two": lambda folder, data: Index(paths=(folder / "toy.h5ad", folder / "toy copy.h5ad")),
    "index by hand": lambda folder, data: Index(paths=(folder / "toy.h5ad",), columns=NAMED),
    "index by ray": lambda folder, data: Index(
        paths=(folder / "toy.h5ad",), executor="ray", ray_address="localhost:6379"
    ),
    "demo": lambda folder, data: Demo(),
    "sweep": lambda folder, data: Sweep.of(
        make_sweep(
            RunSpec(model="ridge", dataset=data, split="s"),
            {"embedding": ["expression"], "strength": [0.5, 1.0]},
            {},
            sampler="grid",
            seeds=(0, 1),
        )
    ),
    "split": lambda folder, data: StandardSplit(dataset=data),
    "install-state": lambda folder, data: InstallState(),
    "train": lambda folder, data: Train(model="perturbation_mean", dataset=data, split="s"),
    "train all": lambda folder, data: Train(
        model="ridge",
        params={"kernel": "linear", "strength": 0.5, "embedding": "expression"},
        dataset=data,
        split=str(folder / "workspace" / "splits" / "s.json"),
        seed=3,
        run_title="it's mine",
    ),
    "train shared": lambda folder, data: Train(
        model="scouter", params={"faithful": True, "embedding": "expression"}, dataset=data, split="s", devices="auto"
    ),
    "resume": lambda folder, data: Resume(dataset=data, run_id="stopped"),
    "resume by two": lambda folder, data: Resume(dataset=data, run_id="stopped", devices=2),
    "embed": lambda folder, data: Embed(dataset=data),
    "embed pca": lambda folder, data: Embed(dataset=data, components=4, seed=2),
    "embed obsm": lambda folder, data: Embed(dataset=data, method="obsm", key="X_mine"),
    "embed state": lambda folder, data: Embed(
        dataset=data, method="state", params={"preset": "sm", "steps": 7, "genes": 20}
    ),
    "score": lambda folder, data: ScoreRun(dataset=data, run_id="done"),
    "score all": lambda folder, data: ScoreRun(
        dataset=data,
        run_id="done",
        part="val",
        scorer="vccapp",
        season="2026",
        max_cells=5,
        max_controls=7,
        seed=1,
        keep=folder / "kept",
    ),
    "import": lambda folder, data: Import(dataset=data, path=folder / "toy copy.h5ad", split="s"),
    "import all": lambda folder, data: Import(
        dataset=data,
        path=folder / "toy copy.h5ad",
        split="s",
        run_title="theirs",
        perturbation="target_gene",
        control="non-targeting",
        matrix="X",
    ),
    "calibrate": lambda folder, data: Calibrate(dataset=data, run_id="done", setting={"amplitude": 0.5}),
    "calibrate all": lambda folder, data: Calibrate(
        dataset=data, run_id="done", fellows=["same"], setting={"amplitude": 0.5, "components": 2}, run_title="half"
    ),
    "build": lambda folder, data: Build(dataset=data, plan="mine"),
    "plan": lambda folder, data: MakePlan(
        dataset=data, choice={"run": "done", "season": "vcc2025", "practice": True, "name": "planned"}
    ),
    "package": lambda folder, data: Package(dataset=data, plan="mine"),
    "check": lambda folder, data: Check(path=folder / "toy.h5ad", season="vcc2025"),
    "check all": lambda folder, data: Check(
        path=folder / "toy copy.h5ad",
        season="vcc2025",
        phase="final",
        genes=folder / "genes.csv",
        counts=folder / "counts.csv",
        practice=True,
    ),
    "official": lambda folder, data: Official(
        path=folder / "toy.h5ad", season="vcc2025", phase="final", genes=folder / "genes.csv"
    ),
    "reproduce": lambda folder, data: Reproduce(dataset=data, submission="built"),
    "reproduce and keep": lambda folder, data: Reproduce(dataset=data, submission="built", output=folder / "again.vcc"),
    "open a season": lambda folder, data: OpenSeason(path=folder / "season.toml", replace=True),
    "mend": lambda folder, data: Mend(path=folder / "toy.h5ad", output=folder / "mended.h5ad", season="vcc2025"),
    "mend all": lambda folder, data: Mend(
        path=folder / "toy.h5ad",
        output=folder / "mended.h5ad",
        season="vcc2025",
        phase="final",
        genes=folder / "genes.csv",
        counts=folder / "counts.csv",
        practice=True,
        dataset=data,
        only=("csr", "cut_cells"),
        seed=3,
    ),
    "score a file": lambda folder, data: ScoreFile(dataset=data, path=folder / "toy copy.h5ad", season="vcc2025"),
    "score a file against another": lambda folder, data: ScoreFile(
        path=folder / "toy copy.h5ad",
        real=folder / "toy.h5ad",
        context_column="none",
        season="vcc2025",
        phase="final",
        scorer="cell-eval",
    ),
    "package a file": lambda folder, data: PackageFile(
        path=folder / "toy.h5ad", output=folder / "out" / "toy.vcc", season="vcc2025", phase="validation", practice=True
    ),
}

SENT = ("index", "demo", "sweep", "train", "resume", "embed", "score", "import", "build", "package", "reproduce")
SENT += ("calibrate", "score a file")
"""Those whose commands can send them to a cluster."""


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A toy dataset with its index, a split, a finished and a stopped run, a plan, and a built submission."""
    folder = tmp_path_factory.mktemp("tasks")
    settings = Settings(home=folder / "workspace", checkpoints=folder / "checkpoints", data_roots=(folder,))
    for name in ("toy", "toy copy"):
        make_counts(n_perturbations=8, seed=len(name)).write_h5ad(folder / f"{name}.h5ad")
    dataset = open_dataset(folder / "toy.h5ad")
    build_index(dataset, register(dataset, settings) / "index")
    data = dataset.fingerprint
    write_split(split_from_lists(name="s", dataset=data, train=LABELS[:4], val=LABELS[4:6], test=LABELS[6:]), settings)
    for run_id in ("done", "same", "stopped"):
        train(RunSpec(model="perturbation_mean", dataset=data, split="s"), settings, run_id=run_id)
    record = settings.checkpoints / "stopped" / "run.json"
    record.write_text(json.dumps(json.loads(record.read_text()) | {"state": "stopped"}))
    index = load_index(settings.datasets / data / "index")
    counts, season = observed_counts(index.perturbations, LABELS[6:]), SEASONS["vcc2025"]
    plans = {
        name: make_plan(index, "done", counts, season=season, settings=settings, practice=True, id=name)
        for name in ("mine", "built")
    }
    write_plan(plans["mine"], settings)
    build_submission(plans["built"], settings)
    return settings


@pytest.fixture
def make(prepared: Settings, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Task]:
    """Make an example in that workspace."""
    use(prepared, monkeypatch)
    [data] = [path.name for path in prepared.datasets.iterdir()]
    return lambda name: EXAMPLES[name](prepared.home.parent, data)


@pytest.mark.slow
def test_there_is_an_example_of_every_task(make: Callable[[str], Task]) -> None:
    assert {make(name).name for name in EXAMPLES} == set(TASKS)
    assert all(issubclass(kind.Result, Result) and kind.name == name for name, kind in TASKS.items())


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_task_is_read_back_from_its_json(name: str, make: Callable[[str], Task]) -> None:
    task = make(name)
    again = read_task(task.name, json.loads(task.model_dump_json()))
    assert again == task and type(again) is type(task)


@pytest.mark.parametrize(
    "name", [name for name in EXAMPLES if name not in ("split", "plan")]
)  # their commands need no job
def test_the_command_of_a_task_starts_an_equal_task(
    name: str, make: Callable[[str], Task], monkeypatch: pytest.MonkeyPatch
) -> None:
    task = make(name)
    assert task_of(task.command(), monkeypatch) == task


@pytest.mark.slow
@pytest.mark.parametrize("name", SENT)
def test_the_command_of_a_task_says_where_it_works(
    name: str, make: Callable[[str], Task], monkeypatch: pytest.MonkeyPatch
) -> None:
    task = make(name).model_copy(update={"on": "ray"})
    assert task_of(task.command(), monkeypatch) == task


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_task_can_be_told_apart_and_checked(name: str, make: Callable[[str], Task], prepared: Settings) -> None:
    task = make(name)
    assert task.title and "\n" not in task.title
    task.check(prepared)


@pytest.mark.parametrize("name", EXAMPLES)
def test_needs_are_known_before_and_never_fail(
    name: str, make: Callable[[str], Task], prepared: Settings, settings: Settings
) -> None:
    task = make(name)
    for place in (prepared, settings):  # the second has no data
        needs = task.needs(place)
        assert needs.memory_bytes > 0 and needs.threads >= (name != "sweep")
    assert not task.needs(prepared.model_copy(update={"device": "cpu"})).gpus


def test_needs_are_those_that_pages_tell(make: Callable[[str], Task], prepared: Settings) -> None:
    index, network, build = make("index"), make("train shared"), make("build")
    assert index.needs(prepared).memory_bytes == plan_index(open_dataset(index.paths)).memory_bytes
    data, split, model = check_run(network.spec, prepared)
    shared = network.shared_by(prepared)
    estimate = estimate_fit(model, data, split, shared, ranks=count_ranks(model, shared))
    assert network.needs(prepared).memory_bytes == estimate.memory_bytes
    assert network.needs(prepared).gpus and not make("train").needs(prepared).gpus
    assert build.needs(prepared).memory_bytes < prepared.memory_bytes
    few, many = make("score").model_copy(update={"max_cells": 2, "max_controls": 2}), make("score")
    assert few.needs(prepared).memory_bytes < many.needs(prepared).memory_bytes


@pytest.mark.parametrize(
    ("task", "code"),
    [
        (Index(paths=("/no/such/file.h5ad",)), "file_missing"),
        (Train(model="nothing", dataset="d", split="s"), "unknown_name"),
        (Resume(run_id="nothing"), "unknown_run"),
        (Resume(run_id="done"), "nothing_to_resume"),
        (Build(plan="nothing"), None),
        (Import(path="/no/such/file.h5ad", dataset="d"), "no_index"),
    ],
)
def test_what_a_job_would_refuse_is_refused_before(task: Task, code: str | None, prepared: Settings) -> None:
    with pytest.raises(VccAppError) as error:
        task.check(prepared)
    assert code is None or error.value.code == code


def test_a_run_gets_its_id_when_it_is_started(make: Callable[[str], Task]) -> None:
    task, now = make("train"), datetime(2026, 1, 2, tzinfo=UTC)
    named = task.named(now)
    assert named.run_id.startswith("20260102-000000-perturbation_mean-")
    assert named.named(now) == named and named.command() == task.command()
    assert make("demo").named(now) == Demo()


def test_a_resumed_run_is_shared_as_before(prepared: Settings, make: Callable[[str], Task]) -> None:
    assert make("resume").command() == ["vccapp", "train", "resume", "stopped"]
    assert load_run("stopped", prepared).devices == 1
    assert make("resume")._shared_by(prepared.model_copy(update={"devices": 2})).devices == 1


PARAMS = st.dictionaries(
    st.from_regex(r"[a-z_]+", fullmatch=True),
    st.one_of(st.text(), st.booleans(), st.none(), st.integers(), st.floats(allow_nan=False), st.lists(st.integers())),
)


@pytest.mark.slow
@hypothesis_settings(deadline=None)
@given(PARAMS, st.integers(0, 9), st.text())
def test_every_run_is_what_its_command_says(params: dict, seed: int, title: str) -> None:
    spec = RunSpec(model="m", params=params, dataset="d", split="s", seed=seed, title=title)
    asked = parse_command(spec.command())
    said = {name: asked[name] for name in ("model", "split", "seed", "title")}
    assert RunSpec(params=parse_assignments(asked["set_"] or []), dataset="d", **said) == spec
    assert Train.of(spec).spec == spec
