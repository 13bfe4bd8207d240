"""Models whose cells were made once and are kept with them: deltas are means of these cells, cells are they.

Genes that the cells lack have no delta; in cells they have the values of the control cells given. Beside what every
model saves: cells.h5ad (log1p, the data's genes, in the order of the cells).
"""

import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from scipy.sparse import csr_matrix

from vccapp.data.atomic import scratch_folder
from vccapp.data.h5ad import CsrWriter
from vccapp.data.reading.matrix import open_rows
from vccapp.data.resources import VALUE_BYTES, require_disk
from vccapp.data.schema import CONTROL, is_control
from vccapp.errors import SpecError
from vccapp.models.base import Fitting, Model
from vccapp.models.saving import ModelState

CELLS = "cells.h5ad"
CellsOfLabels = tuple[csr_matrix, np.ndarray, np.ndarray]
"""log1p cells over the data's genes, the place of each one's label, and what one unit of expm1 is worth in counts."""


class StoredCells(Model):
    """A subclass hands its cells to `keep_cells` when it learns, and says whose they are (`source`)."""

    may_be_baseline = False
    keeps_cells = True

    labels: list[str]  # perturbations of the cells, the control too where they have one
    means: np.ndarray  # (labels, n_genes) float32, mean log1p; missing genes at the control mean
    rows_of: dict[str, np.ndarray]  # by label, rows in cells.h5ad
    scaling: np.ndarray  # (n_cells,) float32 counts that one unit of expm1 is worth; 0 where log1p values were given
    present: np.ndarray  # (n_genes,) bool

    @property
    def source(self) -> str:
        """What the cells were taken from, the begin of a sentence."""
        return self.label

    def keep_cells(
        self, blocks: Iterable[CellsOfLabels], labels: list[str], present: np.ndarray, fitting: Fitting
    ) -> None:
        """Write the cells to a temporary file that `write_files` copies, and learn their means."""
        self._scratch = scratch_folder(fitting.folder)
        self._cells = Path(self._scratch.name) / CELLS
        self.labels, self.present = labels, present
        sums = np.zeros((len(labels), len(self.genes)))
        codes, scaling = np.zeros(0, np.int64), np.zeros(0, np.float32)
        n_values = 0
        with CsrWriter(self._cells, genes=self.genes.tolist(), pert_col="target_gene") as writer:
            for block, own, depth in blocks:
                n_values += block.nnz
                require_disk(
                    Path(self._scratch.name),
                    VALUE_BYTES * (n_values + block.nnz),
                    purpose=f"The rest of the cells of {self.source}",
                    fix="free some space, or set VCCAPP_CHECKPOINTS to a larger disk",
                )
                _add_sums(sums, block, own)
                writer.append(block, CONTROL)
                codes = np.concatenate([codes, own])
                scaling = np.concatenate([scaling, depth.astype(np.float32, copy=False)])
        self.scaling = scaling
        self.means = (sums / np.bincount(codes, minlength=len(labels))[:, None]).astype(np.float32)
        self.means[:, ~present] = self.control_means.of(labels)[:, ~present]
        self._set_rows(codes)

    def predict_deltas(self, perturbations: list[str]) -> np.ndarray:
        self._check(perturbations)
        control = self.control_means.of(perturbations)
        means = control.copy()  # of the controls, where there are none
        here = [i for i, label in enumerate(perturbations) if label in self.labels]
        means[here] = self.means[[self.labels.index(perturbations[i]) for i in here]]
        return means - control

    @property
    def makes_cells(self) -> bool:
        return True

    def available_cells(self, perturbation: str) -> int:
        return len(self.rows_of.get(perturbation, ()))

    def cells(self, perturbation: str, controls: csr_matrix) -> csr_matrix:
        """The first cells of the perturbation, as many as controls are given; from the start again after all."""
        [(block, _)] = self.cell_blocks(perturbation, [(controls, np.zeros(controls.shape[0], np.float32))])
        return block

    def cell_blocks(
        self, perturbation: str, controls: Iterable[tuple[csr_matrix, np.ndarray]]
    ) -> Iterator[tuple[csr_matrix, np.ndarray]]:
        self._check([perturbation])
        own, source, taken = self.rows_of[perturbation], open_rows(self._cells), 0
        for block, depth in controls:
            rows = own[(taken + np.arange(block.shape[0])) % len(own)]
            taken += block.shape[0]
            scaling = np.where(self.scaling[rows] > 0, self.scaling[rows], depth).astype(np.float32)
            yield self._fill(source.read_rows(rows), block), scaling

    def state(self) -> ModelState:
        codes = np.zeros(len(self.scaling), np.int32)
        for i, label in enumerate(self.labels):
            codes[self.rows_of[label]] = i
        arrays = {"means": self.means, "scaling": self.scaling, "present": self.present, "codes": codes}
        return ModelState(arrays, {"labels": self.labels})

    def restore(self, state: ModelState) -> None:
        self.means, self.scaling, self.present = (state.arrays[name] for name in ("means", "scaling", "present"))
        self.labels = state.meta["labels"]
        self._set_rows(state.arrays["codes"])

    def write_files(self, folder: Path) -> None:
        shutil.copyfile(self._cells, folder / CELLS)

    def read_files(self, folder: Path) -> None:
        self._cells = folder / CELLS

    def _set_rows(self, codes: np.ndarray) -> None:
        self.rows_of = {label: np.flatnonzero(codes == i) for i, label in enumerate(self.labels)}

    def _fill(self, own: csr_matrix, controls: csr_matrix) -> csr_matrix:
        """`own` with the missing genes of `controls`."""
        if self.present.all():
            return own
        missing = ~self.present[controls.indices]
        ends = np.concatenate([[0], np.cumsum(missing)])[controls.indptr]
        parts = (controls.data[missing], controls.indices[missing], ends)
        return (own + csr_matrix(parts, shape=controls.shape)).tocsr()

    def _check(self, perturbations: Iterable[str]) -> None:
        unknown = [label for label in perturbations if not is_control(label) and label not in self.labels]
        if unknown:
            raise SpecError(
                "perturbation_not_imported",
                f"{self.source} has no cells of {', '.join(unknown[:5])}",
                fix="choose perturbations that it has",
            )


def _add_sums(sums: np.ndarray, block: csr_matrix, codes: np.ndarray) -> None:
    """Add the rows of `block` to the rows `codes` of `sums`."""
    found, at = np.unique(codes, return_inverse=True)
    groups = csr_matrix((np.ones(len(at)), (at, np.arange(len(at)))), shape=(len(found), len(at)))
    sums[found] += (groups @ block.astype(np.float64)).toarray()
