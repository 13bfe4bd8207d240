"""A run: one model trained on one split, in a folder of its own.

    run_id = make_run_id(spec, now=datetime.now(UTC))
    train(spec, settings, run_id=run_id)            # `resume` goes on where it was stopped or killed
    run = load_run(run_id, settings); labels, deltas = run.prediction("test")

    checkpoints/<run id>/
      run.json        RunRecord: spec, split content, state, times, version, mean scores beside those of the baselines
      notes.json      Notes: what people say of it (`vccapp.training.runs.notes`); the training never writes it
      metrics.jsonl   one line a logged step, see `vccapp.training.metrics_log`
      checkpoint/     the last checkpoint, while the run is not finished
      model/          what `load_model` reads
      scores/         what scorers said of it, see `vccapp.training.results`; our own from the end of the training
      prediction/     perturbations.json {"val": [...], "test": [...]}, deltas.npy (val then test, n_genes) float32
      lock            locked as long as the training process lives

The folder is visible while the run trains; run.json tells its state. A run that says `running` while nobody holds its
lock was killed, and is read as `interrupted`.
"""

import re
import secrets
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from vccapp.commands import assignments, options
from vccapp.data.atomic import write_json
from vccapp.data.lock import is_locked
from vccapp.data.schema import MAX_SEED
from vccapp.data.splits.split import Split
from vccapp.errors import DataError, SpecError
from vccapp.models.base import Made, label_model
from vccapp.records import Format, Listing, Unreadable, list_records, read_record, undamaged
from vccapp.settings import Settings
from vccapp.stats.knowledge import Knowledge

Part = Literal["val", "test"]
State = Literal["running", "finished", "stopped", "failed", "interrupted"]
RECORD = "run.json"
RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
RUN = Format(
    "run",
    5,
    {
        1: lambda fields: fields | {"number": 0},
        2: lambda fields: fields | {"seen": []},
        3: lambda fields: fields | {"made": None, "basis": {}},
        4: lambda fields: fields | {"confidence": {}},
    },
    fix="delete the run's folder and train again",
)
"""Version 1 did not number the runs, 2 did not say what they have seen, 3 what made a prediction and what it rests on,
4 neither how sure it is nor whether a training was given up.
"""
NOTES = Format("run notes", fix="delete it; the run itself is not touched")
NOTES_FILE = "notes.json"
PREDICTION = Format("prediction", 2, {1: lambda fields: fields | {"basis": {}}}, fix="train again")
"""Version 1 did not say what the prediction of each perturbation rests on."""
MAX_KEPT = 4000
"""Records of runs that a process keeps, parsed."""
SETTLED_NS = 2_000_000_000
"""A file that was changed more recently could change again and bear the same time."""
T = TypeVar("T", bound=BaseModel)
_kept: dict[Path, tuple[tuple[int, int, int], BaseModel]] = {}


