"""Cells predicted by another tool, as a model: its deltas are theirs, its cells are they.

Made by `vccapp.training.import_prediction`, never trained. Genes that the file lacks have no delta; in cells they have
the values of the control cells given. Beside what every model saves: cells.h5ad (log1p, the data's genes, in the file's
order).
"""

import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from pydantic import Field
from scipy.sparse import csr_matrix

from vccapp.data.atomic import scratch_folder
from vccapp.data.h5ad import CsrWriter
from vccapp.data.reading.matrix import open_rows
from vccapp.data.reading.predicted import Predicted, open_predicted
from vccapp.data.resources import VALUE_BYTES, require_disk
from vccapp.data.schema import CONTROL, Columns, control_of, is_control, target_of
from vccapp.data.splits.split import Split
from vccapp.data.stores.access import Access
from vccapp.errors import DataError, SpecError
from vccapp.models.base import MODELS, Fitting, Model, ModelSpec
from vccapp.models.saving import ModelState
from vccapp.stats.index import Index
from vccapp.stats.normalise import compute_scaling, log_rows
from vccapp.stats.per_context import PerContext

CELLS = "cells.h5ad"


class ImportedSpec(ModelSpec):
    file: str = Field(title="File of predicted cells", description="An h5ad file with predicted cells.")
    perturbation: str | None = Field(
        None, title="Perturbation column", description="obs column of perturbations; detected if empty."
    )
    control: str | None = Field(None, title="Control label", description="Label of control cells; detected if empty.")
    matrix: str | None = Field(
        None, title="Matrix", description="Matrix with the prediction: X, layers/NAME or obsm/NAME."
    )
    context: str | None = Field(
        None,
        title="Context",
        description="Context of all cells, where the data have several; detected if empty.",
    )


def open_for(spec: ImportedSpec, index: Index, access: Access) -> Predicted:
    """The file, held against the data. Raises DataError when it cannot be used."""
    predicted = open_predicted(
        spec.file,
        genes=index.genes["gene"].tolist(),
        known=list(dict.fromkeys(map(target_of, index.labels))),
        columns=Columns(perturbation=spec.perturbation, control=spec.control),
        matrix=spec.matrix,
        contexts=index.contexts,
        context=spec.context,
        access=access,
    )
    if predicted.space == "counts" and index.meta["value_space"] != "counts":
        raise DataError(
            "needs_log1p",
            f"{predicted.path.name}: it holds counts, but the dataset holds log1p values of unknown scale",
            fix="store log1p values on the dataset's scale",
        )
    return predicted


@MODELS.register("imported")
class Imported(Model):
    name = "imported"
    label = "Imported"
    description = "Cells predicted by another tool, imported from a file."
    Spec = ImportedSpec
    trainable = False
    may_be_baseline = False

    spec: ImportedSpec
    labels: list[str]  # perturbations of the file, the control too where it has one
    means: np.ndarray  # (labels, n_genes) float32, mean log1p; missing genes at the control mean
    rows_of: dict[str, np.ndarray]  # by label, rows in cells.h5ad
    scaling: np.ndarray  # (n_cells,) float32 counts that one unit of expm1 is worth; 0 where log1p values were given
    present: np.ndarray  # (n_genes,) bool
    notes: tuple[str, ...]

    def learn(self, index: Index, split: Split, fitting: Fitting) -> None:
        """Read the file once: pseudobulks, and its cells to a temporary file that `write_files` moves."""
        predicted = open_for(self.spec, index, fitting.access)
        self._scratch = scratch_folder(fitting.folder)
        self._cells = Path(self._scratch.name) / CELLS
        self.labels, codes = predicted.labels.categories.tolist(), predicted.labels.codes
        own = PerContext(self.control_means.contexts, np.array(index.meta["target_sums"])[:, None])
        depth = own.of(self.labels)[:, 0]
        self.present, self.notes = predicted.present, predicted.notes
        self.scaling = np.zeros(predicted.n_cells, np.float32)
        sums = np.zeros((len(self.labels), predicted.n_genes))
        n_values = 0
        with CsrWriter(self._cells, genes=self.genes.tolist(), pert_col="target_gene") as writer:
            for start, block in predicted.iter_cells():
                rows = slice(start, start + block.shape[0])
                if predicted.space == "counts":
                    totals = np.asarray(block.sum(axis=1, dtype=np.float64)).ravel()
                    self.scaling[rows] = compute_scaling(totals, depth[codes[rows]])
                    block = log_rows(block, self.scaling[rows])
                n_values += block.nnz
                require_disk(
                    Path(self._scratch.name),
                    VALUE_BYTES * (n_values + block.nnz),
                    purpose=f"The rest of the cells of {predicted.path.name}",
                    fix="free some space, or set VCCAPP_CHECKPOINTS to a larger disk",
                )
                _add_sums(sums, block, codes[rows])
                writer.append(block, CONTROL)
                done = (start + block.shape[0]) / predicted.n_cells
                fitting.progress(done, f"Reading {predicted.path.name}")
        self.means = (sums / np.bincount(codes, minlength=len(self.labels))[:, None]).astype(np.float32)
        self.means[:, ~self.present] = self.control_means.of(self.labels)[:, ~self.present]
        self._set_rows(codes)

    def predict_deltas(self, perturbations: list[str]) -> np.ndarray:
        self._check(perturbations)
        control = self.control_means.of(perturbations)
        means = control.copy()  # of the controls, where the file has none
        here = [i for i, label in enumerate(perturbations) if label in self.labels]
        means[here] = self.means[[self.labels.index(perturbations[i]) for i in here]]
        return means - control

    @property
    def makes_cells(self) -> bool:
        return True

    def available_cells(self, perturbation: str) -> int:
        return len(self.rows_of.get(perturbation, ()))

    def cells(self, perturbation: str, controls: csr_matrix) -> csr_matrix:
        """The file's first cells of the perturbation, as many as controls are given; from the start again after all."""
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
        return ModelState(arrays, {"labels": self.labels, "notes": self.notes})

    def restore(self, state: ModelState) -> None:
        self.means, self.scaling, self.present = (state.arrays[name] for name in ("means", "scaling", "present"))
        self.labels, self.notes = state.meta["labels"], tuple(state.meta["notes"])
        self._set_rows(state.arrays["codes"])

    def write_files(self, folder: Path) -> None:
        shutil.copyfile(self._cells, folder / CELLS)

    def read_files(self, folder: Path) -> None:
        self._cells = folder / CELLS

    def control_of_file(self, perturbation: str) -> np.ndarray | None:
        """(n_genes,) mean of the file's own control cells, of the context; None where it has none."""
        control = control_of(perturbation)
        return self.means[self.labels.index(control)] if control in self.labels else None

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
                f"The imported file {Path(self.spec.file).name} has no cells of {', '.join(unknown[:5])}",
                fix="choose perturbations that it contains, or import a file that has them",
            )


def _add_sums(sums: np.ndarray, block: csr_matrix, codes: np.ndarray) -> None:
    """Add the rows of `block` to the rows `codes` of `sums`."""
    found, at = np.unique(codes, return_inverse=True)
    groups = csr_matrix((np.ones(len(at)), (at, np.arange(len(at)))), shape=(len(found), len(at)))
    sums[found] += (groups @ block.astype(np.float64)).toarray()
