"""Stop, of every kind of job: how long it takes, whether the job goes on to the same result, what by force is left.

    python benchmarks/stop.py [--cells 20000] [--genes 18080] [--perturbations 40] [--times 3]
                              [--only scouter index] [--without "embed, STATE"]

Each kind of job is first done whole, then begun anew --times times, stopped at a random moment of its time, started
again and done; then stopped by force at such a moment, started again and done. What it leaves (the arrays of an index
or a model, predictions, scores, the package) must have the same sha256 each time.

whole_seconds    of the job that nobody stopped, from its start
stop_seconds     from Stop to the end of the job (of a sweep: of all its runs), the longest; `moments`: one by one
force_seconds    the same by force, until no process of it is left
left             processes of the job that are there 2 s after its end by force
same             rounds that ended with the same result, of all that were started again

Prints a table, writes results/stop.json and the section of docs/queue.md about Stop. --draft writes neither.
"""

import argparse
import hashlib
import json
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from kit.measure import add_data_arguments, describe, make_data, print_table, write_results
from kit.stop_table import write_table

from vccapp.data.reading.opening import open_dataset
from vccapp.data.splits.split import make_split, write_split
from vccapp.jobs.host import MARK
from vccapp.jobs.job import ACTIVE, Job
from vccapp.jobs.local import reconcile, start_again, start_job, stop_all, stop_job
from vccapp.jobs.store import JobStore
from vccapp.models.base import load_model
from vccapp.settings import Settings
from vccapp.stats.index import load_index
from vccapp.submission.plan import write_plan
from vccapp.submission.planning.choice import PlanChoice
from vccapp.tasks.base import Task
from vccapp.tasks.build import Build
from vccapp.tasks.embed import Embed, training_folder
from vccapp.tasks.index import Index
from vccapp.tasks.package import Package
from vccapp.tasks.score import ScoreRun
from vccapp.tasks.sweep import Sweep
from vccapp.tasks.train import Train
from vccapp.training import RunSpec
from vccapp.training.sweeps.record import load_sweep
from vccapp.training.sweeps.spec import make_sweep

PACKAGES = ("vccapp", "numpy", "torch", "numba", "h5py")
COLUMNS = {
    "whole_seconds": "whole",
    "stop_seconds": "Stop",
    "force_seconds": "by force",
    "left": "left",
    "same": "same",
}
NETWORKS = {
    "scouter": {"patience": 0, "learning_rate": 1e-4},
    "state": {"patience": 0, "set_size": 32, "sets": 8, "validate_every": 50},
}
"""The defaults, but for a training of minutes (--steps) whose weights are not those of its baseline."""
POLL_SECONDS = 0.02
LEFT_SECONDS = 2.0


@dataclass(frozen=True)
class Kind:
    """One kind of job. digest : of what it left; clear : away with what would make the next one a matter of moments"""

    make: Callable[[], Task]
    digest: Callable[[Job], str]
    clear: Callable[[], object] = lambda: None


