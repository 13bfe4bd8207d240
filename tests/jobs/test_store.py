"""The job store: what may follow what, many writers, versions, logs."""

import contextlib
import json
import multiprocessing
import sqlite3
import tempfile
import time
from pathlib import Path

import pytest
from archived import unpack
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from refusals import refusal
from toy_tasks import Echo, Refuse, Unknown, Wait

from vccapp.data.schema import Columns
from vccapp.errors import JobError, SpecError
from vccapp.jobs import store as store_module
from vccapp.jobs.job import ACTIVE, FROM, seconds_left
from vccapp.jobs.local import reconcile
from vccapp.jobs.migrations import MIGRATIONS
from vccapp.jobs.store import JobStore
from vccapp.jobs.working.reporting import Pace
from vccapp.settings import Settings
from vccapp.tasks.build import Build
from vccapp.tasks.demo import Demo
from vccapp.tasks.embed import Embed
from vccapp.tasks.import_ import Import
from vccapp.tasks.index import Index
from vccapp.tasks.resume import Resume
from vccapp.tasks.score import ScoreRun
from vccapp.tasks.train import Train

TERMINAL = {"succeeded", "failed", "stopped", "lost"}


def test_create_and_get(settings):
    before = time.time()
    with JobStore(settings) as store:
        job = store.create(task := Index(paths=("/a/b",), columns=Columns(batch="b")))
        assert store.get(job.id) == job
    assert (job.state, job.task, job.title, job.params["paths"]) == ("queued", "index", "Index b", ["/a/b"])
    assert job.read_task() == task
    assert job.active and job.fraction == 0 and job.result is None
    assert before <= job.created <= time.time()


def test_unknown_job(settings):
    with JobStore(settings) as store, refusal(JobError, "unknown_job"):
        store.get("20250101-000000-abcdef")


@pytest.mark.parametrize("there", [True, False])
def test_a_workspace_that_can_only_be_read_lists_its_jobs(settings, monkeypatch, there):
    known = []
    if there:
        with JobStore(settings) as store:
            known = [store.create(Index(paths=("/a/b",)))]
    before = {path: path.read_bytes() for path in settings.home.rglob("*") if path.is_file()}
    monkeypatch.setattr(store_module, "may_write", lambda folder: False)
    assert reconcile(settings) == []
    with JobStore(settings) as store:
        assert list(store.find()) == known
        with refusal(JobError, "read_only"):
            store.create(Index(paths=("/a/b",)))
        for job in known:
            with refusal(JobError, "read_only"):
                store.move(job.id, "starting")
    assert all(path.read_bytes() == content for path, content in before.items())


def test_list_is_newest_first_and_filters(settings):
    with JobStore(settings) as store:
        ids = [store.create(task).id for task in (Echo(), Wait(), Echo(), Refuse())]
        store.move(ids[0], "starting")
        store.move(ids[1], "stopped")
        assert [job.id for job in store.find()] == ids[::-1]
        assert [job.id for job in store.find(limit=2)] == [ids[3], ids[2]]
        assert [job.id for job in store.find(task="echo")] == [ids[2], ids[0]]
        assert [job.id for job in store.find(task=("echo", "wait"))] == [ids[2], ids[1], ids[0]]
        assert [job.id for job in store.find(state="stopped")] == [ids[1]]
        assert [job.id for job in store.find(state=ACTIVE, task="echo", limit=1)] == [ids[2]]


def test_a_late_worker_cannot_overwrite_an_end(settings):
    with JobStore(settings) as store:
        job = store.create(Echo())
        store.move(job.id, "starting")
        store.move(job.id, "running")
        assert store.move(job.id, "lost", reason="gone")
        assert not store.move(job.id, "succeeded", result={"run": "x"})
        store.report(job.id, fraction=0.9, message="still here", now=1.0)
        after = store.get(job.id)
    assert (after.state, after.reason, after.result, after.fraction) == ("lost", "gone", None, 0)


