"""Every kind of work, begun twice at the same moment: both end well, or one is told that the other is at it."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from toy import make_counts
from twice import Two

from vccapp.data.reading.opening import open_dataset
from vccapp.data.splits.split import split_from_lists, write_split
from vccapp.data.workspace import register
from vccapp.errors import VccAppError
from vccapp.progress import silent
from vccapp.seasons.base import SEASONS
from vccapp.settings import Settings
from vccapp.stats.building.build import build_index
from vccapp.stats.cells.embedding import open_cell_embedding
from vccapp.stats.index import load_index
from vccapp.submission.budget import observed_counts
from vccapp.submission.build import build_submission
from vccapp.submission.packing.archive import unpack_vcc
from vccapp.submission.plan import write_plan
from vccapp.submission.planning.make import make_plan
from vccapp.submission.report import load_report
from vccapp.tasks.base import Task
from vccapp.tasks.build import Build
from vccapp.tasks.demo import Demo
from vccapp.tasks.embed import Embed
from vccapp.tasks.import_ import Import
from vccapp.tasks.index import Index
from vccapp.tasks.mend import Mend
from vccapp.tasks.open_season import OpenSeason
from vccapp.tasks.package import Package
from vccapp.tasks.package_file import PackageFile
from vccapp.tasks.reproduce import Reproduce
from vccapp.tasks.resume import Resume
from vccapp.tasks.score import ScoreRun
from vccapp.tasks.train import Train
from vccapp.training import RunSpec, list_runs, train

pytestmark = pytest.mark.slow

LABELS = [f"GENE{i}" for i in range(8)]
SEASON = """
name = "mine"
genes = "genes.txt"
max_cells = 160
controls = "required"
spaces = ["log1p"]
container = "vcc2025"
metrics = "2025"
cells_per_target = 40
targets = ["GENE6", "GENE7"]
"""
WORK: dict[str, Callable[[Path, str], Task[Any]]] = {
    "index": lambda folder, data: Index(paths=(folder / "other.h5ad",)),
    "demo": lambda folder, data: Demo(),
    "train": lambda folder, data: Train(model="perturbation_mean", dataset=data, split="s", run_id="new"),
    "resume": lambda folder, data: Resume(dataset=data, run_id="stopped"),
    "embed": lambda folder, data: Embed(dataset=data, components=4),
    "embed state": lambda folder, data: Embed(
        dataset=data, method="state", params={"steps": 20, "embedding": str(folder / "vectors.npz")}
    ),
    "score": lambda folder, data: ScoreRun(dataset=data, run_id="done", scorer="vccapp"),
    "import": lambda folder, data: Import(dataset=data, path=folder / "other.h5ad", split="s"),
    "build": lambda folder, data: Build(dataset=data, plan="mine"),
    "package": lambda folder, data: Package(dataset=data, plan="built"),
    "reproduce": lambda folder, data: Reproduce(dataset=data, submission="built", output=folder / "again.vcc"),
    "package a file": lambda folder, data: PackageFile(
        path=folder / "pred.h5ad", output=folder / "pred.vcc", season="vcc2025", practice=True
    ),
    "mend": lambda folder, data: Mend(
        path=folder / "double.h5ad", output=folder / "mended.h5ad", season="vcc2025", practice=True, only=("float32",)
    ),
    "open a season": lambda folder, data: OpenSeason(path=folder / "season.toml", replace=True),
}
BUSY = {
    "index": "index_busy",
    "demo": "demo_busy",
    "train": "run_exists",
    "resume": "run_busy",
    "embed state": "embedding_busy",
    "build": "submission_busy",
    "package": "submission_busy",
    "reproduce": "output_exists",
    "package a file": "output_exists",
    "mend": "output_exists",
}
"""What the second is told where it may not end well too."""
ONCE = {"train": "run_exists", "resume": "nothing_to_resume"} | {
    name: code for name, code in BUSY.items() if code == "output_exists"
}
"""What a later start is told; every other one ends well."""


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An indexed dataset, a split, a finished and a stopped run, a plan, a submission, and a prediction in a file."""
    folder = tmp_path_factory.mktemp("twice") / "base"
    settings = place(folder)
    folder.mkdir()
    for name in ("toy", "other"):
        make_counts(n_perturbations=8, seed=len(name)).write_h5ad(folder / f"{name}.h5ad")
    dataset = open_dataset(folder / "toy.h5ad")
    build_index(dataset, register(dataset, settings) / "index")
    data = dataset.fingerprint
    write_split(split_from_lists(name="s", dataset=data, train=LABELS[:4], val=LABELS[4:6], test=LABELS[6:]), settings)
    for run_id in ("done", "stopped"):
        train(RunSpec(model="perturbation_mean", dataset=data, split="s"), settings, run_id=run_id)
    record = settings.checkpoints / "stopped" / "run.json"
    record.write_text(json.dumps(json.loads(record.read_text()) | {"state": "stopped"}))
    index = load_index(settings.index_of(data))
    counts, season = observed_counts(index.perturbations, LABELS[6:]), SEASONS["vcc2025"]
    for name in ("mine", "built"):
        plan = make_plan(index, "done", counts, season=season, settings=settings, practice=True, id=name)
        write_plan(plan, settings)
    build_submission(plan, settings)
    vectors = np.random.default_rng(0).normal(size=(len(index.genes), 8)).astype(np.float32)
    np.savez(folder / "vectors.npz", genes=index.genes["gene"].to_numpy(str), vectors=vectors)
    shutil.copy(settings.submissions / "built" / "pred.h5ad", folder)
    write_double(folder / "pred.h5ad", folder / "double.h5ad")
    (folder / "genes.txt").write_text("\n".join(index.genes["gene"]) + "\n")
    (folder / "season.toml").write_text(SEASON)
    return folder


