"""The index of a dataset: every figure of the statistics pages, read from small files in milliseconds.

`vccapp.stats.building.build` writes it; this module reads it and imports nothing heavy, so pages may use it.
"""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pandas as pd

from vccapp.data.schema import context_of, control_of, is_control, positions_of
from vccapp.data.significance import FDR
from vccapp.errors import DataError, SpecError
from vccapp.records import Format, read_record, undamaged
from vccapp.wording import name_some

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


class Pseudobulks(Protocol):
    """What models and metrics read of an index that know perturbations by their means: no single cell."""

    @property
    def labels(self) -> list[str]: ...
    @property
    def controls(self) -> list[str]: ...
    @property
    def perturbed(self) -> list[str]: ...
    @property
    def contexts(self) -> list[str]: ...
    @property
    def genes(self) -> pd.DataFrame: ...
    @property
    def perturbations(self) -> pd.DataFrame: ...
    def array(self, name: str) -> np.ndarray: ...
    def rows(self, labels: Sequence[str]) -> list[int]: ...
    @property
    def control_mean(self) -> np.ndarray: ...
    def control_rows(self, labels: Sequence[str]) -> list[int]: ...
    def means(self, labels: Sequence[str]) -> np.ndarray: ...
    def mean(self, label: str) -> np.ndarray: ...
    def control_means(self, labels: Sequence[str]) -> np.ndarray: ...
    def deltas(self, labels: Sequence[str]) -> np.ndarray: ...
    def delta(self, label: str) -> np.ndarray: ...


class Index:
    """A finished index in `folder`. Arrays are memory-mapped; frames are read when first asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.meta: dict[str, Any] = read_record(folder / "index.json", INDEX, _check_meta)

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

    @property
    def controls(self) -> list[str]:
        """The labels of the controls, one a context."""
        return [label for label in self.labels if is_control(label)]

    @property
    def perturbed(self) -> list[str]:
        """The labels without the controls: in order, they are the last rows of every (n_perturbations, ...) array."""
        return self.labels[len(self.controls) :]

    @property
    def contexts(self) -> list[str]:
        """Names of the contexts; none where the data tell none apart."""
        return [context for label in self.controls if (context := context_of(label))]

    def within(self, context: str | None) -> "Index":
        """The index of one context, as if its cells were all; None: this index. Raises SpecError for an unknown one."""
        return self if context is None else ContextIndex(self, context)

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
            return np.load(path, mmap_mode="r")

    def _table(self, name: str) -> pd.DataFrame:
        path = self.folder / f"{name}.parquet"
        with undamaged(path, fix=INDEX.fix):
            return pd.read_parquet(path)

    def rows(self, labels: Sequence[str]) -> list[int]:
        """Row numbers of perturbations. Raises SpecError naming those that are unknown."""
        unknown = [label for label in labels if label not in self._row]
        if unknown:
            some, missing = ", ".join(self.labels[1:4]), ", ".join(unknown[:5])
            raise SpecError(
                "unknown_perturbation",
                f"The dataset has no perturbation {missing}",
                fix=f"there are {len(self.labels) - 1}, e.g. {some}",
            )
        return [self._row[label] for label in labels]

    def means(self, labels: Sequence[str]) -> np.ndarray:
        """(n, n_genes) float32 pseudobulks: mean log1p over the cells of each perturbation."""
        return self.array("mean")[self.rows(labels)]

    def mean(self, label: str) -> np.ndarray:
        return self.means([label])[0]

    @property
    def control_mean(self) -> np.ndarray:
        """(n_genes,) float32 pseudobulk of the controls. Raises SpecError where each context has its own."""
        if len(self.controls) > 1:
            raise SpecError(
                "several_contexts",
                f"Each of the {len(self.controls)} contexts has its own controls",
                fix=f"choose one of {name_some(self.contexts)}",
            )
        return self.mean(self.controls[0])

    def control_rows(self, labels: Sequence[str]) -> list[int]:
        """Row numbers of the controls of each perturbation's context."""
        return self.rows([control_of(label) for label in labels])

    def control_means(self, labels: Sequence[str]) -> np.ndarray:
        """(n, n_genes) float32 pseudobulk of the controls that each perturbation is compared with; to read only."""
        rows = self.control_rows(labels)
        if len(set(rows)) == 1:
            return np.broadcast_to(self.array("mean")[rows[0]], (len(rows), len(self.genes)))
        return self.array("mean")[rows]

    def deltas(self, labels: Sequence[str]) -> np.ndarray:
        """(n, n_genes) float32 pseudobulk minus that of the controls of its context, log1p units."""
        return self.means(labels) - self.control_means(labels)

    def delta(self, label: str) -> np.ndarray:
        return self.deltas([label])[0]

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


GROUPS = ("perturbation", "guide", "batch")


class ContextIndex(Index):
    """One context of an index. Labels keep the name of the context; cells and genes are those of the context alone."""

    def __init__(self, whole: Index, context: str) -> None:
        super().__init__(whole.folder)
        if context not in whole.contexts:
            found = name_some(whole.contexts) if whole.contexts else "it tells none apart"
            raise SpecError("unknown_context", f"The dataset has no context '{context}'", fix=f"contexts: {found}")
        self.context, self._number = context, whole.contexts.index(context)
        self.meta |= {"target_sums": [self.meta["target_sums"][self._number]], "n_cells": len(self._cells)}

    @cached_property
    def genes(self) -> pd.DataFrame:
        return self._table(f"genes.{self._number}")

    @cached_property
    def perturbations(self) -> pd.DataFrame:
        return self._own("perturbations", "perturbation")

    @cached_property
    def guides(self) -> pd.DataFrame:
        return self._own("guide", "guide")

    @cached_property
    def batches(self) -> pd.DataFrame:
        return self._own("batch", "batch")

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
        if name == "half_mean":
            return array[:, self._rows_of("perturbations", "perturbation")]
        if name in ("guide_mean", "batch_mean"):
            kind = name.removesuffix("_mean")
            return array[self._rows_of(kind, kind)]
        return array[self._rows_of("perturbations", "perturbation")]

    def gene_values(self, gene: str) -> np.ndarray:
        """(cells of the context,) float32 log1p values of one gene."""
        return super().gene_values(gene)[self._cells]

    def cell_values(self, cells: np.ndarray) -> np.ndarray:
        """(n_genes, len(cells)) float32 log1p values of some cells, sorted row numbers of `cells`."""
        return super().cell_values(self._cells[np.asarray(cells)])

    def _rows_of(self, table: str, column: str) -> np.ndarray:
        return np.flatnonzero([context_of(label) == self.context for label in self._table(table)[column]])

    def _own(self, table: str, column: str) -> pd.DataFrame:
        return self._table(table).iloc[self._rows_of(table, column)].reset_index(drop=True)


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
