"""What is known about a data file once it is open: the report that pages, CLI and records show.

`Columns` are the choices a user may make, `Schema` what was found. Nothing is guessed without a line in `notes`.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

CONTROL = "non-targeting"
"""The label of control cells inside vccapp, whatever the file calls them."""

ValueSpace = Literal["counts", "log1p", "scaled"]
Layout = Literal["csr", "csc", "dense"]


def genes_of(label: str) -> tuple[str, ...]:
    """The genes of a perturbation: 'A' -> (A,), 'A+B' -> (A, B)."""
    return tuple(label.split("+"))


def positions_of(names: Iterable[str]) -> dict[str, int]:
    """Where each name stands among them: the last place of one that is repeated."""
    return {name: i for i, name in enumerate(names)}


class Columns(BaseModel):
    """The user's own choice of obs columns and control label; None means: find it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    perturbation: str | None = None
    guide: str | None = None
    batch: str | None = None
    control: str | None = None


class Schema(BaseModel):
    """Shape, values, columns and labels of a data file, and how they were told."""

    model_config = ConfigDict(frozen=True)

    path: Path
    format: Literal["h5ad", "zarr"]
    layout: Layout
    n_cells: int
    n_genes: int
    n_values: int | None  # stored values of a sparse X; None where X is dense
    dtype: str
    value_space: ValueSpace
    value_evidence: str
    perturbation_column: str
    guide_column: str | None
    batch_column: str | None
    control_label: str  # as the file writes it
    n_control_cells: int
    n_perturbations: int  # without the control
    gene_id_kind: Literal["symbol", "ensembl", "entrez", "unknown"]
    n_cells_without_umis: int | None  # None: not known before the first pass over X
    notes: tuple[str, ...]