def test_only_from_narrows_the_source(settings):
    with JobStore(settings) as store:
        job = store.create(Echo())
        store.move(job.id, "starting")
        assert not store.move(job.id, "stopped", only_from="queued")
        assert store.get(job.id).state == "starting"


class Transitions(RuleBasedStateMachine):
    """Two connections race over a few jobs; a model of the diagram says what must come out."""

    jobs = Bundle("jobs")

    @initialize()
    def open(self):
        self.folder = tempfile.TemporaryDirectory()
        settings = Settings(home=Path(self.folder.name))
        self.stores = [JobStore(settings), JobStore(settings)]
        self.model: dict[str, str] = {}

    @precondition(lambda self: len(self.model) < 6)
    @rule(target=jobs, who=st.integers(0, 1))
    def create(self, who):
        job = self.stores[who].create(Echo())
        self.model[job.id] = "queued"
        return job.id

    @rule(job=jobs, who=st.integers(0, 1), state=st.sampled_from(sorted(FROM)))
    def move(self, job, who, state):
        allowed = self.model[job] in FROM[state]
        assert self.stores[who].move(job, state) == allowed
        if allowed:
            assert self.model[job] not in TERMINAL
            self.model[job] = state

    @rule(job=jobs, who=st.integers(0, 1), fraction=st.floats(0, 1))
    def report(self, job, who, fraction):
        self.stores[who].report(job, fraction=fraction, message="", now=0.0)
        seen = self.stores[1 - who].get(job).fraction == fraction
        assert seen or self.model[job] not in ("running", "stopping")

    @invariant()
    def both_see_the_model(self):
        for store in self.stores:
            assert {job.id: job.state for job in store.find()} == self.model

    def teardown(self):
        for store in self.stores:
            store.close()
        self.folder.cleanup()


@pytest.mark.slow
def test_illegal_transitions_never_happen():
    run_state_machine_as_test(
        Transitions, settings=hypothesis_settings(max_examples=60, stateful_step_count=30, deadline=None)
    )


def test_nothing_follows_an_end():
    assert not any(TERMINAL & set(sources) for sources in FROM.values())
    assert set(ACTIVE) | TERMINAL == set(FROM) | {"queued"}


def _write(home: Path, barrier, results) -> None:
    try:
        for attempt in range(40):
            barrier.wait(30)
            JobStore(Settings(home=home / str(attempt))).close()
        settings = Settings(home=home)
        claimed = 0
        with JobStore(settings) as store:
            for step in range(40):
                job = store.create(Echo(label=str(step)))
                with store.exclusive():  # read and then write, as a keeper does
                    if len(store.find(state="starting")) < 3:
                        claimed += store.move(job.id, "starting")
                store.report(job.id, fraction=step / 40, message="x", now=0.0)
                store.find(limit=5)
        results.put(claimed)
    except BaseException as error:
        results.put(repr(error))


def test_eight_processes_open_a_new_store_and_write_at_once(tmp_path):
    context = multiprocessing.get_context("fork")
    barrier, results = context.Barrier(8), context.Queue()
    workers = [context.Process(target=_write, args=(tmp_path / "home", barrier, results)) for _ in range(8)]
    for worker in workers:
        worker.start()
    seen = [results.get(timeout=60) for _ in workers]
    for worker in workers:
        worker.join()
    assert sum(seen) == 3, seen
    with JobStore(Settings(home=tmp_path / "home")) as store:
        assert len(store.find()) == 8 * 40
        assert len(store.find(state="starting")) == 3


def test_each_change_of_state_is_kept_with_its_reason(settings):
    with JobStore(settings) as store:
        job = store.create(Echo())
        store.move(job.id, "starting")
        store.report(job.id, fraction=0.5, message="no change", now=1.0)
        store.move(job.id, "lost", reason="gone")
        events = store.events(job.id)
    assert [(event.state, event.reason) for event in events] == [("queued", ""), ("starting", ""), ("lost", "gone")]
    assert events[0].time <= events[1].time <= events[2].time and abs(events[0].time - job.created) < 5


