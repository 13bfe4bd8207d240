"""What an ST training may start from: a fitted `state` model, or a converted checkpoint of arc-state."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vccapp.data.schema import positions_of
from vccapp.errors import SpecError
from vccapp.models.base import MODELS, load_model
from vccapp.models.parts.label_rows import EmbeddedRows, TableRows
from vccapp.models.parts.set_transformer import SetTransformer
from vccapp.models.saving import MODEL, RECORD, read_seen
from vccapp.neural.state.shape import CONVERTED
from vccapp.records import read_record
from vccapp.stats.knowledge import Knowledge

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
        need_genes(self.genes, genes)
        position = positions_of(genes.tolist())
        return np.array([position[gene] for gene in self.genes])


def need_genes(wanted: Sequence[str], genes: np.ndarray) -> None:
    """Raises SpecError where some of a network's genes are not among the data's."""
    known = set(genes.tolist())
    lacking = [gene for gene in wanted if gene not in known]
    if lacking:
        raise SpecError(
            "genes_lacking",
            f"The dataset lacks {len(lacking):,} of the {len(wanted):,} genes of the network to start "
            f"from, e.g. {lacking[0]}",
            fix="start from a network with these genes",
        )


def check_start(folder: Path, genes: np.ndarray) -> None:
    """Raise what `open_start` would of a folder's record, without its weights: it is missing, or of other genes."""
    if (folder / "official.json").is_file():
        need_genes(read_record(folder / "official.json", CONVERTED, lambda saved: tuple(saved["genes"])), genes)
        return
    name = read_record(folder / RECORD, MODEL, lambda saved: str(saved["name"]))
    if name in MODELS and not issubclass(MODELS[name], SetTransformer):
        raise _not_a_network(folder)


def start_sources(folder: Path) -> list[Knowledge]:
    """What a network to start from has seen. Raises DataError where its record cannot be read."""
    if (folder / "official.json").is_file():
        return [Knowledge(source=f"The converted network {folder}")]
    return [known.model_copy(update={"source": f"{known.source} in {folder}"}) for known in read_seen(folder)]


def open_start(folder: Path) -> Start:
    """Read the folder of a fitted model or a converted checkpoint. Raises SpecError when it is of another kind."""
    if (folder / "official.json").is_file():
        from vccapp.neural.state.official import open_official

        official = open_official(folder)
        rows = TableRows(official.perturbations, official.rows, control=official.control)
        return Start(official.network, official.genes, rows)
    model = load_model(folder)
    if not isinstance(model, SetTransformer) or len(model.columns) != model.network.shape.n_inputs:
        raise _not_a_network(folder)
    return Start(model.network, tuple(model.genes[model.predicted].tolist()), model.rows)


def _not_a_network(folder: Path) -> SpecError:
    return SpecError(
        "not_a_network",
        f"{folder} does not hold an ST network to start from",
        fix="use the model folder of a finished `state` run",
    )
