"""A disk that is full, read-only or gone, and a kill, at random moments of every kind of work.

Each time: the state and its reason are right, nothing half-written has a final name, and the next start removes what is
left and ends with the same bytes as work that nothing disturbed.

    MOMENTS=20 python -m pytest tests/jobs/test_disk.py        20 moments of each kind; 1 by default
"""

import itertools
import json
import os
import random
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from places import TESTS
from toy import make_counts

from vccapp.data.reading.opening import open_dataset
from vccapp.data.splits.split import split_from_lists, write_split
from vccapp.data.workspace import register
from vccapp.jobs.job import Job
from vccapp.jobs.keeping.fate import record_ends
from vccapp.jobs.keeping.launch import environment
from vccapp.jobs.store import JobStore
from vccapp.seasons.base import SEASONS
from vccapp.seasons.opened import open_season
from vccapp.settings import Settings
from vccapp.stats.building.build import build_index
from vccapp.stats.index import load_index
from vccapp.submission.budget import observed_counts
from vccapp.submission.build import build_submission
from vccapp.submission.plan import write_plan
from vccapp.submission.planning.make import make_plan
from vccapp.tasks.base import Task
from vccapp.tasks.build import Build
from vccapp.tasks.demo import Demo
from vccapp.tasks.embed import Embed
from vccapp.tasks.import_ import Import
from vccapp.tasks.index import Index
from vccapp.tasks.package import Package
from vccapp.tasks.reproduce import Reproduce
from vccapp.tasks.resume import Resume
from vccapp.tasks.score import ScoreRun
from vccapp.tasks.train import Train
from vccapp.training import RunSpec, list_runs, load_run, train

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        sys.platform != "linux" or not shutil.which("gcc"), reason="the failing disk needs Linux and gcc"
    ),
]
MOMENTS = int(os.environ.get("MOMENTS", "1"))
SMALL = {
    "width": 32,
    "inner": 16,
    "code": 8,
    "batch_size": 16,
    "embedding": "expression",
    "epoch_steps": 1,
    "epochs": 2,
    "patience": 0,
}
SMALL_SEASON = """
name = "small2026"
genes = "genes.txt"
targets = ["GENE6", "GENE7"]
contexts = ["D", "E"]
cells_per_target = 40
max_cells = 160
max_values = 1_000_000
max_cell_total = 1e6
controls = "forbidden"
spaces = ["counts"]
container = "vcc2026"
metrics = "2026"
"""
LABELS = [f"GENE{i}" for i in range(8)]
FAULTS = {"full": 1, "readonly": 2, "gone": 3, "kill": 4}
"""As `failing_disk.c` numbers them."""
CODES = {"full": {"disk"}, "readonly": {"read_only", "disk_fault"}, "kill": {"killed"}}
IMPORTED = re.compile(r"\d{8}-\d{6}-imported-[0-9a-f]{4}")
VOLATILE = {"created", "ended", "built", "registered_at", "seconds", "mtime_ns"}
"""Fields that say when, or how long."""
UNFINISHED = re.compile(
    r"checkpoints/[^/]+/(run\.json|metrics\.jsonl|checkpoint/.*|events\.out\..*)|home/(jobs|app\.log).*|.*[/.]lock"
)
"""What may be there of work that has not ended: a run is visible while it trains."""


@dataclass(frozen=True)
class Case:
    """A copy of the workspace, and all that is written by one kind of work."""

    folder: Path
    data: Path
    fingerprint: str

    @property
    def settings(self) -> Settings:
        home, checkpoints = self.folder / "home", self.folder / "checkpoints"
        return Settings(home=home, checkpoints=checkpoints, data_roots=(self.data,), device="cpu")

    def files(self) -> dict[str, Any]:
        """What each file says, but for when it was written and by which run; not the job store and logs."""
        found = {}
        for path in self.folder.rglob("*"):
            name = IMPORTED.sub("imported", str(path.relative_to(self.folder)))
            if path.is_file() and not re.fullmatch(
                r"home/(jobs|app\.log).*|.*[/.]lock|.*/events\.out\.tfevents\..*", name
            ):
                content: Any = path.read_bytes()
                if path.suffix == ".json":
                    text = IMPORTED.sub("imported", content.decode()).replace(str(self.folder), "")
                    content = timeless(json.loads(text))
                if path.suffix == ".jsonl":  # as text, in which NaN equals NaN
                    content = [json.dumps(timeless(json.loads(line))) for line in content.splitlines()]
                if path.suffix == ".html":
                    content = re.sub(rb"\d{4}-\d\d-\d\d \d\d:\d\d", b"", content.replace(bytes(self.folder), b""))
                found[name] = content
        return found

    def leftovers(self) -> list[str]:
        return [path.name for path in self.folder.rglob(".*") if path.name.endswith((".part", ".building"))]


