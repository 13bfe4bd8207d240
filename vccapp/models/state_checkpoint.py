"""An ST network that arc-state trained, as a model of these data, which give it controls.

`vccapp model convert RUN OUT` makes the folder it reads. Deltas are means over its predicted cells less the mean of the
controls that they started from; genes that it does not predict follow from those that it does (`FullGenes`). On the
same control cells in the same sets `transform` gives what `state tx infer` gives.
"""

from collections.abc import Callable

import numpy as np
from pydantic import Field

from vccapp.data.paths import user_path
from vccapp.data.schema import positions_of, target_of
from vccapp.data.splits.split import Split
from vccapp.errors import SpecError
from vccapp.models.base import MODELS, Fitting, Model
from vccapp.models.parts.label_rows import TableRows
from vccapp.models.parts.residual_network import Work
from vccapp.models.parts.set_transformer import N_CONTROLS, SetSpec, SetTransformer
from vccapp.neural.fitting.sampler import read_cells
from vccapp.neural.state.shape import CONVERTED
from vccapp.records import read_record
from vccapp.stats.index import Index
from vccapp.stats.knowledge import Knowledge

MIN_SHARE = 0.5
"""Of the network's genes, below which the data are too different to run it."""
EXPRESSION = ("X_hvg", None)
"""Inputs of the original that are expression values."""


@MODELS.register("state_checkpoint")
class StateCheckpoint(SetTransformer):
    name = "state_checkpoint"
    label = "STATE, official weights"
    description = "A state transition network trained by arc-state and converted by `vccapp model convert`."
    purpose = "For a network that arc-state trained elsewhere."
    use = "Network"
    order = 52

    class Spec(SetSpec):
        offers = {"folder": "checkpoint"}

        folder: str = Field("", title="Checkpoint folder", description="The folder that `vccapp model convert` wrote.")

    paths = {"folder": ""}
    spec: Spec

    def sources(self, index: Index, split: Split) -> list[Knowledge]:
        return [Knowledge(source=f"The converted network {self.spec.folder}")]

    def check_inputs(self, index: Index, split: Split, *, device: str) -> None:
        super().check_inputs(index, split, device=device)
        if not self.spec.folder:
            raise SpecError(
                "checkpoint_missing",
                "The folder of the converted checkpoint is missing",
                fix="create one with `vccapp model convert RUN OUT` and give its path",
            )
        folder = user_path(self.spec.folder)
        inputs, genes = read_record(
            folder / "official.json", CONVERTED, lambda saved: (saved["inputs"], tuple(saved["genes"]))
        )
        if inputs not in EXPRESSION:
            raise SpecError(
                "needs_expression",
                f"The network takes {inputs}, a cell embedding that the dataset lacks",
                fix="use a network of gene expression",
            )
        known = set(self.genes.tolist())
        found = sum(gene in known for gene in genes)
        if found < MIN_SHARE * len(genes):
            raise SpecError(
                "genes_lacking",
                f"The dataset has {found:,} of the network's {len(genes):,} genes, which is too few to run it",
                fix="use a network trained on these genes",
            )

    def learn(self, index: Index, split: Split, fitting: Fitting) -> None:
        from vccapp.neural.state.official import open_official

        self.check_inputs(index, split, device=fitting.device)
        official = open_official(user_path(self.spec.folder))
        position = positions_of(self.genes.tolist())
        genes = np.array([position.get(gene, -1) for gene in official.genes])
        found = int((genes >= 0).sum())
        fitting.log({"step": 0, "genes_found": found, "genes": len(genes)})
        self.network, self.set_size = official.network, official.set_size
        self.rows = TableRows(official.perturbations, official.rows, control=official.control)
        self.columns = self.predicted = genes
        self.baseline = None
        matrix = self.open_cells(index, split, genes[genes >= 0], fitting)
        rows = self.draw_controls(read_cells(index, split.train), N_CONTROLS, seed=fitting.seed)
        self.controls = np.zeros((len(rows), len(genes)), np.float16)
        self.controls[:, genes >= 0] = matrix.rows(rows)
        self.control_values = self.controls
        known = positions_of(official.batches)
        batches = index.cells["batch"].astype(str).iloc[rows]
        self.control_batches = np.array([known.get(target_of(name), 0) for name in batches], np.int64)

    def baseline_maker(self) -> Callable[[], Model] | None:
        return None

    def count_work(self, index: Index, split: Split) -> Work:
        return Work(
            n_genes=len(index.genes), weights=0, operations=0.0, step_bytes=0, precision="float32", text="no training"
        )
