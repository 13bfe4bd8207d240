"""What is known about a data file once it is open: the report that pages, CLI and records show.

`Columns` are the choices a user may make, `Schema` what was found. Nothing is guessed without a line in `notes`.
"""

from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, field_validator

from vccapp.errors import SpecError
from vccapp.wording import name_some

CONTROL = "non-targeting"
"""The label of control cells inside vccapp, whatever the file calls them."""
AT = "@"
"""Between target and context in the labels of data with several contexts: 'KLF1@K562', 'non-targeting@K562'."""
ALL = "all"
"""The one context, batch or guide of data that tell none apart."""
GROUPS = ("perturbation", "guide", "batch")
"""What cells are told apart by; within contexts each of these labels names its context."""
IGNORED = "none"
"""As the context column: take no context, although one was found."""
INDEX = "index"
"""As the var column with the names of the genes: the index of var."""

MAX_SEED = 2**63 - 1
"""The largest that every generator takes."""

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


def are_pseudobulks(n_rows: Collection[int]) -> bool:
    """Whether data with so many rows of each perturbation (three or more of them) are no cells: most have one."""
    return len(n_rows) >= 3 and 2 * sum(n == 1 for n in n_rows) > len(n_rows)


def sort_labels(labels: Iterable[str]) -> list[str]:
    """Each once, the controls first, each sorted."""
    return sorted(set(labels), key=lambda label: (not is_control(label), label))


def check_contexts(wanted: Iterable[str], known: Iterable[str]) -> None:
    """Raises SpecError for contexts that the data do not have."""
    known = list(known)
    if unknown := [context for context in wanted if context not in known]:
        found = name_some(known) if known else "it tells none apart"
        raise SpecError("unknown_context", f"The dataset has no context {name_some(unknown)}", fix=f"contexts: {found}")


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
    control: str | tuple[str, ...] | None = None  # labels, or patterns with *; several are pooled
    matrix: str | None = None  # X, layers/NAME or raw/X
    genes: str | None = None  # var column with the names of the genes; INDEX: the index of var
    repeated: Literal["unique", "sum"] | None = None  # genes of one name; None: unique
    pairs: str | None = None  # what stands between two genes in a label; "none": there are no pairs
    guides: Literal["pooled", "apart"] | None = None  # labels that are guides: as their genes (None), or as they are
    keep: tuple[str, ...] = ()  # labels of cells without a call that are kept as perturbations
    leave_out: tuple[str, ...] = ()  # labels whose cells are left out

    @field_validator("keep", "leave_out", mode="before")
    @classmethod
    def _as_tuple(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value

    @property
    def controls(self) -> tuple[str, ...] | None:
        """The labels and patterns of the control; None: find them."""
        return (self.control,) if isinstance(self.control, str) else self.control or None


class Candidate(BaseModel):
    """An obs column that may hold the perturbations, with what speaks for it.

    n_labels : distinct labels of perturbations; n_genes : those that are genes of the file, or name one as a guide does
    """

    model_config = ConfigDict(frozen=True)

    column: str
    n_labels: int
    n_genes: int
    of_guides: bool = False
    n_control_cells: int
    share_missing: float  # of the cells
    cells_per_label: float  # median

    def __str__(self) -> str:
        kind = "begin with genes" if self.of_guides else "are genes"
        return (
            f"{self.n_genes:,} of {self.n_labels:,} labels {kind} of the file, {self.n_control_cells:,} control cells"
        )


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
    matrix: str = "X"
    stored_scale: str = ""  # what the file holds, before it is brought to `value_space`
    depth: float | None = None  # the sum of expm1 that every cell has; None: it differs, or values are counts
    n_cells_left_out: int = 0
    n_features_left_out: int = 0
    unmeasured: tuple[str, ...] = ()  # perturbed genes that the file does not measure
    candidates: tuple[Candidate, ...] = ()  # obs columns that may hold the perturbations, the best first
    notes: tuple[str, ...]
