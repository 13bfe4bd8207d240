"""What a sweep writes of itself: `sweeps/<id>/sweep.json` of the workspace, whole after every change.

The record is the one truth: a sampler is asked with what stands in it, so a driver that was killed goes on with the
trials that are there. A trial stands in it, with the ids of its runs, before any of its runs is queued.
"""

import secrets
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from vccapp.data.atomic import write_json
from vccapp.errors import SpecError
from vccapp.records import Format, Listing, list_records, read_record
from vccapp.settings import Place, Settings
from vccapp.training.record import RUN_ID
from vccapp.training.sweeps.spec import SweepSpec

SWEEP = Format("sweep", fix="delete the sweep's folder and start it again; its runs stay")
FILE = "sweep.json"


class TrialRun(BaseModel):
    """One run of a trial. job : the last that worked for it; value : of the metric, once it is finished"""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    split: str
    seed: int
    state: Literal["waiting", "started", "finished", "ended"] = "waiting"
    job: str = ""
    value: float | None = None


class Trial(BaseModel):
    """
    value : mean of the metric over the runs; of a pruned trial the last one that its first run logged
    reason : why it was pruned or came to no end
    curve : the metric at the validations of its first run, without the one before the first step; kept where the sweep
        prunes. None where it was undefined
    noted : what the pruner keeps of the trial
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    number: int
    params: dict[str, Any]
    runs: tuple[TrialRun, ...]
    state: Literal["running", "finished", "pruned", "failed", "stopped"] = "running"
    value: float | None = None
    reason: str = ""
    curve: tuple[float | None, ...] = ()
    noted: dict[str, float] = {}


class SweepRecord(BaseModel):
    """What sweep.json says.

    devices : processes of each run, of the settings where None; on : where runs work; trials : by number, from 0
    """

    model_config = ConfigDict(frozen=True)

    id: str
    spec: SweepSpec
    created: datetime
    vccapp: str
    devices: Annotated[int, Field(ge=1)] | Literal["auto"] | None = None
    on: Place = "here"
    trials: tuple[Trial, ...] = ()
    folder: Path = Field(Path(), exclude=True)

    @property
    def finished(self) -> bool:
        """Whether every trial has come to an end."""
        return len(self.trials) == self.spec.n_trials and all(trial.state != "running" for trial in self.trials)

    @property
    def best(self) -> Trial | None:
        """The finished trial of the best value, the first of equals."""
        sign = 1 if self.spec.better == "low" else -1
        done = [trial for trial in self.trials if trial.state == "finished" and trial.value is not None]
        return min(done, key=lambda trial: sign * (trial.value or 0.0), default=None)

    def count(self, *states: str) -> int:
        """Trials in these states."""
        return sum(trial.state in states for trial in self.trials)


def make_sweep_id(spec: SweepSpec, *, now: datetime) -> str:
    """A readable id that no other sweep has, e.g. 20261121-142233-scouter-sweep-a1b2; ids of its runs begin with it."""
    return f"{now:%Y%m%d-%H%M%S}-{spec.run.model}-sweep-{secrets.token_hex(2)}"


def run_ids(sweep_id: str, number: int, n: int) -> list[str]:
    """The ids of the runs of a trial, counted from 1: they follow from its number, so none is ever there twice."""
    trial = f"{sweep_id}-{number + 1:03d}"
    return [trial] if n == 1 else [f"{trial}-{i}" for i in range(1, n + 1)]


def sweep_folder(sweep_id: str, settings: Settings) -> Path:
    if not RUN_ID.fullmatch(sweep_id):
        raise SpecError("bad_sweep_id", f"'{sweep_id}' is not a sweep id", fix="see `vccapp sweep list` for the ids")
    return settings.sweeps / sweep_id


def write_sweep(sweep: SweepRecord) -> None:
    write_json(sweep.folder / FILE, SWEEP.stamp(sweep.model_dump(mode="json")))


def load_sweep(sweep_id: str, settings: Settings) -> SweepRecord:
    """Raises SpecError when there is no such sweep, DataError when its record cannot be read."""
    folder = sweep_folder(sweep_id, settings)
    if not (folder / FILE).is_file():
        raise SpecError(
            "unknown_sweep",
            f"There is no sweep '{sweep_id}' in {settings.sweeps}",
            fix="list the sweeps with `vccapp sweep list`",
        )
    return read_record(folder / FILE, SWEEP, SweepRecord.model_validate).model_copy(update={"folder": folder})


def list_sweeps(settings: Settings) -> Listing[SweepRecord]:
    """The newest first."""
    sweeps = list_records(settings.sweeps.glob(f"*/{FILE}"), lambda path: load_sweep(path.parent.name, settings))
    sweeps.sort(key=lambda sweep: sweep.created, reverse=True)
    return sweeps
