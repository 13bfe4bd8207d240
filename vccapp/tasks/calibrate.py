"""Task `calibrate`: the prediction of a finished run, changed after its fit, becomes a run."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pydantic import Field

from vccapp.commands import assignments
from vccapp.progress import Progress
from vccapp.settings import Settings
from vccapp.tasks.base import TASKS, Result, Task

if TYPE_CHECKING:
    from vccapp.training import RunSpec


class CalibratedRun(Result):
    """run : its id"""

    run: str


@TASKS.register("calibrate")
class Calibrate(Task[CalibratedRun]):
    name = "calibrate"
    Result = CalibratedRun
    light = True

    run_id: str = Field(description="Id of the run that is calibrated.")
    setting: dict[str, float] = Field(description="What is changed; see `vccapp eval calibrate --help`.")
    fellows: tuple[str, ...] = Field((), description="Ids of other runs whose validation parts tell what is best.")
    run_title: str = Field("", description="Title of the new run, shown in lists.")

    @property
    def title(self) -> str:
        return f"Calibrate {self.run_id}"

    def command(self) -> list[str]:
        words = ["vccapp", "eval", "calibrate", "--run", self.run_id]
        words += [word for fellow in self.fellows for word in ("--with", fellow)]
        return [*words, *assignments(self.setting), *self.changed_options(run_title="--title", on="--on"), "--write"]

    def check(self, settings: Settings) -> None:
        from vccapp.training import check_run

        check_run(self._spec(settings), settings)

    def run(self, settings: Settings, progress: Progress) -> CalibratedRun:
        from vccapp.training import make_run_id, train

        spec = self._spec(settings)
        run_id = make_run_id(spec, now=datetime.now(UTC))
        train(spec, settings, run_id=run_id, progress=progress)
        return CalibratedRun(run=run_id)

    def _spec(self, settings: Settings) -> "RunSpec":
        from vccapp.models.calibration.setting import Setting
        from vccapp.registry import make_spec
        from vccapp.training import load_run
        from vccapp.training.choosing.calibrate import calibrated_spec, find_held_out

        setting = make_spec(Setting, self.setting, name="calibrate")
        run, *fellows = (load_run(name, settings) for name in (self.run_id, *self.fellows))
        return calibrated_spec(find_held_out(run, fellows), setting, title=self.run_title)