def timeless(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: timeless(item) for key, item in value.items() if key not in VOLATILE}
    return [timeless(item) for item in value] if isinstance(value, list) else value


Work = Callable[[Case], Task | list[str]]
WORK: dict[str, Work] = {
    "index": lambda case: Index(paths=(case.data / "other.h5ad",)),
    "train": lambda case: Train(
        dataset=case.fingerprint, model="scouter", params=SMALL, split="s", seed=3, run_id="new"
    ),
    "resume": lambda case: Resume(dataset=case.fingerprint, run_id="stopped"),
    "embed": lambda case: Embed(dataset=case.fingerprint, method="pca", components=5),
    "score": lambda case: ScoreRun(dataset=case.fingerprint, run_id="done", scorer="vccapp"),
    "import": lambda case: Import(dataset=case.fingerprint, path=case.data / "other.h5ad", split="s"),
    "build": lambda case: Build(dataset=case.fingerprint, plan="mine"),
    "package": lambda case: Package(dataset=case.fingerprint, plan="made"),
    "build counts": lambda case: Build(dataset=case.fingerprint, plan="counts"),
    "package counts": lambda case: Package(dataset=case.fingerprint, plan="counts-made"),
    "reproduce": lambda case: Reproduce(
        dataset=case.fingerprint, submission="whole", output=case.folder / "out" / "again.vcc"
    ),
    "sent": lambda case: ["submit", "ledger", "sent", "whole", "--when", "2026-01-01"],
    "demo": lambda case: Demo(),
    "simulate": lambda case: ["data", "simulate", str(case.folder / "out" / "x.h5ad"), "--cells", "300"],
    "preprocess": lambda case: ["data", "preprocess", case.fingerprint, str(case.folder / "out" / "x.h5ad")],
    "export": lambda case: ["data", "export", case.fingerprint, str(case.folder / "out")],
    "split": lambda case: ["split", "make", case.fingerprint, "--name", "another", "--seed", "5"],
    "plan": lambda case: ["submit", "plan", "--run", "done", "--practice", "--name", "planned"],
    "split export": lambda case: ["split", "export", "s", str(case.folder / "split.toml")],
    "metrics": lambda case: [
        *("eval", "metrics", str(case.data / "toy.h5ad"), str(case.data / "other.h5ad"), "--season", "2026"),
        *("--output", str(case.folder / "scores.csv")),
    ],
    "package file": lambda case: [
        *("submit", "package", str(case.data / "pred.h5ad"), "--practice", "--output", str(case.folder / "pred.vcc")),
    ],
    "leaderboard": lambda case: ["eval", "leaderboard", "--csv", str(case.folder / "board.csv")],
    "report": lambda case: ["eval", "report", "done", "--out", str(case.folder / "out" / "report.html")],
}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Case:
    """An indexed dataset, a split, a finished and a stopped run, a plan and a submission whose cells are made."""
    folder = tmp_path_factory.mktemp("base")
    data = folder / "data"
    data.mkdir()
    for name in ("toy", "other"):
        make_counts(n_perturbations=8, seed=len(name)).write_h5ad(data / f"{name}.h5ad")
    dataset = open_dataset(data / "toy.h5ad")
    case = Case(folder / "case", data, dataset.fingerprint)
    settings = case.settings
    build_index(dataset, register(dataset, settings) / "index")
    parts = {"train": LABELS[:4], "val": LABELS[4:6], "test": LABELS[6:]}
    write_split(split_from_lists(name="s", dataset=dataset.fingerprint, **parts), settings)
    for run_id in ("done", "stopped"):
        train(RunSpec(model="perturbation_mean", dataset=dataset.fingerprint, split="s"), settings, run_id=run_id)
    record = settings.checkpoints / "stopped" / "run.json"
    record.write_text(json.dumps(json.loads(record.read_text()) | {"state": "stopped"}))
    index = load_index(settings.index_of(dataset.fingerprint))
    counts, season = observed_counts(index.perturbations, LABELS[6:]), SEASONS["vcc2025"]
    for name in ("mine", "made", "whole"):
        plan = make_plan(index, "done", counts, season=season, settings=settings, practice=True, id=name)
        write_plan(plan, settings)
        if name != "mine":
            build_submission(plan, settings)
    small = open_season(write_small_season(folder, index.genes["gene"].tolist()), settings)
    for name in ("counts", "counts-made"):
        plan = make_plan(index, "done", season=small, settings=settings, id=name)
        assert (plan.space, plan.practice, list(plan.sources)) == ("counts", False, ["D", "E"])
        write_plan(plan, settings)
    build_submission(plan, settings)
    shutil.copy(settings.submissions / "made" / "pred.h5ad", data)
    for name in ("made", "counts-made"):
        for file in (f"{name}.vcc", "report.json"):
            (settings.submissions / name / file).unlink()
    with JobStore(settings):  # it is there: a workspace that is used
        pass
    return case