def test_what_fails_in_an_exclusive_block_changes_nothing(settings):
    with JobStore(settings) as store:
        job = store.create(Echo())
        with pytest.raises(ZeroDivisionError), store.exclusive():
            store.move(job.id, "starting")
            1 / 0  # noqa: B018
        assert store.get(job.id).state == "queued"


def test_migrates_forward_and_keeps_the_jobs(settings, monkeypatch):
    with JobStore(settings) as store:
        job = store.create(Echo())
    added = (*store_module.MIGRATIONS, "ALTER TABLE jobs ADD COLUMN device TEXT")
    monkeypatch.setattr(store_module, "MIGRATIONS", added)
    with JobStore(settings) as store:
        assert store.get(job.id) == job
    with sqlite3.connect(settings.jobs_db) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (len(added),)
        assert db.execute("SELECT device FROM jobs").fetchall() == [(None,)]


WRITTEN_BY_0_1_0 = {
    "index": {"path": "/a.h5ad", "columns": {"batch": "b"}},
    "index of two": {"path": "/a.h5ad", "paths": ["/a.h5ad", "/b.h5ad"], "columns": {}, "executor": "ray"},
    "demo": {},
    "train": {"model": "ridge", "params": {"a": [1, None]}, "dataset": "d", "split": "s", "seed": 3, "title": "mine"}
    | {"run_id": "r", "devices": "auto"},
    "train again": {"run_id": "r", "resume": True, "devices": 2},
    "embed": {"dataset": "d", "method": "state", "components": 50, "seed": 0, "key": "X_state", "spec": {"steps": 7}},
    "score": {"run": "r", "part": "val", "scorer": "vccapp", "season": "2026", "seed": 0, "max_cells": 5},
    "import": {"path": "/p.h5ad", "dataset": "d", "title": "t", "control": "ctrl"},
    "build": {"plan": "p"},
}
READ_AS = {
    "index": Index(paths=("/a.h5ad",), columns=Columns(batch="b")),
    "index of two": Index(paths=("/a.h5ad", "/b.h5ad"), executor="ray"),
    "demo": Demo(),
    "train": Train(
        model="ridge",
        params={"a": [1, None]},
        dataset="d",
        split="s",
        seed=3,
        run_title="mine",
        run_id="r",
        devices="auto",
    ),
    "train again": Resume(run_id="r", devices=2),
    "embed": Embed(dataset="d", method="state", params={"steps": 7}),
    "score": ScoreRun(run_id="r", part="val", scorer="vccapp", season="2026", max_cells=5),
    "import": Import(path="/p.h5ad", dataset="d", run_title="t", control="ctrl"),
    "build": Build(plan="p"),
}


def test_tasks_that_0_1_0_wrote_are_read(settings):
    settings.home.mkdir()
    with contextlib.closing(sqlite3.connect(settings.jobs_db)) as db, db:
        for statement in MIGRATIONS[:2]:
            db.execute(statement)
        for title, params in WRITTEN_BY_0_1_0.items():
            row = (f"id of {title}", title.split()[0], title, json.dumps(params), "succeeded", 1.0)
            db.execute("INSERT INTO jobs (id, task, title, params, state, created) VALUES (?, ?, ?, ?, ?, ?)", row)
        db.execute("PRAGMA user_version = 2")
    with JobStore(settings) as store:
        jobs = store.find()
    assert {job.title: job.read_task() for job in jobs} == READ_AS
    assert {job.error_code for job in jobs} == {""}


def test_every_job_of_the_archive_of_0_1_0_is_read(tmp_path):
    home, checkpoints = unpack("0.1.0", tmp_path)
    with JobStore(Settings(home=home, checkpoints=checkpoints)) as store:
        tasks = [(job.task, job.read_task()) for job in store.find()]
    assert len(tasks) >= 3 and all(name == task.name for name, task in tasks)


