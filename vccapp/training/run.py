"""A run: one model trained on one split, in a folder of its own.

    run_id = make_run_id(spec, now=datetime.now(UTC))
    train(spec, settings, run_id=run_id)            # `resume` goes on where it was stopped or killed
    run = load_run(run_id, settings); labels, deltas = run.prediction("test")

    checkpoints/<run id>/
      run.json        RunRecord: spec, split content, state, times, version, mean scores beside those of the baselines
      metrics.jsonl   one line a logged step, see `vccapp.training.metrics_log`
      checkpoint/     the last checkpoint, while the run is not finished
      model/          what `load_model` reads
      scores/         what scorers said of it, see `vccapp.training.scores`; our own from the end of the training
      prediction/     perturbations.json {"val": [...], "test": [...]}, deltas.npy (val then test, n_genes) float32
      lock            locked as long as the training process lives

The folder is visible while the run trains; run.json tells its state. A run that says `running` while nobody holds its
lock was killed, and is read as `interrupted`.
"""

import contextlib
import fcntl
import json
import logging
import re
import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, ValidationError

import vccapp
from vccapp.data.atomic import read_json, write_folder, write_json
from vccapp.data.schema import CONTROL
from vccapp.data.split import Split, check_split, load_split
from vccapp.errors import DataError, ResourceError, SpecError, VccAppError
from vccapp.evaluation.score import compute_metrics, summarise
from vccapp.evaluation.side import side_of_deltas, side_of_index, sides_of_halves
from vccapp.models.base import Model, make_model
from vccapp.progress import Progress, Stopped, part, silent
from vccapp.settings import Settings
from vccapp.stats.index import Index, has_index, load_index
from vccapp.training.fit import Fit, count_ranks, fit_model

BASELINES = ("control_mean", "perturbation_mean")
"""Models whose scores stand beside those of every run."""
CEILING = "ceiling"
"""Beside them: what one half of the real cells says of the other, see `sides_of_halves`."""
Part = Literal["val", "test"]
State = Literal["running", "finished", "stopped", "failed", "interrupted"]
RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")

log = logging.getLogger("vccapp.training")