class RunSpec(BaseModel):
    """All that decides a run."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str = Field(description="Name of the model.")
    params: dict[str, Any] = Field(default_factory=dict, description="Hyperparameters that differ from the defaults.")
    dataset: str = Field(description="Fingerprint of the data.")
    split: str = Field(description="Name or path of the split.")
    seed: int = Field(0, ge=0, le=MAX_SEED, description="Random seed; the same seed gives the same run.")
    title: str = Field("", description="A title, shown in lists.")

    def command(self) -> list[str]:
        """`vccapp train start` of this run, word by word."""
        words = ["vccapp", "train", "start", self.model, "--split", self.split]
        return [
            *words,
            *options({"--seed": self.seed or None}),
            *assignments(self.params),
            *options({"--title": self.title}),
        ]


Tag = Annotated[str, Field(pattern=r"^[^\s,]+$", max_length=40)]


class Notes(BaseModel):
    """What people say of a run. title : instead of that of its spec; None: that. pinned : since when it is the
    reference of its dataset. run : its id
    """

    model_config = ConfigDict(frozen=True)

    run: str
    title: str | None = Field(None, max_length=200)
    note: str = Field("", max_length=4000)
    tags: tuple[Tag, ...] = Field((), max_length=20)
    pinned: datetime | None = None


class RunRecord(BaseModel):
    """What run.json says.

    number : 1, 2, ... in the order in which runs were begun, whatever the clock said; 0 of runs of earlier versions
    device : what a network trained on; empty where that is not known
    made : of a network, what made its prediction
    same : whether it predicts one effect for all (`vccapp.training.sameness`), which is said of no baseline
    basis : of each held-out perturbation, what its prediction rests on (`vccapp.models.base.BASES`)
    confidence : of each of them, how sure it is (`vccapp.evaluation.confidence`); None where nothing can be told
    seen : what its model has seen of these data, then what each of its sources has; nothing before the fit has ended
    `metrics[part][name][metric]` are means over perturbations, None where no perturbation has the metric or a limit
    cannot be told; names are this run's model, the models that it starts from, the floors and the limits
    (`vccapp.references`).
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
    devices: int = Field(1, description="Number of processes that trained it.")
    device: str = ""
    number: int = 0
    seen: tuple[Knowledge, ...] = ()
    made: Made | None = None
    same: bool = False
    basis: dict[str, str] = {}
    confidence: dict[str, float | None] = {}
    metrics: dict[Part, dict[str, dict[str, float | None]]] = {}
    folder: Path = Field(Path(), exclude=True)
    notes: Notes = Field(Notes(run=""), exclude=True)

    @property
    def title(self) -> str:
        """What people call it: as it was renamed, or as it was started."""
        return self.spec.title if self.notes.title is None else self.notes.title

    @property
    def order(self) -> tuple[int, datetime]:
        """Of two runs the one that was begun later has the greater."""
        return self.number, self.created

    def require_prediction(self, part: Part) -> tuple[list[str], np.ndarray]:
        """The same as `prediction`. Raises SpecError also where the part has no perturbation."""
        labels, deltas = self.prediction(part)
        if not labels:
            raise SpecError(
                "nothing_predicted",
                f"The run {self.id} predicts no perturbation of the {part} part",
                fix="choose another part",
            )
        return labels, deltas

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
        folder = self.folder / "prediction"
        labels = read_record(folder / "perturbations.json", PREDICTION, _parse_labels)
        with undamaged(folder / "deltas.npy", fix=PREDICTION.fix):
            val, test = np.split(np.load(folder / "deltas.npy", mmap_mode="r"), [len(labels[0])])
            if val.ndim != 2 or not np.issubdtype(val.dtype, np.floating):
                msg = "it holds no table of numbers"
                raise ValueError(msg)
            if len(test) != len(labels[1]):
                msg = f"it has predictions of {len(val) + len(test)} perturbations"
                raise ValueError(msg)
        return (labels[0], val) if part == "val" else (labels[1], test)


def explain_made(run: RunRecord) -> str:
    """In a sentence, what made a network's prediction, or that it is one for all; "" where neither is known."""
    made = run.made
    if run.same and not (made is not None and made.is_baseline):
        return "This run predicts the same effect for all held-out perturbations, but for the targets themselves."
    if made is None:
        return ""
    if made.gave_up:
        return (
            f"This run is its baseline, {label_model(made.baseline)}: nothing that the network added in its first "
            f"{made.steps:,} steps helped on the validation part, so it ended there."
        )
    if made.is_baseline:
        why = "no step of its training was better than the start" if made.best_step == 0 else "nothing it adds helps"
        return f"This run is its baseline, {label_model(made.baseline)}: {why} on the validation part."
    kept = (
        f"the last of {made.steps:,} steps" if made.best_step is None else f"step {made.best_step:,} of {made.steps:,}"
    )
    added = f", {made.share:.0%} of what it adds to {label_model(made.baseline)}" if made.baseline else ""
    return f"Weights of {kept}{added}."


def _parse_labels(saved: dict[str, Any]) -> tuple[list[str], list[str]]:
    read = TypeAdapter(list[str]).validate_python
    return read(saved["val"]), read(saved["test"])


