"""Task `index`: register a data file and build its index.

params  path: absolute path of a .h5ad or zarr; columns: the columns chosen by hand (optional, see Columns)
result  dataset: its fingerprint
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from vccapp.jobs.tasks import TASKS
from vccapp.progress import Progress
from vccapp.settings import Settings

if TYPE_CHECKING:
    from vccapp.data.dataset import Dataset


@TASKS.register("index")
def index(params: dict[str, Any], settings: Settings, progress: Progress) -> dict[str, Any]:
    from vccapp.data.dataset import open_dataset
    from vccapp.data.schema import Columns
    from vccapp.data.workspace import register

    dataset = open_dataset(Path(params["path"]), columns=Columns(**params.get("columns", {})))
    folder = register(dataset, settings) / "index"
    add_index(dataset, folder, settings, progress)
    return {"dataset": dataset.fingerprint}


def add_index(dataset: "Dataset", folder: Path, settings: Settings, progress: Progress) -> None:
    """Build the index of a registered Dataset, unless it is there already."""
    from vccapp.stats.build import build_index
    from vccapp.stats.index import has_index

    if not has_index(folder):
        build_index(dataset, folder, memory_bytes=settings.memory_bytes, progress=progress)