class RunSpec(BaseModel):
    """All that decides a run."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str = Field(description="Name of the model.")
    params: dict[str, Any] = Field(default_factory=dict, description="Hyperparameters that differ from the defaults.")
    dataset: str = Field(description="Fingerprint of the data.")
    split: str = Field(description="Name or path of the split.")
    seed: int = Field(0, ge=0, description="Same seed, same run.")
    title: str = Field("", description="A name for people.")


class RunRecord(BaseModel):
    """What run.json says.

    `metrics[part][name][metric]` are means over perturbations, None where no perturbation has the metric; names are
    this run's model, the baselines and CEILING.
    """

    model_config = ConfigDict(frozen=True)

    id: str
    spec: RunSpec
    split: Split
    state: State
    reason: str = ""
    created: datetime
    ended: datetime | None = None
    vccapp: str
    devices: int = Field(1, description="Processes that share the fit.")
    metrics: dict[Part, dict[str, dict[str, float | None]]] = {}
    folder: Path = Field(Path(), exclude=True)

    def prediction(self, part: Part) -> tuple[list[str], np.ndarray]:
        """Held-out perturbations of a part, and their predicted deltas (n, n_genes) float32, log1p units.

        Raises SpecError when the run has none, because it is not finished.
        """
        if self.state != "finished":
            msg = f"The run {self.id} is {self.state}, so it has no predictions; choose a finished run."
            raise SpecError(msg)
        labels = read_json(self.folder / "prediction" / "perturbations.json")
        deltas = np.load(self.folder / "prediction" / "deltas.npy", mmap_mode="r")
        start = 0 if part == "val" else len(labels["val"])
        return labels[part], deltas[start : start + len(labels[part])]


def make_run_id(spec: RunSpec, *, now: datetime) -> str:
    """A readable id that no other run has, e.g. 20261121-142233-perturbation_mean-a1b2."""
    return f"{now:%Y%m%d-%H%M%S}-{spec.model}-{secrets.token_hex(2)}"


def check_run(spec: RunSpec, settings: Settings) -> tuple[Index, Split, Model]:
    """What a run needs, opened and checked: index, split and unfitted model. Writes nothing.

    Raises SpecError or DataError when there is no index, the split is of other data or leaks, or a parameter is wrong;
    ResourceError when the model needs more memory than the settings allow.
    """
    return _check(spec, load_split(spec.split, settings), settings)


def _check(spec: RunSpec, split: Split, settings: Settings) -> tuple[Index, Split, Model]:
    model = make_model(spec.model, spec.params)
    folder = settings.datasets / spec.dataset / "index"
    if not has_index(folder):
        msg = f"The data {spec.dataset} have no index yet; build it first (vccapp data index PATH)."
        raise SpecError(msg)
    index = load_index(folder)
    if split.dataset != spec.dataset:
        msg = (
            f"The split '{split.name}' is of the data {split.dataset}, not of {spec.dataset}; choose one of its splits."
        )
        raise SpecError(msg)
    check_split(split, [label for label in index.labels if label != CONTROL])
    needed = model.estimate(index, split).shared(count_ranks(model, settings)).memory_bytes
    if needed > settings.memory_bytes:
        msg = (
            f"Training {model.label} needs about {needed / 1e9:.1f} GB of memory, {settings.memory_gb:.1f} GB are "
            "allowed; choose fewer genes, a smaller batch or fewer devices, or raise VCCAPP_MEMORY_GB."
        )
        raise ResourceError(msg)
    return index, split, model


def train(spec: RunSpec, settings: Settings, *, run_id: str, progress: Progress = silent) -> Path:
    """Fit, save, predict and score the held-out perturbations; returns the run's folder.

    What `check_run` raises leaves nothing behind. A run that fails later or is stopped (progress raises Stopped) keeps
    its folder, which says so. Held-out predictions are in memory at once: (val + test) x n_genes x 4 bytes.
    """
    index, split, model = check_run(spec, settings)
    folder = _run_folder(run_id, settings)
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        msg = f"There is a run '{run_id}' already in {settings.checkpoints}; choose another id."
        raise SpecError(msg) from None
    with _locked(folder):
        record = RunRecord(
            id=run_id,
            spec=spec,
            split=split,
            state="running",
            created=datetime.now(UTC),
            vccapp=vccapp.__version__,
            devices=count_ranks(model, settings),
        )
        _work(record, folder, index, model, settings, progress)
    return folder


def resume(run_id: str, settings: Settings, *, progress: Progress = silent) -> Path:
    """Go on with a run that was stopped, killed or failed, from its last checkpoint; returns its folder.

    Its split is the one it was started with. Raises SpecError when the run is finished or still running.
    """
    run = load_run(run_id, settings)
    check_resume(run)
    index, _, model = _check(run.spec, run.split, settings)
    with _locked(run.folder):
        devices = count_ranks(model, settings)
        record = run.model_copy(update={"state": "running", "reason": "", "ended": None, "devices": devices})
        _work(record, run.folder, index, model, settings, progress)
    return run.folder


def check_resume(run: RunRecord) -> None:
    """Raises SpecError when a run is finished or still running."""
    if run.state in ("finished", "running"):
        msg = f"The run {run.id} is {run.state}, so there is nothing to resume; start a new one."
        raise SpecError(msg)


def _work(record: RunRecord, folder: Path, index: Index, model: Model, settings: Settings, progress: Progress) -> None:
    """Fit, save, predict and score; run.json says how it ended."""
    split = record.split
    with _recorded(record, folder) as keep:
        references = _val_references(index, split, model)
        keep(metrics={"val": _summarise_all(references)} if split.val else {})
        spec = record.spec
        fit = Fit(model=spec.model, params=spec.params, split=split, seed=spec.seed, folder=folder, settings=settings)
        model = fit_model(fit, model, index, ranks=record.devices, progress=part(progress, 0.0, 0.85))
        progress(0.85, "Predicting the held-out perturbations")
        judged = _judged(split, model)
        deltas = _write_prediction(model, judged, folder / "prediction")
        progress(0.9, "Scoring")
        if judged.val != split.val:
            references = _val_references(index, judged, model)
        began = time.monotonic()
        tables = _compute_tables(index, judged, model, deltas, references)
        keep(metrics={name: _summarise_all(own) for name, own in tables.items()})
        _write_scores(record.model_copy(update={"folder": folder}), index, tables, time.monotonic() - began)
    shutil.rmtree(folder / "checkpoint", ignore_errors=True)
    progress(1.0, f"Run {record.id} is finished")


def load_run(run_id: str, settings: Settings) -> RunRecord:
    """Raises SpecError when there is no such run, DataError when its record cannot be read."""
    folder = _run_folder(run_id, settings)
    if not (folder / "run.json").is_file():
        msg = f"There is no run '{run_id}' in {settings.checkpoints}; `vccapp train list` shows those there are."
        raise SpecError(msg)
    try:
        record = RunRecord.model_validate(read_json(folder / "run.json"))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        msg = f"{folder / 'run.json'} is not a run of this version of the app ({where}: {first['msg'].lower()})."
        raise DataError(msg) from None
    interrupted = record.state == "running" and not _is_locked(folder)
    if interrupted:  # it may have ended between the two looks
        record = RunRecord.model_validate(read_json(folder / "run.json"))
        interrupted = record.state == "running"
    return record.model_copy(update={"folder": folder} | ({"state": "interrupted"} if interrupted else {}))


def list_runs(settings: Settings) -> list[RunRecord]:
    """The newest first. Folders whose run.json cannot be read are left out, with a warning in the log."""
    runs = []
    for path in settings.checkpoints.glob("*/run.json"):
        try:
            runs.append(load_run(path.parent.name, settings))
        except VccAppError as error:
            log.warning("%s", error)
    return sorted(runs, key=lambda run: run.created, reverse=True)


def _run_folder(run_id: str, settings: Settings) -> Path:
    if not RUN_ID.fullmatch(run_id):
        msg = f"'{run_id}' is not a run id; it is made of letters, digits, '_', '-' and '.'."
        raise SpecError(msg)
    return settings.checkpoints / run_id


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the run's lock. Raises SpecError when another process does."""
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            msg = f"The run {folder.name} is being trained by another process; wait for its end or stop it."
            raise SpecError(msg) from None
        yield


