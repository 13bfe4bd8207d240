"""Task `sweep`: drive the trials of a sweep until each has come to its end."""

import importlib
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from pydantic import Field, ValidationError

from vccapp.errors import JobError, explain
from vccapp.progress import Progress
from vccapp.settings import Place, Settings
from vccapp.tasks.base import TASKS, Needs, Result, Task
from vccapp.tasks.train import DeviceCount

if TYPE_CHECKING:
    from vccapp.training.sweeps.spec import SweepSpec

MEMORY_BYTES = 400_000_000
"""Of the driver alone: each run is a job with needs of its own."""


class Swept(Result):
    """sweep : its id; best : the trial of the best value, from 1, if any finished; runs : its runs"""

    sweep: str
    best: int | None
    runs: tuple[str, ...]


@TASKS.register("sweep")
class Sweep(Task[Swept]):
    """The same sweep once more goes on with the trials that are there."""

    name = "sweep"
    Result = Swept

    spec: dict[str, Any] = Field(description="Fields of the sweep: what its trials share and try.")
    devices: DeviceCount = Field(None, description="Number of processes of each run; by default that of the settings.")
    sweep_id: str = Field("", description="Id of the sweep; generated at the start.")

    @classmethod
    def of(cls, spec: "SweepSpec", *, devices: DeviceCount = None, sweep_id: str = "", on: Place = "here") -> Self:
        """The task of a sweep; relative paths among its parameters are those of the folder we are in."""
        from vccapp.models.base import absolute_paths

        run = spec.run
        params = absolute_paths(run.model, run.params, folder=Path.cwd())
        whole = spec.model_copy(update={"run": run.model_copy(update={"params": params})})
        fields = whole.model_dump(mode="json")
        return cls(dataset=run.dataset, spec=fields, devices=devices, sweep_id=sweep_id, on=on)

    @property
    def sweep(self) -> "SweepSpec":
        """Raises JobError where another version wrote it."""
        from vccapp.training.sweeps.spec import SweepSpec

        try:
            return SweepSpec.model_validate(self.spec)
        except ValidationError as error:
            problem = f"This sweep was written by another version of the app ({explain(error)})"
            raise JobError("task_unreadable", problem, fix="start it again") from None

    @property
    def title(self) -> str:
        run = self.spec["run"]
        split = run["split"].rpartition("/")[2].removesuffix(".json")
        return f"Sweep {run['model']} on {split}" + (f": {run['title']}" if run["title"] else "")

    def command(self) -> list[str]:
        return self.sweep.command() + self.changed_options(devices="--devices", on="--on")

    @property
    def works_on(self) -> Place:
        return "here"

    def named(self, now: datetime) -> Self:
        from vccapp.training.sweeps.record import make_sweep_id

        return self.model_copy(update={"sweep_id": self.sweep_id or make_sweep_id(self.sweep, now=now)})

    def check(self, settings: Settings) -> None:
        from vccapp.training.sweeps.estimate import check_sweep

        check_sweep(self.sweep, settings)

    def needs(self, settings: Settings) -> Needs:
        return Needs(memory_bytes=MEMORY_BYTES, threads=0)

    def run(self, settings: Settings, progress: Progress) -> Swept:
        from vccapp.training.sweeps.record import load_sweep

        # It starts jobs, so it stands above them; imports run downwards, hence by name.
        driver = importlib.import_module("vccapp.drivers.sweep")
        driver.drive_sweep(self.sweep_id, self.sweep, settings, progress, devices=self.devices, on=self.on)
        best = load_sweep(self.sweep_id, settings).best
        if best is None:
            return Swept(sweep=self.sweep_id, best=None, runs=())
        return Swept(sweep=self.sweep_id, best=best.number + 1, runs=tuple(run.id for run in best.runs))
