"""What an index will take, told before it starts: memory, disk and time."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from vccapp.data.dataset import Dataset
from vccapp.errors import ResourceError
from vccapp.stats.accumulator import Accumulator, Grouping
from vccapp.stats.store import BLOCK_CELLS

BLOCK_VALUES = 2**23
"""Stored values read at once."""

# Measured on two cores at 2.5 GHz, 221,273 x 18,080, 1.9e9 values: seconds of one core.
SECONDS_PER_VALUE = 45e-9
SECONDS_PER_ENTRY = 22e-9
SECONDS_TO_START = 8


@dataclass(frozen=True)
class IndexPlan:
    """memory_bytes at the peak, disk_bytes while it is built, seconds on this machine (within a factor of two)."""

    memory_bytes: int
    disk_bytes: int
    seconds: float

    def refuse(self, name: str, *, memory_bytes: int, folder: Path) -> None:
        """Raises ResourceError when memory or the disk of `folder` does not suffice."""
        if self.memory_bytes > memory_bytes:
            msg = (
                f"The index of {name} needs about {self.memory_bytes / 1e9:.1f} GB of memory, "
                f"{memory_bytes / 1e9:.1f} GB are allowed; raise VCCAPP_MEMORY_GB."
            )
            raise ResourceError(msg)
        there = next(parent for parent in folder.parents if parent.exists())
        free = shutil.disk_usage(there).free
        if self.disk_bytes > free:
            msg = (
                f"The index of {name} needs {self.disk_bytes / 1e9:.1f} GB of disk, {free / 1e9:.1f} GB are free in "
                f"{there}; free some space or set VCCAPP_HOME to a larger disk."
            )
            raise ResourceError(msg)


def plan_index(dataset: Dataset, grouping: Grouping) -> IndexPlan:
    """Estimate from shapes alone; nothing is read."""
    from numba import get_num_threads

    n_cells, n_genes, n_perturbations = dataset.n_cells, dataset.n_genes, len(grouping.perturbations)
    size = 1 if dataset.schema.value_space == "counts" else 4
    dtype = "uint8" if size == 1 else "float32"
    sums = Accumulator.bytes_needed(grouping, n_genes)
    n_values = dataset.schema.n_values or n_cells * n_genes
    block = n_genes * size * min(BLOCK_CELLS[dtype], n_cells)
    in_flight = 30 * min(BLOCK_VALUES, n_values)
    tables = n_genes * (n_perturbations * 60 + 4 * (len(grouping.guides) + len(grouping.batches)))
    seconds = (
        SECONDS_TO_START + (n_values * SECONDS_PER_VALUE + n_cells * n_genes * SECONDS_PER_ENTRY) / get_num_threads()
    )
    return IndexPlan(
        memory_bytes=sums + block + in_flight + 250_000_000,
        disk_bytes=n_cells * n_genes * size + sums + tables + 40 * n_cells,
        seconds=seconds,
    )
