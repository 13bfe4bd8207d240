"""What the ST models share once they are fitted: a network over sets of control cells, and some controls to start from.

A fitted model holds a sample of the data's controls, so it predicts deltas without the data; `cells` starts from the
controls that it is given.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import pandas as pd
from pydantic import Field
from scipy.sparse import csr_matrix

from vccapp.models.base import ModelSpec
from vccapp.models.parts.features import MISSING_LABELS
from vccapp.models.parts.label_rows import EmbeddedRows, TableRows, restore_rows
from vccapp.models.parts.residual_network import ResidualNetwork
from vccapp.models.saving import ModelState

if TYPE_CHECKING:
    from vccapp.neural.state.net import StateNet

N_CONTROLS = 512
"""Control cells kept with a model: its deltas are means over so many."""
VALUES_AT_ONCE = 2**24
"""Predicted values in memory at a time: 64 MB."""
MAX_VALUE = 14.0
"""The original clips its cells to 0 .. 14."""


class SetSpec(ModelSpec):
    """The choices of how a fitted model predicts."""

    value_labels: ClassVar[Mapping[str, Mapping[Any, str]]] = {
        "missing": MISSING_LABELS,
        "cells": {"anchored": "Real controls, scaled", "network": "The network's own"},
    }

    missing: Literal["mean", "error"] = Field(
        "mean",
        title="Genes without a vector",
        description="Perturbations without features: mean uses an average gene, error stops.",
    )
    cells: Literal["anchored", "network"] = Field(
        "anchored",
        title="Submitted cells",
        description="How submitted cells are made: anchored scales real control cells to the predicted means; network "
        "uses the network's own values (0 to 14) for the genes that it models.",
    )


class SetTransformer(ResidualNetwork):
    """Predicts sets of cells from sets of control cells. Subclasses learn, and say what the network is added to."""

    Spec = SetSpec
    spec: SetSpec
    network: "StateNet"
    rows: EmbeddedRows | TableRows
    set_size: int
    columns: np.ndarray  # (n_inputs,) positions of the network's genes among the data's, -1 for those they lack
    predicted: np.ndarray  # (n_predicted,) likewise, of the genes that it predicts
    control_values: np.ndarray  # (the same, n_predicted) float16 log1p; `controls` where the inputs are these genes
    control_batches: np.ndarray  # of each, its position in the network's list of batches; int64

    def make_network(self, state: ModelState) -> "StateNet":
        from vccapp.neural.state.net import StateNet
        from vccapp.neural.state.shape import StateShape

        return StateNet(StateShape(**state.meta["shape"]))

    def predict_deltas(self, perturbations: list[str]) -> np.ndarray:
        return self.complete(perturbations, self.network_deltas(perturbations))

    def complete(self, perturbations: Sequence[str], deltas: np.ndarray) -> np.ndarray:
        """(n, n_genes) from deltas (n, n_predicted)."""
        shift = self.predict_baseline(perturbations)
        return self.other_genes.complete(deltas[:, self.predicted >= 0], shift=shift)

    def network_deltas(
        self, perturbations: Sequence[str], *, network: "StateNet | None" = None, n_controls: int = N_CONTROLS
    ) -> np.ndarray:
        """(n, n_predicted) float32: means over cells predicted from the model's own controls, less those controls'.

        network : another one than the model's own, while it is trained
        """
        network = self.network if network is None else network
        deltas = np.empty((len(perturbations), len(self.predicted)), np.float32)
        for own, kept in self.by_context(perturbations, n_controls):
            sums = np.zeros((len(own), len(self.predicted)), np.float32)
            for places in split_sets(len(kept), self.set_size):
                rows = kept[places]
                at_once = max(1, VALUES_AT_ONCE // (len(rows) * len(self.predicted)))
                for first in range(0, len(own), at_once):
                    labels = [perturbations[i] for i in own[first : first + at_once]]
                    values = self.control_values[rows]
                    batches = self.control_batches[rows]
                    cells = self._forward(network, self.controls[rows], labels, batches, values=values)
                    sums[first : first + at_once] += cells.sum(axis=1)
            deltas[own] = sums / len(kept) - self.control_values[kept].astype(np.float32).mean(axis=0)
        return deltas

    def transform(self, controls: np.ndarray, perturbation: str, *, batches: np.ndarray | None = None) -> np.ndarray:
        """Predicted cells (n, n_predicted) float32 of control cells (n, n_inputs), in sets of consecutive cells.

        Only for networks whose inputs are the genes that they predict.
        batches : (n,) positions in the network's list of batches; the first for all where not given
        """
        batches = np.zeros(len(controls), np.int64) if batches is None else batches
        sets = split_sets(len(controls), self.set_size)
        parts = [
            self._forward(self.network, controls[rows], [perturbation], batches[rows], values=controls[rows])
            for rows in sets
        ]
        return np.concatenate([cells[0] for cells in parts])

    def _forward(
        self,
        network: "StateNet",
        controls: np.ndarray,
        perturbations: Sequence[str],
        batches: np.ndarray,
        *,
        values: np.ndarray,
    ) -> np.ndarray:
        """(perturbations, cells, n_predicted) float32 from one set of controls (cells, n_inputs) for all of them."""
        import torch

        device = next(network.parameters()).device
        features = self.rows.of(perturbations, missing=self.spec.missing)
        shift = self.predict_baseline(perturbations)
        n = len(perturbations)
        with torch.inference_mode():
            cells = network(
                torch.from_numpy(controls.astype(np.float32)).to(device).expand(n, -1, -1),
                torch.from_numpy(features).to(device),
                torch.from_numpy(batches).to(device).expand(n, -1),
                shift=None if shift is None else torch.from_numpy(shift[:, self.modelled]).to(device),
                values=torch.from_numpy(values.astype(np.float32)).to(device),
            )
            return (cells if network.decoder is None else network.decoder(cells)).cpu().numpy()

    def cells(self, perturbation: str, controls: csr_matrix) -> csr_matrix:
        """As the base class; or the network's own cells, and only the genes that it does not predict as there."""
        anchored = super().cells(perturbation, controls)
        if self.spec.cells == "anchored":
            return anchored
        inputs = np.zeros((controls.shape[0], len(self.columns)), np.float32)
        inputs[:, self.columns >= 0] = controls[:, self.columns[self.columns >= 0]].toarray()
        own = self.predicted >= 0
        values = csr_matrix(np.clip(self.transform(inputs, perturbation)[:, own], 0, MAX_VALUE))
        others = np.ones(len(self.genes), np.float32)
        others[self.predicted[own]] = 0
        placed = csr_matrix((values.data, self.predicted[own][values.indices], values.indptr), shape=anchored.shape)
        cells = (anchored.multiply(others) + placed).tocsr()
        cells.eliminate_zeros()
        cells.sort_indices()
        return cells.astype(np.float32)

    @property
    def makes_cells(self) -> bool:
        return self.spec.cells == "network"

    def coverage(self, perturbations: Sequence[str]) -> pd.DataFrame:
        """As the base class; n_known counts the targets that the network has features of."""
        return super().coverage(perturbations).assign(n_known=self.rows.count_known(list(perturbations)))

    def state(self) -> ModelState:
        names = ["columns", "predicted", "control_batches"]
        names += [] if self.control_values is self.controls else ["control_values"]
        meta = {"shape": asdict(self.network.shape), "set_size": self.set_size}
        own = ModelState({name: getattr(self, name) for name in names}, meta)
        return super().state() | own | ModelState.of({"rows": self.rows.state()})

    def restore(self, state: ModelState) -> None:
        self.rows, self.set_size = restore_rows(state.part("rows")), state.meta["set_size"]
        super().restore(state)
        for name in ("columns", "predicted", "control_batches"):
            setattr(self, name, state.arrays[name])
        self.control_values = state.arrays.get("control_values", self.controls)


def split_sets(n_cells: int, set_size: int) -> Iterator[np.ndarray]:
    """Row numbers of each set of consecutive cells; the last may be smaller."""
    for first in range(0, n_cells, set_size):
        yield np.arange(first, min(first + set_size, n_cells))