@contextlib.contextmanager
def _recorded(record: RunRecord, folder: Path) -> Iterator[Callable[..., None]]:
    """Write run.json as `running`, and at the end how the block ended. Gives a function that changes fields of it."""

    def keep(**changes: Any) -> None:
        nonlocal record
        record = record.model_copy(update=changes)
        write_json(folder / "run.json", record.model_dump(mode="json"))

    keep()
    try:
        yield keep
    except Stopped:
        keep(state="stopped", ended=datetime.now(UTC), reason="Stopped on request.")
        raise
    except Exception as error:
        reason = str(error) if isinstance(error, VccAppError) else f"{type(error).__name__}: {error}"
        keep(state="failed", ended=datetime.now(UTC), reason=reason)
        raise
    keep(state="finished", ended=datetime.now(UTC))


def _judged(split: Split, model: Model) -> Split:
    """The split with those held-out perturbations alone that the model can predict."""
    known = {
        name: tuple(label for label in getattr(split, name) if model.available_cells(label) != 0)
        for name in ("val", "test")
    }
    return split.model_copy(update=known)


def _val_references(index: Index, split: Split, model: Model) -> dict[str, pd.DataFrame]:
    """Scores of the baselines and the ceiling on the val part, by name; none where it is empty."""
    return dict(compute_reference_scores(index, split, model.name, split.val)) if split.val else {}


def _summarise_all(tables: dict[str, pd.DataFrame]) -> dict[str, dict[str, float | None]]:
    return {name: summarise(table) for name, table in tables.items()}


def _write_prediction(model: Model, split: Split, folder: Path) -> np.ndarray:
    """Deltas (val then test, n_genes) float32, also written to `folder`."""
    deltas = model.predict([*split.val, *split.test])
    with write_folder(folder) as beside:
        np.save(beside / "deltas.npy", deltas)
        (beside / "perturbations.json").write_text(json.dumps({"val": split.val, "test": split.test}) + "\n")
    return deltas


def _compute_tables(
    index: Index, split: Split, model: Model, deltas: np.ndarray, val_references: dict[str, pd.DataFrame]
) -> dict[Part, dict[str, pd.DataFrame]]:
    """Scores of each perturbation, on each part that has some: of the model, the baselines and the ceiling, by name."""
    tables: dict[Part, dict[str, pd.DataFrame]] = {}
    if split.val:
        tables["val"] = {model.name: compute_own_scores(index, split.val, deltas[: len(split.val)])} | val_references
    if split.test:
        tables["test"] = dict(compute_all_scores(index, split, model.name, split.test, deltas[len(split.val) :]))
    return tables


def _write_scores(run: RunRecord, index: Index, tables: dict[Part, dict[str, pd.DataFrame]], seconds: float) -> None:
    from vccapp.training.own_scores import write_own_scores, write_references  # which know runs

    for name, every in tables.items():
        own = every[run.spec.model]
        write_references(run, name, every)
        write_own_scores(run, index, name, own, baseline=summarise(every[BASELINES[-1]]), seconds=seconds)


def compute_all_scores(
    index: Index, split: Split, model: str, labels: Sequence[str], deltas: np.ndarray
) -> Iterator[tuple[str, pd.DataFrame]]:
    """Name and scores of each perturbation (`compute_metrics`): of the model's deltas, of the baselines, of CEILING."""
    yield model, compute_own_scores(index, labels, deltas)
    yield from compute_reference_scores(index, split, model, labels)


def compute_own_scores(index: Index, labels: Sequence[str], deltas: np.ndarray) -> pd.DataFrame:
    """Scores of predicted deltas (n, n_genes), a row a perturbation."""
    return compute_metrics(side_of_index(index, labels), side_of_deltas(index, deltas, labels))


def compute_reference_scores(
    index: Index, split: Split, model: str, labels: Sequence[str]
) -> Iterator[tuple[str, pd.DataFrame]]:
    """Name and scores of the baselines other than `model`, and of CEILING."""
    real = side_of_index(index, labels)
    for name in BASELINES:
        if name != model:
            predicted = make_model(name).fit(index, split).predict(labels)
            yield name, compute_metrics(real, side_of_deltas(index, predicted, labels))
    yield CEILING, compute_metrics(*sides_of_halves(index, labels))


def _is_locked(folder: Path) -> bool:
    """Whether a process holds the run's lock."""
    try:
        with (folder / "lock").open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False
    return False
