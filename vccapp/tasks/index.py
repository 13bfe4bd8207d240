"""Task `index`: register a data file, or several as one, and build its index."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from vccapp.data.commands import column_options
from vccapp.data.schema import Columns, Schema
from vccapp.errors import DataError, VccAppError
from vccapp.progress import Progress
from vccapp.settings import Settings
from vccapp.tasks.base import TASKS, AbsolutePath, Needs, Result, Task

if TYPE_CHECKING:
    from vccapp.data.reading.dataset import Dataset
    from vccapp.stats.building.plan import IndexPlan


class Indexed(Result):
    """dataset : its fingerprint"""

    dataset: str


@TASKS.register("index")
class Index(Task[Indexed]):
    name = "index"
    Result = Indexed

    paths: tuple[AbsolutePath, ...] = Field(min_length=1, description="Data files with the same genes.")
    columns: Columns = Field(Columns(), description="Columns chosen by the user.")
    executor: Literal["local", "ray"] = Field(
        "local", description="Where to work: local (this machine) or ray (a cluster)."
    )
    ray_address: str | None = Field(None, description="Address of the cluster; by default that of the settings.")

    @property
    def title(self) -> str:
        return f"Index {', '.join(path.name for path in self.paths)}"

    def command(self) -> list[str]:
        words = ["vccapp", "data", "index", *map(str, self.paths), *column_options(self.columns)]
        return words + self.changed_options(executor="--executor", ray_address="--ray-address", on="--on")

    def check(self, settings: Settings) -> None:
        self._open(settings)

    def needs(self, settings: Settings) -> Needs:
        from vccapp.stats.building.plan import plan_index

        try:
            plan = plan_index(self._open(settings))
        except VccAppError:
            return super().needs(settings)
        return Needs(memory_bytes=plan.memory_bytes)

    def run(self, settings: Settings, progress: Progress) -> Indexed:
        from vccapp.data.workspace import register

        dataset = self._open(settings)
        register(dataset, settings)
        folder = settings.index_of(dataset.fingerprint)
        address = self.ray_address or settings.ray_address
        add_index(dataset, folder, settings, progress, executor=self.executor, ray_address=address)
        return Indexed(dataset=dataset.fingerprint)

    def _open(self, settings: Settings) -> "Dataset":
        from vccapp.data.reading.opening import open_dataset
        from vccapp.data.stores.access import Access

        return open_dataset(self.paths, columns=self.columns, access=Access.of(settings))


@dataclass(frozen=True)
class Opened:
    """What a file holds, what its index will take, and why it cannot have one (empty: it can)."""

    schema: Schema
    plan: "IndexPlan"
    unusable: DataError | None


def look_at(path: Path, columns: Columns, settings: Settings) -> Opened:
    """What a file holds, opened and checked. Raises DataError in one sentence when it cannot be used."""
    from vccapp.data.reading.opening import open_dataset
    from vccapp.data.stores.access import Access
    from vccapp.stats.building.plan import plan_index

    dataset = open_dataset(path, columns=columns, access=Access.of(settings))
    try:
        dataset.require_usable()
    except DataError as error:
        return Opened(dataset.schema, plan_index(dataset), error)
    return Opened(dataset.schema, plan_index(dataset), None)


def look_at_choices(path: Path, settings: Settings) -> tuple[list[str], list[str], list[str]]:
    """The obs columns, var columns and matrices of a file. Raises DataError as `look_at`."""
    from vccapp.data.reading.opening import list_choices
    from vccapp.data.stores.access import Access

    return list_choices(path, Access.of(settings))


def add_index(
    dataset: "Dataset",
    folder: Path,
    settings: Settings,
    progress: Progress,
    *,
    executor: Literal["local", "ray"] = "local",
    ray_address: str = "auto",
) -> None:
    """Build the index of a registered Dataset, unless it is there already."""
    from vccapp.stats.building.build import build_index
    from vccapp.stats.building.executors import open_executor
    from vccapp.stats.building.plan import plan_index
    from vccapp.stats.index import has_index

    if not has_index(folder):
        needed = plan_index(dataset).memory_bytes
        paths = (*dataset.paths, folder.parent)
        with open_executor(executor, address=ray_address, paths=paths, memory_bytes=needed) as opened:
            build_index(dataset, folder, memory_bytes=settings.memory_bytes, executor=opened, progress=progress)
