"""Task `resume`: go on with a run that was stopped, killed or failed."""

from typing import Any

from pydantic import Field

from vccapp.errors import VccAppError
from vccapp.progress import Progress
from vccapp.settings import Settings
from vccapp.tasks.base import TASKS, Needs, Task
from vccapp.tasks.train import DeviceCount, Train, Trained, estimate_needs


@TASKS.register("resume")
class Resume(Task[Trained]):
    name = "resume"
    Result = Trained

    run_id: str = Field(description="Id of the run.")
    devices: DeviceCount = Field(None, description="Number of processes; by default as before.")

    @property
    def title(self) -> str:
        return f"Resume {self.run_id}"

    def command(self) -> list[str]:
        return ["vccapp", "train", "resume", self.run_id, *self.changed_options(devices="--devices", on="--on")]

    def check(self, settings: Settings) -> None:
        from vccapp.training import check_resume, load_run

        check_resume(load_run(self.run_id, settings))

    def needs(self, settings: Settings) -> Needs:
        from vccapp.training import load_run

        try:
            return estimate_needs(load_run(self.run_id, settings).spec, self._shared_by(settings))
        except VccAppError:
            return super().needs(settings)

    def run(self, settings: Settings, progress: Progress) -> Trained:
        from vccapp.training import resume

        resume(self.run_id, self._shared_by(settings), progress=progress)
        return Trained(run=self.run_id)

    def _shared_by(self, settings: Settings) -> Settings:
        from vccapp.training import load_run

        devices = self.devices or load_run(self.run_id, settings).devices
        return settings.model_copy(update={"devices": devices})


def task_again(task: Task[Any], settings: Settings) -> Task[Any]:
    """What to start after a task has failed: a training that has begun goes on, all else is done anew."""
    if isinstance(task, Train) and (settings.checkpoints / task.run_id / "run.json").exists():
        return Resume(dataset=task.dataset, run_id=task.run_id, devices=task.devices, on=task.on)
    return task