def write_small_season(folder: Path, genes: list[str]) -> Path:
    """A season by the rules of 2026: counts, two contexts, cells without controls, meta.json in the archive."""
    (folder / "genes.txt").write_text("\n".join(genes) + "\n")
    path = folder / "small.toml"
    path.write_text(SMALL_SEASON)
    return path


class Server:
    """Workers and commands in forks of one process, which has imported all."""

    def __init__(self, library: Path) -> None:
        one = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
        paths = {"PYTHONPATH": os.pathsep.join([str(TESTS / "support"), str(TESTS.parent)])}
        words = [sys.executable, str(TESTS / "support" / "failing_server.py")]
        env = os.environ | one | paths | {"LD_PRELOAD": str(library)}
        self.process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env)

    def run(self, case: Case, work: Work, *, after: int = 2**40, fault: str = "") -> "Ended":
        """Start it, and let the disk fail after so many changes of it."""
        task, settings = work(case), case.settings
        log = case.folder.with_suffix(".log")
        log.write_text("")
        asked = {"env": environment(settings), "folder": str(case.folder), "after": after, "log": str(log)}
        asked["kind"] = FAULTS.get(fault, 0)
        if isinstance(task, Task):
            with JobStore(settings) as store:
                job = store.create(task)
            answer = self._ask(asked | {"job": job.id})
            with JobStore(settings) as store:
                record_ends(store, {job.id: answer["code"]})
                return Ended(answer["code"], answer["changes"], log.read_text(), store.get(job.id))
        answer = self._ask(asked | {"words": [*task, "--json"]})
        return Ended(answer["code"], answer["changes"], log.read_text(), None)

    def _ask(self, asked: dict[str, Any]) -> dict[str, Any]:
        assert self.process.stdin is not None and self.process.stdout is not None
        print(json.dumps(asked), file=self.process.stdin, flush=True)
        return json.loads(self.process.stdout.readline())


@dataclass(frozen=True)
class Ended:
    code: int
    changes: int
    log: str
    job: Job | None

    def told(self) -> str:
        """The code of what went wrong; empty where all went well."""
        if self.job is not None:
            return self.job.error_code
        if self.code <= 0:
            return "killed" if self.code else ""
        lines = [line for line in self.log.splitlines() if line.startswith('{"error"')]
        return json.loads(lines[-1])["code"]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    library = tmp_path_factory.mktemp("disk") / "failing_disk.so"
    source = TESTS / "support" / "failing_disk.c"
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    server = Server(library)
    yield server
    assert server.process.stdin is not None
    server.process.stdin.close()
    server.process.wait()


