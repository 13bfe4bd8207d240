"""Task `index`: register a data file and build its index.

params  path: absolute path of a .h5ad or zarr; columns: the columns chosen by hand (optional, see Columns)
result  dataset: its fingerprint
"""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vccapp.errors import ResourceError
from vccapp.jobs.tasks import TASKS
from vccapp.progress import Progress
from vccapp.settings import Settings

if TYPE_CHECKING:
    from vccapp.data.dataset import Dataset

# The gene-major store holds about a byte a count, next to statistics of a fixed size: 0.26 of an uncompressed file,
# up to 0.6 of one that is stored compressed.
INDEX_FRACTION = 0.6


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
    """Build the index of a registered Dataset, unless it is there already. Raises ResourceError if the disk is full."""
    from vccapp.stats.build import build_index
    from vccapp.stats.index import has_index

    if not has_index(folder):
        check_disk(dataset.path, settings)
        build_index(dataset, folder, memory_bytes=settings.memory_bytes, progress=progress)


def index_bytes(data: Path) -> int:
    """The disk space that the index of a data file (or zarr folder) may take."""
    files = data.rglob("*") if data.is_dir() else [data]
    return int(INDEX_FRACTION * sum(file.stat().st_size for file in files if file.is_file()))


def check_disk(data: Path, settings: Settings) -> None:
    """Raises ResourceError when the workspace's disk has no room for the index of `data`."""
    settings.home.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(settings.home).free
    need = index_bytes(data)
    if need > free:
        msg = (
            f"The index of {data.name} needs up to {need / 1e9:.1f} GB, but only {free / 1e9:.1f} GB are free on the "
            f"disk of the workspace {settings.home}; free some space or set VCCAPP_HOME to a larger disk."
        )
        raise ResourceError(msg)
