"""What is known about a data file once it is open: the report that pages, CLI and records show.

`Columns` are the choices a user may make, `Schema` what was found. Nothing is guessed without a line in `notes`.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

CONTROL = "non-targeting"
"""The label of control cells inside vccapp, whatever the file calls them."""
AT = "@"
"""Between target and context in the labels of data with several contexts: 'KLF1@K562', 'non-targeting@K562'."""
ALL = "all"
"""The one context, batch or guide of data that tell none apart."""
IGNORED = "none"
"""As the context column: take no context, although one was found."""

ValueSpace = Literal["counts", "log1p", "scaled"]
Layout = Literal["csr", "csc", "dense"]


def target_of(label: str) -> str:
    """What is perturbed: 'A+B@K562' -> 'A+B'."""
    return label.partition(AT)[0]


def context_of(label: str) -> str | None:
    """In which context: 'A@K562' -> 'K562'; None in data without contexts."""
    return label.partition(AT)[2] or None


def label_in(target: str, context: str | None) -> str:
    """The label of a target in a context: ('A', 'K562') -> 'A@K562', ('A', None) -> 'A'."""
    return target if context is None else f"{target}{AT}{context}"


def control_of(label: str) -> str:
    """The label of the controls that a perturbation is compared with, those of its own context."""
    return label_in(CONTROL, context_of(label))


def is_control(label: str) -> bool:
    return target_of(label) == CONTROL


def genes_of(label: str) -> tuple[str, ...]:
    """The genes of a perturbation: 'A' -> (A,), 'A+B' -> (A, B), 'A@K562' -> (A,)."""
    return tuple(target_of(label).split("+"))


def positions_of(names: Iterable[str]) -> dict[str, int]:
    """Where each name stands among them: the last place of one that is repeated."""
    return {name: i for i, name in enumerate(names)}


class Columns(BaseModel):
    """The user's own choice of obs columns and control label; None means: find it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    perturbation: str | None = None
    guide: str | None = None
    batch: str | None = None
    context: str | None = None  # IGNORED: none, although one was found
    control: str | None = None


class Context(BaseModel):
    """A context of the data: a value of the covariate on which controls must match."""

    model_config = ConfigDict(frozen=True)

    name: str
    n_cells: int
    n_control_cells: int
    n_perturbations: int


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
    context_column: str | None = None
    context_ignored: str | None = None  # what was found to be a context and the user does not want
    contexts: tuple[Context, ...] = ()  # none where the data have one context
    control_label: str  # as the file writes it
    n_control_cells: int
    n_perturbations: int  # without the control
    gene_id_kind: Literal["symbol", "ensembl", "entrez", "unknown"]
    n_cells_without_umis: int | None  # None: not known before the first pass over X
    notes: tuple[str, ...]