class Bench:
    """A workspace with the data, and the jobs that are started in it."""

    def __init__(self, file: Path, folder: Path, memory_gb: float, steps: int) -> None:
        self.steps = steps
        self.file, self.dataset = file, open_dataset(file).fingerprint
        places = {"home": folder / "home", "checkpoints": folder / "runs", "data_roots": (file.parent,)}
        self.settings = Settings(**places, memory_gb=memory_gb, device="cpu")  # type: ignore[arg-type]
        vectors = file.with_suffix(".truth") / "gene_embedding.npz"
        self.vectors = {"embedding": str(vectors)} if vectors.exists() else {}
        self.run = self.plan = ""

    def finish(self, task: Task) -> Job:
        """Start a job, and wait until it has succeeded."""
        return self.follow(start_job(self.settings, task))

    def follow(self, job: Job) -> Job:
        ended = self.wait(job, lambda now: not now.active)
        if ended.state != "succeeded":
            sys.exit(f"{ended.title} is {ended.state}: {ended.reason}\n{self.log_of(job)}")
        return ended

    def log_of(self, job: Job) -> str:
        return (self.settings.jobs / job.id / "log.txt").read_text()[-3000:]

    def wait(self, job: Job, until: Callable[[Job], bool]) -> Job:
        with JobStore(self.settings) as store:
            while not until(now := store.get(job.id)):
                reconcile(self.settings)
                time.sleep(POLL_SECONDS)
        return now

    def wait_for_all(self) -> None:
        """Until no job is at work: of a sweep all runs."""
        with JobStore(self.settings) as store:
            while store.find(state=ACTIVE):
                time.sleep(POLL_SECONDS)

    def processes(self) -> list[psutil.Process]:
        """Of the jobs of this workspace."""
        every = [(process, process.info["environ"] or {}) for process in psutil.process_iter(["environ"])]
        home = str(self.settings.home)
        return [process for process, env in every if MARK in env and env.get("VCCAPP_HOME") == home]

    def kinds(self) -> dict[str, Kind]:
        """In their order: what one leaves, the next ones use."""
        index = self.settings.index_of(self.dataset)

        def embed(method: str, **params: Any) -> Kind:
            def clear() -> None:
                for place in (index / "embeddings", training_folder(self.settings, self.dataset)):
                    shutil.rmtree(place, ignore_errors=True)

            def digest(job: Job) -> str:
                return hash_files([Path(str((job.result or {})["folder"]))])

            return Kind(lambda: Embed(dataset=self.dataset, method=method, params=params), digest, clear)  # type: ignore[arg-type]

        kinds = {
            "index": Kind(
                lambda: Index(paths=(self.file,)),
                lambda _: hash_files([index]),
                lambda: shutil.rmtree(index, ignore_errors=True),
            ),
            "ridge": self.training("ridge", {}),
            "scouter": self.training("scouter", NETWORKS["scouter"] | {"steps": self.steps}),
            "state": self.training("state", NETWORKS["state"] | {"steps": self.steps}),
            "sweep of scouter": Kind(self.make_sweep, self.hash_sweep),
            "embed, PCA": embed("pca"),
            "embed, STATE": embed("state", steps=max(1, self.steps // 10), **self.vectors),
            "score, ours": self.scoring("vccapp"),
            "score, cell-eval": self.scoring("cell-eval"),
            "build": Kind(lambda: Build(plan=self.plan), self.hash_package),
            "package": Kind(lambda: Package(plan=self.plan), self.hash_package),
        }
        return kinds if shutil.which("cell-eval") else {name: kinds[name] for name in kinds if name[-4:] != "eval"}

    def spec_of(self, model: str, params: dict[str, Any]) -> RunSpec:
        return RunSpec(model=model, params=self.vectors | params, dataset=self.dataset, split="s")

    def training(self, model: str, params: dict[str, Any]) -> Kind:
        def digest(job: Job) -> str:
            folder = self.settings.checkpoints / str((job.result or {})["run"])
            load_model(folder / "model")
            return hash_files([folder / "model", folder / "prediction"])

        return Kind(lambda: Train.of(self.spec_of(model, params)), digest)

    def make_sweep(self) -> Task:
        params = {"steps": max(1, self.steps // 4), "patience": 0}
        spec = make_sweep(
            self.spec_of("scouter", params), {"learning_rate": (1e-4, 2e-4)}, {}, sampler="grid", at_once=2
        )
        return Sweep.of(spec)

    def hash_sweep(self, job: Job) -> str:
        sweep = load_sweep(str((job.result or {})["sweep"]), self.settings)
        if sweep.count("finished") != 2:
            return f"{sweep.count('finished')} of 2 trials have finished"
        runs = [run for trial in sweep.trials for run in trial.runs]
        return hash_files(self.settings.checkpoints / run.id / "model" for run in runs)

    def scoring(self, scorer: str) -> Kind:
        season = "2025" if scorer == "vccapp" else None
        return Kind(
            lambda: ScoreRun(dataset=self.dataset, run_id=self.run, scorer=scorer, season=season),
            lambda job: hashlib.sha256(json.dumps((job.result or {})["means"]).encode()).hexdigest(),
        )

    def hash_package(self, job: Job) -> str:
        return hash_file(self.settings.submissions / self.plan / f"{self.plan}.vcc")

    def prepare(self, *, submission: bool) -> None:
        """What the kinds after the index stand on. submission : a run, a plan and its cells too"""
        self.finish(Index(paths=(self.file,)))
        labels = load_index(self.settings.index_of(self.dataset)).perturbed
        split = make_split(labels, name="s", dataset=self.dataset, ratio=(0.7, 0.1, 0.2), seed=0)
        write_split(split, self.settings)
        if submission:
            self.run = str((self.finish(Train.of(self.spec_of("ridge", {}))).result or {})["run"])
            plan = PlanChoice(run=self.run, season="vcc2025", targets="heldout", practice=True, name="stop")
            made = plan.make(self.settings)
            write_plan(made, self.settings)
            self.plan = made.id
            self.finish(Build(plan=self.plan))


def hash_files(folders: Iterable[Path]) -> str:
    """sha256 of all files that are neither records (JSON) nor logs: these tell times."""
    told = hashlib.sha256()
    for folder in folders:
        for path in sorted(
            path for path in folder.rglob("*") if path.is_file() and path.suffix not in (".json", ".jsonl")
        ):
            told.update(f"{path.relative_to(folder)} {hash_file(path)}\n".encode())
    return told.hexdigest()


def hash_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def measure(bench: Bench, name: str, kind: Kind, *, times: int) -> dict[str, Any]:
    """All rounds of a kind; see above."""
    rng = random.Random(name)
    kind.clear()
    whole = bench.finish(kind.make())
    seconds = (whole.ended or 0.0) - (whole.started or 0.0)
    asked, moments, same = kind.digest(whole), [], 0
    print(f"{name}: {seconds:.1f} s whole", flush=True)
    force: dict[str, Any] = {"force_seconds": None, "left": None}
    differing = []
    for n in range(times + 1):
        by_force = n == times
        kind.clear()
        job = start_job(bench.settings, kind.make())
        bench.wait(job, lambda now: now.state != "queued")
        moment = rng.uniform(0, seconds)
        time.sleep(moment)
        began = time.perf_counter()
        before = stop_job(bench.settings, job.id, force=by_force)
        if not before.active and before.state != "stopped":
            print(f"  at {moment:.1f} s: it has {before.state} before", flush=True)
        bench.wait(job, lambda now: not now.active)
        bench.wait_for_all()
        took = time.perf_counter() - began
        ended = bench.wait(job, lambda now: not now.active)
        round_ = {"at_seconds": moment, "seconds": took, "state": ended.state, "doing": ended.message}
        if by_force:
            while bench.processes() and time.perf_counter() - began < took + LEFT_SECONDS:
                time.sleep(POLL_SECONDS)
            force = {"force_seconds": time.perf_counter() - began, "left": len(bench.processes())}
        else:
            moments.append(round_)
        again = bench.follow(start_again(bench.settings, job.id)) if ended.state == "stopped" else ended
        bench.wait_for_all()
        is_same = kind.digest(again) == asked
        same += is_same
        differing += [] if is_same else [n]
        told = f"{force} by force" if by_force else f"{took:.1f} s"
        told += "" if is_same else ", DIFFERS"
        print(f"  at {moment:.1f} s ({ended.message}): {ended.state}, {told}", flush=True)
    return {
        "whole_seconds": seconds,
        "stop_seconds": max((one["seconds"] for one in moments), default=None),
        "moments": moments,
        **force,
        "same": same,
        "of": times + 1,
        "differing": differing,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_data_arguments(parser)
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--steps", type=int, default=200, help="of the networks; of trials a quarter, of SE a tenth")
    parser.add_argument("--memory-gb", type=float, default=4.0, help="that a job may plan with")
    parser.add_argument("--only", nargs="+", default=[], help="kinds whose names begin so")
    parser.add_argument("--without", nargs="+", default=[], help="kinds whose names begin so")
    parser.add_argument("--draft", action="store_true", help="write neither results nor docs")
    choice = parser.parse_args()
    file, _ = make_data(choice)
    rows: dict[str, dict[str, Any]] = {}
    result = describe(choice, file, PACKAGES)
    with tempfile.TemporaryDirectory(dir=choice.cache, ignore_cleanup_errors=True) as scratch:
        bench = Bench(file.resolve(), Path(scratch).resolve(), choice.memory_gb, choice.steps)
        chosen = {
            name: kind
            for name, kind in bench.kinds().items()
            if (not choice.only or name.startswith(tuple(choice.only))) and not name.startswith(tuple(choice.without))
        }
        try:
            bench.prepare(submission=any(name.startswith(("score", "build", "package")) for name in chosen))
            for name, kind in chosen.items():
                rows[name] = measure(bench, name, kind, times=choice.times)
        finally:
            stop_all(bench.settings)
            bench.wait_for_all()
    result |= {"cells": choice.cells, "genes": choice.genes, "times": choice.times}
    result["steps"] = choice.steps
    result |= {"perturbations": choice.perturbations, "memory_gb": choice.memory_gb, "kinds": rows}
    print_table(rows, COLUMNS)
    if not choice.draft:
        write_results("stop", result)
        write_table(result)


if __name__ == "__main__":
    main()
