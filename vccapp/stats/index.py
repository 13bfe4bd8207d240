"""The index of a dataset: every figure of the statistics pages, read from small files in milliseconds.

`vccapp.stats.building.build` writes it; this module reads it and imports nothing heavy, so pages may use it.
"""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from vccapp.data.schema import GROUPS, check_contexts, context_of, positions_of
from vccapp.data.significance import FDR
from vccapp.errors import DataError, SpecError
from vccapp.records import Format, read_record, undamaged
from vccapp.stats.pseudobulks import ByLabel

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

    from vccapp.stats.store import GeneStore

INDEX = Format(
    "index",
    version=2,
    migrations={1: lambda meta: {**meta, "target_sums": [meta["target_sum"]], "context_ignored": None}},
    fix="delete the index folder and build it again (vccapp data index PATH)",
)
"""Of index.json and of all arrays and tables beside it."""
META = (
    *("vccapp", "fingerprint", "n_cells", "n_genes", "value_space", "control_label", "target_sums"),
    *("context_ignored", "n_cells_without_umis", "seed", "seconds"),
)
"""What index.json says. target_sums : depth of each context, in their order."""
ARRAYS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("mean", "variance", "count_sum"), ("perturbations", "genes")),
    **dict.fromkeys(("de/p_value", "de/fdr", "de/lfc_2025", "de/lfc_2026", "de/statistic"), ("perturbations", "genes")),
    "half_mean": ("half", "perturbations", "genes"),
    "guide_mean": ("guide", "genes"),
    "batch_mean": ("batch", "genes"),
    "scaling": ("cells",),
}
"""The axes of each array."""


