"""A run: one model trained on one split, in a folder of its own.

    run_id = make_run_id(spec, now=datetime.now(UTC))
    train(spec, settings, run_id=run_id)            # `resume` goes on where it was stopped or killed
    run = load_run(run_id, settings); labels, deltas = run.prediction("test")

    checkpoints/<run id>/
      run.json        RunRecord: spec, split content, state, times, version, mean scores beside those of the baselines
      metrics.jsonl   one line a logged step, see `vccapp.training.metrics_log`
      checkpoint/     the last checkpoint, while the run is not finished
      model/          what `load_model` reads
      scores/         what scorers said of it, see `vccapp.training.results`; our own from the end of the training
      prediction/     perturbations.json {"val": [...], "test": [...]}, deltas.npy (val then test, n_genes) float32
      lock            locked as long as the training process lives

The folder is visible while the run trains; run.json tells its state. A run that says `running` while nobody holds its
lock was killed, and is read as `interrupted`.
"""

import logging
import re
import secrets
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from vccapp.commands import assignments, options
from vccapp.data.atomic import read_json
from vccapp.data.lock import is_locked
from vccapp.data.split import Split
from vccapp.errors import DataError, SpecError, VccAppError
from vccapp.settings import Settings

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

    def command(self) -> list[str]:
        """`vccapp train start` of this run, word by word."""
        words = ["vccapp", "train", "start", self.model, "--split", self.split]
        return [
            *words,
            *options({"--seed": self.seed or None}),
            *assignments(self.params),
            *options({"--title": self.title}),
        ]


class RunRecord(BaseModel):
    """What run.json says.

    `metrics[part][name][metric]` are means over perturbations, None where no perturbation has the metric; names are
    this run's model, the floors and the ceiling (`vccapp.references`).
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
            raise SpecError(
                "not_finished",
                f"The run {self.id} is {self.state}, so it has no predictions",
                fix="choose a finished run",
            )
        labels = read_json(self.folder / "prediction" / "perturbations.json")
        deltas = np.load(self.folder / "prediction" / "deltas.npy", mmap_mode="r")
        start = 0 if part == "val" else len(labels["val"])
        return labels[part], deltas[start : start + len(labels[part])]


def make_run_id(spec: RunSpec, *, now: datetime) -> str:
    """A readable id that no other run has, e.g. 20261121-142233-perturbation_mean-a1b2."""
    return f"{now:%Y%m%d-%H%M%S}-{spec.model}-{secrets.token_hex(2)}"


def load_run(run_id: str, settings: Settings) -> RunRecord:
    """Raises SpecError when there is no such run, DataError when its record cannot be read."""
    folder = run_folder(run_id, settings)
    if not (folder / "run.json").is_file():
        raise SpecError(
            "unknown_run",
            f"There is no run '{run_id}' in {settings.checkpoints}",
            fix="`vccapp train list` shows those there are",
        )
    try:
        record = RunRecord.model_validate(read_json(folder / "run.json"))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise DataError(
            "run_unreadable",
            f"{folder / 'run.json'} is not a run of this version of the app ({where}: {first['msg'].lower()})",
        ) from None
    interrupted = record.state == "running" and not is_locked(folder / "lock")
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


def run_folder(run_id: str, settings: Settings) -> Path:
    if not RUN_ID.fullmatch(run_id):
        raise SpecError(
            "bad_run_id",
            f"'{run_id}' is not a run id",
            fix="it is made of letters, digits, '_', '-' and '.'",
        )
    return settings.checkpoints / run_id
