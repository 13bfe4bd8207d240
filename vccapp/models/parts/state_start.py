"""What an ST training may start from: a fitted `state` model, or a converted checkpoint of arc-state."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vccapp.data.schema import positions_of
from vccapp.errors import SpecError
from vccapp.models.base import load_model
from vccapp.models.parts.label_rows import EmbeddedRows, TableRows
from vccapp.models.parts.set_transformer import SetTransformer

if TYPE_CHECKING:
    from vccapp.neural.state.net import StateNet


@dataclass(frozen=True)
class Start:
    """A network, the genes that it sees and predicts, and what it knows of perturbations."""

    network: "StateNet"
    genes: tuple[str, ...]
    rows: EmbeddedRows | TableRows

    def positions(self, genes: np.ndarray) -> np.ndarray:
        """Of its genes among the data's. Raises SpecError when the data lack some."""
        position = positions_of(genes.tolist())
        lacking = [gene for gene in self.genes if gene not in position]
        if lacking:
            raise SpecError(
                "genes_lacking",
                f"The dataset lacks {len(lacking):,} of the {len(self.genes):,} genes of the network to start "
                f"from, e.g. {lacking[0]}",
                fix="start from a network with these genes",
            )
        return np.array([position[gene] for gene in self.genes])


def open_start(folder: Path) -> Start:
    """Read the folder of a fitted model or a converted checkpoint. Raises SpecError when it is of another kind."""
    if (folder / "official.json").is_file():
        from vccapp.neural.state.official import open_official

        official = open_official(folder)
        rows = TableRows(official.perturbations, official.rows, control=official.control)
        return Start(official.network, official.genes, rows)
    model = load_model(folder)
    if not isinstance(model, SetTransformer) or len(model.columns) != model.network.shape.n_inputs:
        raise SpecError(
            "not_a_network",
            f"{folder} does not hold an ST network to start from",
            fix="use the model folder of a finished `state` run",
        )
    return Start(model.network, tuple(model.genes[model.predicted].tolist()), model.rows)