class Index(ByLabel):
    """A finished index in `folder`. Arrays are memory-mapped; frames are read when first asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.meta: dict[str, Any] = read_record(folder / "index.json", INDEX, _check_meta)
        self._within: dict[str, ContextIndex] = {}

    @cached_property
    def genes(self) -> pd.DataFrame:
        """One row a gene in the file's order; means, extremes and non-zero fractions of the stored values."""
        return self._table("genes")

    @cached_property
    def perturbations(self) -> pd.DataFrame:
        """One row a perturbation, the control first: cells, UMIs, DEGs at FDR < 0.05, knock-down, effect size."""
        return self._table("perturbations")

    @cached_property
    def guides(self) -> pd.DataFrame:
        return self._table("guide")

    @cached_property
    def batches(self) -> pd.DataFrame:
        return self._table("batch")

    @property
    def cells(self) -> pd.DataFrame:
        """One row a cell: perturbation, guide, batch, umis (NaN for log1p input), detected genes."""
        return self._table("cells")

    @cached_property
    def labels(self) -> list[str]:
        """Perturbations in the order of every (n_perturbations, ...) array, the control first."""
        return self.perturbations["perturbation"].tolist()

    def within(self, context: str | None) -> "Index":
        """The index of one context, as if its cells were all; None: this index. Raises SpecError for an unknown one."""
        if context is None:
            return self
        if context not in self._within:
            self._within[context] = ContextIndex(self, context)
        return self._within[context]

    @cached_property
    def _row(self) -> dict[str, int]:
        return positions_of(self.labels)

    @cached_property
    def _store(self) -> "GeneStore":
        from vccapp.stats.store import GeneStore

        return GeneStore(self.folder / "store")

    @cached_property
    def _scaling(self) -> np.ndarray:
        """(n_cells,) float32 divisors of the cells of the data, of all contexts."""
        return Index.array(self, "scaling")

    @cached_property
    def gene_position(self) -> dict[str, int]:
        return positions_of(self.genes["gene"])

    def array(self, name: str) -> np.ndarray:
        """A memory-mapped array of the index, e.g. mean, variance, half_mean, guide_mean, de/p_value."""
        path = self.folder / f"{name}.npy"
        with undamaged(path, fix=INDEX.fix):
            found = np.load(path, mmap_mode="r")
        if name in ARRAYS:
            _require_shape(path, found.shape, tuple(self._lengths[axis] for axis in ARRAYS[name]))
        return found

    @cached_property
    def _lengths(self) -> dict[str, int]:
        """Of the axes of all arrays: what index.json says, and the rows of the tables that name the others."""
        from pyarrow.parquet import read_metadata

        said = read_record(self.folder / "index.json", INDEX, _check_meta)
        lengths = {"half": 2, "cells": said["n_cells"], "genes": said["n_genes"]}
        for name in ("perturbations", "guide", "batch"):
            path = self.folder / f"{name}.parquet"
            with undamaged(path, fix=INDEX.fix):
                lengths[name] = read_metadata(path).num_rows
        return lengths

    def _table(self, name: str) -> pd.DataFrame:
        path = self.folder / f"{name}.parquet"
        with undamaged(path, fix=INDEX.fix):
            found = pd.read_parquet(path)
        if (kind := name.partition(".")[0]) in ("cells", "genes"):
            _require_shape(path, (len(found),), (self._lengths[kind],))
        return found

    def rows(self, labels: Sequence[str]) -> list[int]:
        """Row numbers of perturbations. Raises SpecError naming those that are unknown."""
        unknown = [label for label in labels if label not in self._row]
        if unknown:
            some, missing = ", ".join(self.perturbed[:3]), ", ".join(unknown[:5])
            raise SpecError(
                "unknown_perturbation",
                f"The dataset has no perturbation {missing}",
                fix=f"there are {len(self.perturbed)}, e.g. {some}",
            )
        return [self._row[label] for label in labels]

    def de(self, label: str) -> pd.DataFrame:
        """DE of one perturbation against the controls, genes in the file's order; see `vccapp.stats.building.de`."""
        [row] = self.rows([label])
        return pd.DataFrame(
            {
                "gene": self.genes["gene"],
                "p_value": self.array("de/p_value")[row],
                "fdr": self.array("de/fdr")[row],
                "log2_fold_change": self.array("de/lfc_2025")[row],
                "log2_fold_change_2026": self.array("de/lfc_2026")[row],
                "statistic": self.array("de/statistic")[row],
            }
        )

    def deg_counts(self, *, fdr: float = FDR, min_abs_lfc: float = 0.0) -> pd.DataFrame:
        """perturbation, degs, up, down below `fdr` and at least `min_abs_lfc` (log2, 2025 definition); no control."""
        counts = compute_deg_counts(
            self.array("de/fdr"), self.array("de/lfc_2025"), fdr_below=fdr, min_abs_lfc=min_abs_lfc
        )
        return pd.DataFrame({"perturbation": self.labels, **counts})[len(self.controls) :].reset_index(drop=True)

    def gene_values(self, gene: str) -> np.ndarray:
        """(n_cells,) float32 log1p values of one gene over all cells, from the gene-major store."""
        from vccapp.stats.normalise import log_values

        if gene not in self.gene_position:
            some = ", ".join(self.genes["gene"][:3])
            raise SpecError(
                "unknown_gene",
                f"The dataset has no gene {gene}",
                fix=f"there are {len(self.genes):,}, e.g. {some}",
            )
        values = self._store.read(self.gene_position[gene])[0]
        return values if self.meta["value_space"] == "log1p" else log_values(values, self._scaling)

    def cell_values(self, cells: np.ndarray) -> np.ndarray:
        """(n_genes, len(cells)) float32 log1p values of some cells, sorted row numbers, from the gene-major store."""
        from vccapp.stats.normalise import log_values

        cells = np.asarray(cells)
        genes = np.arange(len(self.genes))
        values = np.empty((len(genes), len(cells)), np.float32)
        for start, block in self._store.read_blocks(genes):
            low, high = np.searchsorted(cells, [start, start + block.shape[1]])
            values[:, low:high] = block[:, cells[low:high] - start]
        gene, cell, value = self._store.overflow(genes)
        at = np.minimum(np.searchsorted(cells, cell), len(cells) - 1)
        wanted = cells[at] == cell
        values[gene[wanted], at[wanted]] = value[wanted]
        return values if self.meta["value_space"] == "log1p" else log_values(values, self._scaling[cells])

    def normalise(self, block: "csr_matrix", rows: np.ndarray) -> "csr_matrix":
        """Whole cells as stored ((n, n_genes) csr), which are `rows` of the data, as log1p values, float32."""
        from vccapp.stats.normalise import log_rows

        if self.meta["value_space"] == "log1p":
            return block
        return log_rows(block, self._scaling[rows])


