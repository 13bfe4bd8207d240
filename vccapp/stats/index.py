"""The index of a dataset: every figure of the statistics pages, read from small files in milliseconds.

`vccapp.stats.building.build` writes it; this module reads it and imports nothing heavy, so pages may use it.
"""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pandas as pd

from vccapp.data.schema import CONTROL, positions_of
from vccapp.data.significance import FDR
from vccapp.errors import DataError, SpecError
from vccapp.records import Format, read_record, undamaged

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

    from vccapp.stats.store import GeneStore

INDEX = Format("index", fix="delete the index folder and build it again (vccapp data index PATH)")
"""Of index.json and of all arrays and tables beside it."""
META = (
    *("vccapp", "fingerprint", "n_cells", "n_genes", "value_space", "control_label", "target_sum"),
    *("n_cells_without_umis", "seed", "seconds"),
)
"""What index.json says."""


class Pseudobulks(Protocol):
    """What models and metrics read of an index that know perturbations by their means: no single cell."""

    @property
    def labels(self) -> list[str]: ...
    @property
    def genes(self) -> pd.DataFrame: ...
    @property
    def perturbations(self) -> pd.DataFrame: ...
    @property
    def control_mean(self) -> np.ndarray: ...
    def array(self, name: str) -> np.ndarray: ...
    def rows(self, labels: Sequence[str]) -> list[int]: ...
    def means(self, labels: Sequence[str]) -> np.ndarray: ...
    def mean(self, label: str) -> np.ndarray: ...
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

    @cached_property
    def _row(self) -> dict[str, int]:
        return positions_of(self.labels)

    @cached_property
    def _store(self) -> "GeneStore":
        from vccapp.stats.store import GeneStore

        return GeneStore(self.folder / "store")

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
        return self.mean(CONTROL)

    def deltas(self, labels: Sequence[str]) -> np.ndarray:
        """(n, n_genes) float32 pseudobulk minus the controls', log1p units."""
        return self.means(labels) - self.control_mean

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
        return pd.DataFrame({"perturbation": self.labels, **counts}).iloc[1:].reset_index(drop=True)

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
        return values if self.meta["value_space"] == "log1p" else log_values(values, self.array("scaling"))

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
        return values if self.meta["value_space"] == "log1p" else log_values(values, self.array("scaling")[cells])

    def normalise(self, block: "csr_matrix") -> "csr_matrix":
        """Whole cells as stored ((n, n_genes) csr) as log1p values, float32, at this index's target sum."""
        from vccapp.stats.normalise import compute_scaling, log_rows

        if self.meta["value_space"] == "log1p":
            return block
        return log_rows(block, compute_scaling(np.asarray(block.sum(axis=1)).ravel(), self.meta["target_sum"]))


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
