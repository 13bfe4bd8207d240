"""A run: one model trained on one split, in a folder of its own.

    run_id = make_run_id(spec, now=datetime.now(UTC))
    train(spec, settings, run_id=run_id)
    run = load_run(run_id, settings); labels, deltas = run.prediction("test")

    checkpoints/<run id>/
      run.json        RunRecord: spec, split content, state, times, version, mean scores beside those of the baselines
      metrics.jsonl   one line a logged step, {"step": ..., ...}
      model/          what `load_model` reads
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
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

import vccapp
from vccapp.data.atomic import read_json, write_folder, write_json
from vccapp.data.schema import CONTROL
from vccapp.data.split import Split, check_split, load_split
from vccapp.errors import DataError, SpecError, VccAppError
from vccapp.evaluation.compare import Summary, compute_scores, summarise
from vccapp.models.base import Model, make_model
from vccapp.progress import Progress, Stopped, part, silent
from vccapp.settings import Settings
from vccapp.stats.index import Index, has_index, load_index

BASELINES = ("control_mean", "perturbation_mean")
"""Models whose scores stand beside those of every run."""
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
    """What run.json says. `metrics[part][model]` are mean scores of this run's model and of the baselines."""

    model_config = ConfigDict(frozen=True)

    id: str
    spec: RunSpec
    split: Split
    state: State
    reason: str = ""
    created: datetime
    ended: datetime | None = None
    vccapp: str
    metrics: dict[Part, dict[str, Summary]] = {}
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

    Raises SpecError or DataError when there is no index, the split is of other data or leaks, or a parameter is wrong.
    """
    model = make_model(spec.model, spec.params)
    folder = settings.datasets / spec.dataset / "index"
    if not has_index(folder):
        msg = f"The data {spec.dataset} have no index yet; build it first (vccapp data index PATH)."
        raise SpecError(msg)
    index = load_index(folder)
    split = load_split(spec.split, settings)
    if split.dataset != spec.dataset:
        msg = (
            f"The split '{split.name}' is of the data {split.dataset}, not of {spec.dataset}; choose one of its splits."
        )
        raise SpecError(msg)
    check_split(split, [label for label in index.labels if label != CONTROL])
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
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        record = RunRecord(
            id=run_id, spec=spec, split=split, state="running", created=datetime.now(UTC), vccapp=vccapp.__version__
        )
        with _recorded(record, folder) as result:
            with (folder / "metrics.jsonl").open("w") as lines:

                def log_step(values: dict[str, float]) -> None:
                    print(json.dumps(values), file=lines, flush=True)

                model.fit(index, split, seed=spec.seed, log=log_step, progress=part(progress, 0.0, 0.85))
            model.save(folder / "model")
            progress(0.85, "Predicting the held-out perturbations")
            deltas = _write_prediction(model, split, folder / "prediction")
            progress(0.9, "Scoring")
            result["metrics"] = _compute_metrics(index, split, model, deltas)
    progress(1.0, f"Run {run_id} is finished")
    return folder


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
def _recorded(record: RunRecord, folder: Path) -> Iterator[dict[str, Any]]:
    """Write run.json as `running`, and at the end how the block ended, with what it put into the dict."""
    result: dict[str, Any] = {}

    def write(**changes: Any) -> None:
        write_json(folder / "run.json", record.model_copy(update=changes).model_dump(mode="json"))

    write()
    try:
        yield result
    except Stopped:
        write(state="stopped", ended=datetime.now(UTC), reason="Stopped on request.")
        raise
    except Exception as error:
        reason = str(error) if isinstance(error, VccAppError) else f"{type(error).__name__}: {error}"
        write(state="failed", ended=datetime.now(UTC), reason=reason)
        raise
    write(state="finished", ended=datetime.now(UTC), **result)


def _write_prediction(model: Model, split: Split, folder: Path) -> np.ndarray:
    """Deltas (val then test, n_genes) float32, also written to `folder`."""
    deltas = model.predict([*split.val, *split.test])
    with write_folder(folder) as beside:
        np.save(beside / "deltas.npy", deltas)
        (beside / "perturbations.json").write_text(json.dumps({"val": split.val, "test": split.test}) + "\n")
    return deltas


def _compute_metrics(index: Index, split: Split, model: Model, deltas: np.ndarray) -> dict[Part, dict[str, Summary]]:
    """Mean scores on each part that has perturbations, of the model and of the baselines."""
    baselines = [make_model(name).fit(index, split) for name in BASELINES if name != model.name]
    metrics: dict[Part, dict[str, Summary]] = {}
    parts: tuple[tuple[Part, tuple[str, ...], np.ndarray], ...] = (
        ("val", split.val, deltas[: len(split.val)]),
        ("test", split.test, deltas[len(split.val) :]),
    )
    for name, labels, predicted in parts:
        if labels:
            scores = {model.name: summarise(compute_scores(index, predicted, perturbations=labels))}
            for baseline in baselines:
                scores[baseline.name] = summarise(compute_scores(index, baseline.predict(labels), perturbations=labels))
            metrics[name] = scores
    return metrics


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