class ContextIndex(Index):
    """One context of an index. Labels keep the name of the context; cells and genes are those of the context alone."""

    def __init__(self, whole: Index, context: str) -> None:
        super().__init__(whole.folder)
        check_contexts([context], whole.contexts)
        self.context, self._number = context, whole.contexts.index(context)
        n_cells = int(self.perturbations["n_cells"].sum())
        self.meta |= {"target_sums": [self.meta["target_sums"][self._number]], "n_cells": n_cells}

    @cached_property
    def genes(self) -> pd.DataFrame:
        return self._table(f"genes.{self._number}")

    @cached_property
    def perturbations(self) -> pd.DataFrame:
        return self._own("perturbations")

    @cached_property
    def guides(self) -> pd.DataFrame:
        return self._own("guide")

    @cached_property
    def batches(self) -> pd.DataFrame:
        return self._own("batch")

    @property
    def cells(self) -> pd.DataFrame:
        """One row a cell of the context; the frame's index says which cell of the data."""
        cells = super().cells.iloc[self._cells]
        return cells.assign(**{name: cells[name].cat.remove_unused_categories() for name in GROUPS})

    @cached_property
    def _cells(self) -> np.ndarray:
        """Which cells of the data are of the context."""
        labels = super().cells["perturbation"].cat
        own = np.array([context_of(label) == self.context for label in labels.categories])
        return np.flatnonzero(own[labels.codes])

    def array(self, name: str) -> np.ndarray:
        array = super().array(name)
        if name == "scaling":
            return array[self._cells]
        if name in ("guide_mean", "batch_mean"):
            return array[self._rows_of[name.removesuffix("_mean")]]
        own = self._rows_of["perturbations"]
        return array[:, own] if name == "half_mean" else array[own]

    def gene_values(self, gene: str) -> np.ndarray:
        """(cells of the context,) float32 log1p values of one gene."""
        return super().gene_values(gene)[self._cells]

    def cell_values(self, cells: np.ndarray) -> np.ndarray:
        """(n_genes, len(cells)) float32 log1p values of some cells, sorted row numbers of `cells`."""
        return super().cell_values(self._cells[np.asarray(cells)])

    @cached_property
    def _rows_of(self) -> dict[str, np.ndarray]:
        """By table, the rows of the context; the first column of each holds labels."""
        labels = {name: self._table(name).iloc[:, 0] for name in ("perturbations", "guide", "batch")}
        return {
            name: np.flatnonzero([context_of(label) == self.context for label in own]) for name, own in labels.items()
        }

    def _own(self, table: str) -> pd.DataFrame:
        return self._table(table).iloc[self._rows_of[table]].reset_index(drop=True)


def load_index(folder: Path) -> Index:
    """Open a dataset's finished index. Raises SpecError when there is none, DataError when it cannot be read."""
    if not (folder / "index.json").exists():
        raise SpecError(
            "no_index",
            f"The dataset {folder.parent.name} has no index yet",
            fix="build it first with `vccapp data index PATH`",
        )
    return Index(folder)


def has_index(folder: Path) -> bool:
    """Whether a finished index that this version reads is in `folder`."""
    try:
        Index(folder)
    except DataError:
        return False
    return True


def _require_shape(path: Path, found: tuple[int, ...], wanted: tuple[int, ...]) -> None:
    """Raises DataError for an array or table that does not fit the others."""
    if found != wanted:
        shapes = [" x ".join(f"{length:,}" for length in shape) for shape in (found, wanted)]
        problem = f"{path} is damaged (it holds {shapes[0]} values, and the index {shapes[1]})"
        raise DataError("file_damaged", problem, found=found, fix=INDEX.fix)


def _check_meta(meta: dict[str, Any]) -> dict[str, Any]:
    return {name: meta[name] for name in META}


def compute_deg_counts(
    fdr: np.ndarray, lfc: np.ndarray, *, fdr_below: float, min_abs_lfc: float
) -> dict[str, np.ndarray]:
    """degs, up, down per row of (n_perturbations, n_genes) tables."""
    significant = (fdr < np.float32(fdr_below)) & (np.abs(lfc) >= min_abs_lfc)
    up = (significant & (lfc > 0)).sum(axis=1)
    down = (significant & (lfc < 0)).sum(axis=1)
    return {"degs": significant.sum(axis=1), "up": up, "down": down}