def place(folder: Path) -> Settings:
    return Settings(
        home=folder / "workspace", checkpoints=folder / "checkpoints", data_roots=(folder.parent,), device="cpu"
    )


def write_double(path: Path, out: Path) -> None:
    """The same prediction in float64, which a mend makes float32."""
    import anndata

    cells = anndata.read_h5ad(path)
    cells.X = cells.X.astype("float64")
    cells.write_h5ad(out)


@pytest.fixture(scope="module")
def two() -> Iterator[Two]:
    with Two() as two:
        yield two


@pytest.mark.parametrize("name", WORK)
def test_what_is_begun_twice_at_once_is_whole_and_may_be_begun_again(
    name: str, base: Path, two: Two, tmp_path: Path
) -> None:
    folder = tmp_path / "place"
    shutil.copytree(base, folder)
    settings = place(folder)
    [data] = [path.name for path in settings.datasets.iterdir()]
    task = WORK[name](folder, data)
    codes = two.run(task, settings)
    assert codes in (["", ""], ["", BUSY.get(name, "")])
    hidden = [path.name for path in folder.rglob(".*") if not path.name.endswith(".lock")]
    assert hidden == []
    check(name, folder, data)
    if name in ONCE:
        with pytest.raises(VccAppError, check=lambda error: error.code == ONCE[name]):
            task.run(settings, silent)
    else:
        task.run(settings, silent)
    check(name, folder, data)


def check(name: str, folder: Path, data: str) -> None:
    """What the work has made is whole."""
    settings = place(folder)
    runs = list_runs(settings)
    assert not runs.unreadable and {run.state for run in runs if run.id != "stopped"} == {"finished"}
    for run in runs:
        if run.state == "finished":
            run.prediction("test")
    for path in settings.datasets.iterdir():
        load_index(settings.index_of(path.name)).array("mean")
    if name.startswith("embed"):
        open_cell_embedding(load_index(settings.index_of(data)), "X_pca" if name == "embed" else "X_state")
    for package in ("again.vcc", "pred.vcc", "workspace/submissions/mine/mine.vcc"):
        if (folder / package).exists():
            unpack_vcc(folder / package, folder / "unpacked.h5ad", SEASONS["vcc2025"])
            (folder / "unpacked.h5ad").unlink()
    if name in ("build", "package"):
        assert load_report("mine" if name == "build" else "built", settings).package is not None
