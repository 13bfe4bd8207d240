"""Task `index`: register a data file and build its index.

params  path: absolute path of a .h5ad or zarr; paths: all files where several are joined (optional);
        columns: the columns chosen by hand (optional, see Columns);
        executor: local (if absent) or ray; ray_address: its cluster (that of the settings, if absent)
result  dataset: its fingerprint
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from vccapp.jobs.tasks import TASKS
from vccapp.progress import Progress
from vccapp.settings import Settings

if TYPE_CHECKING:
    from vccapp.data.reading.dataset import Dataset
    from vccapp.stats.building.executor import Kind


@TASKS.register("index")
def index(params: dict[str, Any], settings: Settings, progress: Progress) -> dict[str, Any]:
    from vccapp.data.reading.opening import open_dataset
    from vccapp.data.schema import Columns
    from vccapp.data.workspace import register

    dataset = open_dataset(params.get("paths", params["path"]), columns=Columns(**params.get("columns", {})))
    folder = register(dataset, settings) / "index"
    address = params.get("ray_address", settings.ray_address)
    add_index(dataset, folder, settings, progress, executor=params.get("executor", "local"), ray_address=address)
    return {"dataset": dataset.fingerprint}


def add_index(
    dataset: "Dataset",
    folder: Path,
    settings: Settings,
    progress: Progress,
    *,
    executor: "Kind" = "local",
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
