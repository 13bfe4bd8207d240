"""An ST network that arc-state trained, as a model of these data, which give it controls.

`vccapp model convert RUN OUT` makes the folder it reads. Deltas are means over its predicted cells less the mean of the
controls that they started from; genes that it does not predict follow from those that it does (`FullGenes`). On the
same control cells in the same sets `transform` gives what `state tx infer` gives.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from pydantic import Field

from vccapp.data.schema import CONTROL, positions_of
from vccapp.data.split import Split
from vccapp.errors import DataError, SpecError
from vccapp.models.base import MODELS, Fitting
from vccapp.models.parts.label_rows import TableRows
from vccapp.models.parts.set_transformer import N_CONTROLS, SetSpec, SetTransformer
from vccapp.models.saving import ModelState
from vccapp.neural.fitting.full_genes import FullGenes
from vccapp.stats.index import Index

MIN_SHARE = 0.5
"""Of the network's genes, below which the data are too different to run it."""
EXPRESSION = ("X_hvg", None)
"""Inputs of the original that are expression values."""


@MODELS.register("state_checkpoint")
class StateCheckpoint(SetTransformer):
    name = "state_checkpoint"
    label = "STATE, official weights"
    description = "A state transition network that arc-state trained, converted by `vccapp model convert`."

    class Spec(SetSpec):
        folder: str = Field("", description="The folder that `vccapp model convert` wrote.")

    spec: Spec
    rest: FullGenes

    def learn(self, index: Index, split: Split, fitting: Fitting) -> None:
        from vccapp.neural.state.official import open_official

        if not self.spec.folder:
            raise SpecError(
                "checkpoint_missing",
                "The folder of the converted checkpoint is missing",
                fix="make one (vccapp model convert RUN OUT), name it",
            )
        official = open_official(Path(self.spec.folder).expanduser())
        if official.inputs not in EXPRESSION:
            raise SpecError(
                "needs_expression",
                f"The network takes {official.inputs}, cell embeddings that the data lack",
                fix="use one of expression",
            )
        position = positions_of(self.genes.tolist())
        genes = np.array([position.get(gene, -1) for gene in official.genes])
        found = int((genes >= 0).sum())
        if found < MIN_SHARE * len(genes):
            raise SpecError(
                "genes_lacking",
                f"The data have {found:,} of the network's {len(genes):,} genes, too few to run it",
                fix="use a network of these genes",
            )
        fitting.log({"step": 0, "genes_found": found, "genes": len(genes)})
        self.network, self.set_size = official.network, official.set_size
        self.rows = TableRows(official.perturbations, official.rows, control=official.control)
        self.columns = self.predicted = genes
        self.rest = FullGenes.fit(index, split.train, genes[genes >= 0])
        self.controls, batches = read_controls(index, genes, seed=fitting.seed, memory_bytes=fitting.memory_bytes)
        self.control_values = self.controls
        known = positions_of(official.batches)
        self.control_batches = np.array([known.get(name, 0) for name in batches], np.int64)

    def shift(self, perturbations: Sequence[str]) -> None:
        return None

    def complete(self, perturbations: Sequence[str], deltas: np.ndarray) -> np.ndarray:
        return self.rest.complete(deltas[:, self.predicted >= 0])

    def state(self) -> ModelState:
        return super().state() | ModelState.of({"rest": ModelState(self.rest.arrays())})

    def restore(self, state: ModelState) -> None:
        super().restore(state)
        self.rest = FullGenes.restore(state.part("rest").arrays)


def read_controls(
    index: Index, genes: np.ndarray, *, seed: int, memory_bytes: int, n_cells: int = N_CONTROLS
) -> tuple[np.ndarray, list[str]]:
    """Up to `n_cells` control cells, drawn without replacement: (n, genes) float16 log1p, and the batch of each.

    genes : positions among the data's, -1 for zeros
    """
    from vccapp.stats.cells.matrix import open_cell_matrix

    cells = index.cells
    rows = np.flatnonzero((cells["perturbation"] == CONTROL).to_numpy())
    if not len(rows):
        raise DataError(
            "no_controls",
            "The data have no control cells to start from",
            fix="open data that have some",
        )
    rows = np.random.default_rng((seed, 5)).permutation(rows)[:n_cells]
    values = np.zeros((len(rows), len(genes)), np.float16)
    matrix = open_cell_matrix(index, genes[genes >= 0], memory_bytes=memory_bytes // 3)
    values[:, genes >= 0] = matrix.rows(rows)
    return values, cells["batch"].astype(str).iloc[rows].tolist()
