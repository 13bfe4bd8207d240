"""Cells predicted by another tool, as a model: its deltas are theirs, its cells are they.

Made by `vccapp.training.import_prediction`, never trained; see `vccapp.models.parts.stored_cells`.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from pydantic import Field

from vccapp.data.reading.predicted import Predicted, open_predicted
from vccapp.data.schema import Columns, control_of, target_of
from vccapp.data.splits.split import Split
from vccapp.data.stores.access import Access
from vccapp.errors import DataError
from vccapp.models.base import MODELS, Fitting, ModelSpec
from vccapp.models.parts.stored_cells import CellsOfLabels, StoredCells
from vccapp.models.saving import ModelState
from vccapp.stats.index import Index
from vccapp.stats.knowledge import Knowledge
from vccapp.stats.normalise import compute_scaling, log_rows
from vccapp.stats.per_context import PerContext


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
class Imported(StoredCells):
    name = "imported"
    label = "Imported"
    description = "Cells predicted by another tool, imported from a file."
    Spec = ImportedSpec
    trainable = False

    spec: ImportedSpec
    notes: tuple[str, ...]

    @property
    def source(self) -> str:
        return f"The imported file {Path(self.spec.file).name}"

    def sources(self, index: Index, split: Split) -> list[Knowledge]:
        return [Knowledge(source=self.source)]

    def learn(self, index: Index, split: Split, fitting: Fitting) -> None:
        """Read the file once."""
        predicted = open_for(self.spec, index, fitting.access)
        self.notes = predicted.notes
        labels = predicted.labels.categories.tolist()
        own = PerContext(self.control_means.contexts, np.array(index.meta["target_sums"])[:, None])
        self.keep_cells(_iter_cells(predicted, own.of(labels)[:, 0], fitting), labels, predicted.present, fitting)

    def state(self) -> ModelState:
        return super().state() | ModelState({}, {"notes": self.notes})

    def restore(self, state: ModelState) -> None:
        super().restore(state)
        self.notes = tuple(state.meta["notes"])

    def control_of_file(self, perturbation: str) -> np.ndarray | None:
        """(n_genes,) mean of the file's own control cells, of the context; None where it has none."""
        control = control_of(perturbation)
        return self.means[self.labels.index(control)] if control in self.labels else None


def _iter_cells(predicted: Predicted, depth: np.ndarray, fitting: Fitting) -> Iterator[CellsOfLabels]:
    """The cells of the file in log1p. depth : of each label, to which counts are normalised"""
    for start, block in predicted.iter_cells():
        codes = predicted.labels.codes[start : start + block.shape[0]].astype(np.int64)
        scaling = np.zeros(len(codes), np.float32)
        if predicted.space == "counts":
            totals = np.asarray(block.sum(axis=1, dtype=np.float64)).ravel()
            scaling = compute_scaling(totals, depth[codes])
            block = log_rows(block, scaling)
        yield block, codes, scaling
        fitting.progress((start + len(codes)) / predicted.n_cells, f"Reading {predicted.path.name}")
