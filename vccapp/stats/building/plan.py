"""What an index will take, told before it starts: memory, disk and time."""

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from vccapp.data.reading.dataset import Dataset
from vccapp.data.resources import PROGRAM_BYTES, require_disk
from vccapp.data.schema import GROUPS
from vccapp.errors import ResourceError
from vccapp.stats.building.accumulator import sums_bytes
from vccapp.stats.store import BLOCK_CELLS

BLOCK_VALUES = 2**23
"""Stored values read at once."""

# Measured on two cores at 2.5 GHz, 221,273 x 18,080, 1.9e9 values: seconds of one core.
SECONDS_PER_VALUE = 45e-9
SECONDS_PER_ENTRY = 22e-9
SECONDS_TO_START = 8


@dataclass(frozen=True)
class IndexPlan:
    """memory_bytes at the peak, disk_bytes while it is built, seconds on this machine (within a factor of two).

    scratch_bytes : what of disk_bytes is in the folder for temporary files: the copy of X where it is stored by gene
    """

    memory_bytes: int
    disk_bytes: int
    scratch_bytes: int
    seconds: float

    def refuse(self, name: str, *, memory_bytes: int, folder: Path) -> None:
        """Raises ResourceError when memory, or the disk of `folder` or of temporary files, does not suffice."""
        if self.memory_bytes > memory_bytes:
            raise ResourceError(
                "memory",
                f"The index of {name} needs about {self.memory_bytes / 1e9:.1f} GB of memory, but "
                f"{memory_bytes / 1e9:.1f} GB are allowed",
                fix="raise VCCAPP_MEMORY_GB",
            )
        there = next(parent for parent in folder.parents if parent.exists())
        scratch = Path(tempfile.gettempdir())
        apart = scratch.stat().st_dev != there.stat().st_dev
        for place, needed, variable in (
            (there, self.disk_bytes - apart * self.scratch_bytes, "VCCAPP_HOME"),
            (scratch, self.scratch_bytes, "TMPDIR"),
        ):
            fix = f"free some space or set {variable} to a larger disk"
            require_disk(place, needed, purpose=f"The index of {name}", fix=fix)


def plan_index(dataset: Dataset) -> IndexPlan:
    """Estimate from shapes and labels; X is not read."""
    n_cells, n_genes, cells = dataset.n_cells, dataset.n_genes, dataset.cells
    n_perturbations, n_guides, n_batches = (cells[c].nunique() for c in GROUPS)
    n_strata = len(cells[["perturbation", "guide"]].drop_duplicates())
    n_values = dataset.schema.n_values or n_cells * n_genes
    dtype = "uint8" if dataset.schema.value_space == "counts" else "float32"
    size = 1 if dtype == "uint8" else 4
    sums = sums_bytes(
        n_strata=n_strata,
        n_batches=n_batches,
        n_perturbations=n_perturbations,
        n_contexts=max(len(dataset.schema.contexts), 1),
        n_genes=n_genes,
    )
    block = n_genes * size * min(BLOCK_CELLS[dtype], n_cells)
    tables = n_genes * (60 * n_perturbations + 4 * (n_guides + n_batches)) + 40 * n_cells
    work = n_values * SECONDS_PER_VALUE + n_cells * n_genes * SECONDS_PER_ENTRY
    scratch = dataset.rows.scratch_bytes
    return IndexPlan(
        memory_bytes=sums + block + 30 * min(BLOCK_VALUES, n_values) + PROGRAM_BYTES,
        disk_bytes=n_cells * n_genes * size + sums + tables + scratch,
        scratch_bytes=scratch,
        seconds=SECONDS_TO_START + work / (os.cpu_count() or 1),
    )