@pytest.fixture
def copy(base: Case, tmp_path: Path) -> Callable[[], Case]:
    """Copies of the workspace, each in a folder of its own."""
    numbers = itertools.count()

    def make() -> Case:
        folder = tmp_path / f"case{next(numbers)}"
        shutil.copytree(base.folder, folder)
        return Case(folder, base.data, base.fingerprint)

    return make


@pytest.mark.parametrize("name", WORK)
def test_nothing_is_lost_or_half(name: str, server: Server, copy: Callable[[], Case]) -> None:
    work, untouched = WORK[name], copy()
    before = untouched.files()
    whole = copy()
    undisturbed = server.run(whole, work)
    assert undisturbed.code == 0 and undisturbed.told() == "", undisturbed.log
    after = whole.files()
    assert after != before
    rng = random.Random(name)
    faults = itertools.cycle(rng.sample(list(FAULTS), len(FAULTS)))
    for _, fault in zip(range(MOMENTS), faults, strict=False):
        case, moment = copy(), rng.randrange(undisturbed.changes)
        where = f"{name}, {fault} after {moment} of {undisturbed.changes} changes"
        ended = server.run(case, work, after=moment, fault=fault)
        check_told(ended, fault, where)
        check_whole(case, before, after, where)
        again = go_on(case, name)
        if name == "import":  # begun again as another run; the first stays as a failed one
            for run in list_runs(case.settings):
                if run.spec.model == "imported" and run.state != "finished":
                    shutil.rmtree(run.folder)
        if again is not None and (isinstance(work(case), Task) or not same(case.files(), after)):
            ended = server.run(case, again)
            assert ended.code == 0 and ended.told() == "", f"{where}: {ended.log}"
        assert case.leftovers() == [], where
        found = case.files()
        assert sorted(found) == sorted(after), where
        assert [path for path in after if found[path] != after[path]] == [], where
        shutil.rmtree(case.folder)


def same(found: dict[str, Any], after: dict[str, Any]) -> bool:
    return {name: text for name, text in found.items() if not name.endswith(".part")} == after


def go_on(case: Case, name: str) -> Work | None:
    """The next start: a run that was begun is gone on with, unless it is finished."""
    if name == "import" and any(r.spec.model == "imported" and r.state == "finished" for r in list_runs(case.settings)):
        return None
    if name == "reproduce":  # what was whole when the job ended is not overwritten
        (case.folder / "out" / "again.vcc").unlink(missing_ok=True)
    run_id = {"train": "new", "resume": "stopped"}.get(name)
    if run_id is None or not (case.settings.checkpoints / run_id / "run.json").exists():
        return WORK[name]
    if load_run(run_id, case.settings).state == "finished":
        return None
    return lambda case: Resume(dataset=case.fingerprint, run_id=run_id)


def check_told(ended: Ended, fault: str, where: str) -> None:
    """The state of the job, or the end of the command, and the reason."""
    told = ended.told()
    assert "Traceback" not in ended.log or ended.job is not None, f"{where}: {ended.log}"
    assert told != "unexpected", f"{where}: {ended.log}"
    if told == "":
        assert fault != "kill" or ended.job is not None and ended.job.state == "succeeded", where
        return
    assert told in CODES.get(fault, {told}), f"{where}: {told} {ended.log}"
    if ended.job is not None:
        assert ended.job.state in ("failed", "lost") and ended.job.reason, where
        assert (ended.job.state == "lost") or fault != "kill", where


def check_whole(case: Case, before: dict[str, Any], after: dict[str, Any], where: str) -> None:
    """What has a final name is as it was, or as it will be."""
    for name, content in case.files().items():
        hidden = any(part.startswith(".") for part in Path(name).parts)
        if not hidden and not UNFINISHED.fullmatch(name):
            known = [said[name] for said in (before, after) if name in said]
            if name.endswith("report.json") and name in after:  # of the checks, before there is a package
                known.append(after[name] | {"package": None})
            assert content in known, f"{where}: {name}"
