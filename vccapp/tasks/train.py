"""Task `train`: train a model on a split."""

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import Field

from vccapp.data.schema import MAX_SEED
from vccapp.errors import VccAppError
from vccapp.progress import Progress
from vccapp.settings import Place, Settings
from vccapp.tasks.base import TASKS, Needs, Result, Task

if TYPE_CHECKING:
    from vccapp.training import RunSpec

DeviceCount = Annotated[int, Field(ge=1)] | Literal["auto"] | None


class Trained(Result):
    """run : its id"""

    run: str


@TASKS.register("train")
class Train(Task[Trained]):
    """`spec` in fields of its own, so that this module loads no model, and how it is worked."""

    name = "train"
    Result = Trained

    model: str = Field(description="Name of the model.")
    params: dict[str, Any] = Field({}, description="Hyperparameters that differ from the defaults.")
    split: str = Field(description="Name of the split, or its absolute path.")
    seed: int = Field(0, ge=0, le=MAX_SEED, description="Random seed; the same seed gives the same run.")
    run_title: str = Field("", description="Title of the run, shown in lists.")
    devices: DeviceCount = Field(None, description="Number of processes; by default that of the settings.")
    run_id: str = Field("", description="Id of the run; generated at the start.")

    @classmethod
    def of(cls, spec: "RunSpec", *, devices: DeviceCount = None, on: Place = "here") -> Self:
        """The task that trains a run; relative paths among its parameters are those of the folder we are in."""
        from vccapp.models.base import absolute_paths

        fields = spec.model_dump()
        fields["params"] = absolute_paths(spec.model, spec.params, folder=Path.cwd())
        return cls(run_title=fields.pop("title"), devices=devices, on=on, **fields)

    @property
    def spec(self) -> "RunSpec":
        from vccapp.training import RunSpec

        own = self.model_dump(include={"model", "params", "dataset", "split", "seed"})
        return RunSpec(title=self.run_title, **own)

    @property
    def title(self) -> str:
        split = self.split.rpartition("/")[2].removesuffix(".json")
        return f"Train {self.model} on {split}" + (f": {self.run_title}" if self.run_title else "")

    def command(self) -> list[str]:
        return self.spec.command() + self.changed_options(devices="--devices", on="--on")

    def named(self, now: datetime) -> Self:
        from vccapp.training import make_run_id

        return self.model_copy(update={"run_id": self.run_id or make_run_id(self.spec, now=now)})

    def check(self, settings: Settings) -> None:
        from vccapp.training import check_run

        check_run(self.spec, self.shared_by(settings))

    def needs(self, settings: Settings) -> Needs:
        return estimate_needs(self.spec, self.shared_by(settings))

    def run(self, settings: Settings, progress: Progress) -> Trained:
        from vccapp.training import train

        train(self.spec, self.shared_by(settings), run_id=self.run_id, progress=progress)
        return Trained(run=self.run_id)

    def shared_by(self, settings: Settings) -> Settings:
        """The settings with the processes of this task."""
        return settings if self.devices is None else settings.model_copy(update={"devices": self.devices})


def estimate_needs(spec: "RunSpec", settings: Settings) -> Needs:
    """What the training of a run takes; all that is allowed where that cannot be told."""
    from vccapp.data.splits.split import load_split
    from vccapp.models.base import make_model
    from vccapp.stats.index import load_index
    from vccapp.training.fit import count_ranks, estimate_fit

    memory_bytes, gpus = settings.memory_bytes, 0
    try:
        model = make_model(spec.model, spec.params)
        on_gpu = model.is_network and settings.device != "cpu"
        index = load_index(settings.index_of(spec.dataset))
        ranks = count_ranks(model, settings)
        gpus = ranks if on_gpu else 0
        memory_bytes = estimate_fit(model, index, load_split(spec.split, settings), settings, ranks=ranks).memory_bytes
    except VccAppError:
        pass
    return Needs(memory_bytes=memory_bytes, gpus=gpus)