def make_run_id(spec: RunSpec, *, now: datetime) -> str:
    """A readable id that no other run has, e.g. 20261121-142233-perturbation_mean-a1b2."""
    return f"{now:%Y%m%d-%H%M%S}-{spec.model}-{secrets.token_hex(2)}"


def load_run(run_id: str, settings: Settings) -> RunRecord:
    """Raises SpecError when there is no such run, DataError when its record cannot be read; its notes may not be."""
    folder = run_folder(run_id, settings)
    if not _has_record(folder):
        raise SpecError(
            "unknown_run",
            f"There is no run '{run_id}' in {settings.checkpoints}",
            fix="list the runs with `vccapp runs list`",
        )
    return _load_folder(folder)[0]


def _load_folder(folder: Path) -> tuple[RunRecord, Unreadable | None]:
    """A run, and its notes where they cannot be read."""
    record = _read(folder / RECORD, RUN, RunRecord.model_validate)
    interrupted = record.state == "running" and not is_locked(folder / "lock")
    if interrupted:  # it may have ended between the two looks
        record = _read(folder / RECORD, RUN, RunRecord.model_validate)
        interrupted = record.state == "running"
    changes: dict[str, Any] = {"folder": folder} | ({"state": "interrupted"} if interrupted else {})
    unreadable = None
    try:
        changes["notes"] = read_notes(folder)
    except DataError as error:
        unreadable = Unreadable(folder / NOTES_FILE, error)
    return record.model_copy(update=changes), unreadable


def read_notes(folder: Path) -> Notes:
    """What people say of the run in a folder; empty where they have said nothing. Raises DataError where damaged."""
    path = folder / NOTES_FILE
    return _read(path, NOTES, Notes.model_validate) if path.is_file() else Notes(run=folder.name)


def _read(path: Path, format: Format, parse: Callable[[dict[str, Any]], T]) -> T:
    """A record, parsed once for every version of its file: hundreds of runs are listed at each look at a page."""
    try:
        found = path.stat()
    except OSError:
        return read_record(path, format, parse)  # which says what is the matter
    stamp = (found.st_ino, found.st_size, found.st_mtime_ns)
    known = _kept.get(path)
    if known is not None and known[0] == stamp:
        return known[1]  # type: ignore[return-value]  # what was parsed of this path
    record = read_record(path, format, parse)
    if abs(time.time_ns() - found.st_mtime_ns) > SETTLED_NS:
        if len(_kept) >= MAX_KEPT:
            _kept.clear()
        _kept[path] = stamp, record
    return record


def write_run(run: RunRecord, folder: Path) -> None:
    write_json(folder / RECORD, RUN.stamp(run.model_dump(mode="json")))


def list_runs(settings: Settings) -> Listing[RunRecord]:
    """The one that was begun last comes first."""
    notes: list[Unreadable] = []

    def load(path: Path) -> RunRecord:
        run, unreadable = _load_folder(path.parent)
        notes.extend([unreadable] if unreadable else [])
        return run

    folders = settings.checkpoints.iterdir() if settings.checkpoints.is_dir() else ()
    paths = (folder / RECORD for folder in folders if not folder.name.startswith(".") and _has_record(folder))
    runs = list_records(paths, load)
    runs.sort(key=lambda run: run.order, reverse=True)
    return Listing(runs, [*runs.unreadable, *notes])


def next_number(settings: Settings) -> int:
    """That of a run that is begun now."""
    return max((run.number for run in list_runs(settings)), default=0) + 1


def _has_record(folder: Path) -> bool:
    """Whether it is a run's folder; one that may not be looked into is: that is to be said."""
    try:
        return (folder / RECORD).is_file()
    except PermissionError:
        return True


def run_folder(run_id: str, settings: Settings) -> Path:
    if not RUN_ID.fullmatch(run_id):
        raise SpecError(
            "bad_run_id",
            f"'{run_id}' is not a run id",
            fix="use letters, digits, '_', '-' and '.'",
        )
    return settings.checkpoints / run_id