def test_a_task_that_cannot_be_read_is_listed_and_said(settings):
    with JobStore(settings) as store:
        job = store.create(Unknown())
        other = store.create(Echo())
    assert job.params == other.params
    with pytest.raises(SpecError) as error:
        job.read_task()
    assert error.value.code == "unknown_name"
    with pytest.raises(JobError) as error:
        job.model_copy(update={"task": "build"}).read_task()
    assert error.value.code == "task_unreadable"


def test_a_failed_migration_changes_nothing(settings, monkeypatch):
    with JobStore(settings) as store:
        store.create(Echo())
    known = store_module.MIGRATIONS
    monkeypatch.setattr(store_module, "MIGRATIONS", (*known, "ALTER TABLE jobs ADD COLUMN device TEXT", "NOT SQL"))
    with refusal(JobError, "job_store"):
        JobStore(settings)
    monkeypatch.setattr(store_module, "MIGRATIONS", known)
    with JobStore(settings) as store:
        assert len(store.find()) == 1


def test_a_newer_store_is_refused(settings):
    JobStore(settings).close()
    with sqlite3.connect(settings.jobs_db) as db:
        db.execute("PRAGMA user_version = 99")
    with refusal(JobError, "newer_job_store"):
        JobStore(settings)


def test_a_file_that_is_no_store_is_refused(settings):
    settings.home.mkdir()
    settings.jobs_db.write_bytes(b"not a database at all, but long enough to have a header" * 10)
    with refusal(JobError, "job_store"):
        JobStore(settings)


def test_read_log_reads_the_end_only_and_survives_cut_characters(settings):
    with JobStore(settings) as store:
        job = store.create(Echo())
        assert store.read_log(job.id) == ""
        path = store.log_path(job.id)
        with path.open("wb") as file:
            file.truncate(5 * 10**9)
            file.seek(0, 2)
            file.write(b"start\n" + "é€😀".encode() * 3 + "😀".encode()[:2])
        assert store.read_log(job.id, last=28) == "€😀é€😀é€😀"
        assert store.read_log(job.id, last=4) == ""
        assert store.read_log(job.id).endswith("start\n" + "é€😀" * 3)
        path.write_bytes(b"ok \xff ok")
        assert store.read_log(job.id) == "ok \ufffd ok"


@pytest.mark.parametrize("name", ["../../etc", "20250101-000000-abcdef/..", "", "x"])
def test_log_path_takes_only_job_ids(settings, name):
    with JobStore(settings) as store, refusal(JobError, "bad_job_id"):
        store.log_path(name)


def test_seconds_left(settings):
    with JobStore(settings) as store:
        job = store.create(Echo())
    assert seconds_left(job, 100.0) is None
    running = job.model_copy(update={"state": "running", "started": 60.0, "heartbeat": 100.0})
    assert seconds_left(running, 100.0) is None
    told = running.model_copy(update={"left": 30.0})
    assert [seconds_left(told, now) for now in (90.0, 100.0, 110.0, 200.0)] == [30, 30, 20, 0]
    assert seconds_left(told.model_copy(update={"state": "stopped"}), 100.0) is None


def test_the_pace_of_late_counts(monkeypatch):
    """Slow for 100 s, then ten times as quick: what is left follows the quick part."""
    clock = [0.0]
    monkeypatch.setattr("vccapp.jobs.working.reporting.time.monotonic", lambda: clock[0])
    pace, fraction = Pace(), 0.0
    assert pace.left() is None
    for step in range(200):
        clock[0] += 1
        fraction += 0.0005 if step < 100 else 0.005
        pace.note(fraction)
    assert pace.left() == pytest.approx((1 - fraction) / 0.005, rel=0.15)
    clock[0] += 10
    assert pace.left() == pytest.approx((1 - fraction) / 0.005 - 10, rel=0.15)
