"""Options that say how a data file is read: its columns, its controls, its matrix."""

from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from vccapp.data.schema import Columns

PerturbationColumn = Annotated[str | None, typer.Option(help="obs column of perturbations.")]
GuideColumn = Annotated[str | None, typer.Option(help="obs column of guides.")]
BatchColumn = Annotated[str | None, typer.Option(help="obs column of batches.")]
ContextColumn = Annotated[
    str | None,
    typer.Option(
        help="obs column of contexts (cell line, donor ...), within which cells are compared; none: ignore it."
    ),
]
ControlLabel = Annotated[
    list[str] | None,
    typer.Option(
        "--control-label",
        "--control",
        help="Label of control cells in the file; * stands for any text. Repeat it to pool several.",
    ),
]
Matrix = Annotated[str | None, typer.Option(help="Matrix with the values: X, layers/NAME or raw/X.")]
GeneColumn = Annotated[str | None, typer.Option(help="var column that names the genes; index: the index of var.")]
RepeatedGenes = Annotated[
    Literal["unique", "sum"] | None, typer.Option(help="Genes of one name: number them (unique) or sum their counts.")
]
PairSeparator = Annotated[
    str | None, typer.Option(help="What stands between two genes in a label, such as _; none: there are no pairs.")
]
Guides = Annotated[
    Literal["pooled", "apart"] | None,
    typer.Option(help="Labels that are guides: read as their genes (pooled) or kept apart."),
]
KeepLabel = Annotated[
    list[str] | None,
    typer.Option(help="Label of cells without a call to keep as a perturbation; * stands for any text; repeatable."),
]
LeaveOut = Annotated[
    list[str] | None, typer.Option(help="Label whose cells are left out; * stands for any text; repeatable.")
]


def make_columns(
    *,
    perturbation: str | None,
    guide: str | None,
    batch: str | None,
    context: str | None,
    control: list[str] | None,
    matrix: str | None,
    genes: str | None,
    repeated: Literal["unique", "sum"] | None,
    pairs: str | None,
    guides: Literal["pooled", "apart"] | None,
    keep: list[str] | None,
    leave_out: list[str] | None,
) -> "Columns":
    from vccapp.data.schema import Columns

    several = tuple(control or ())
    return Columns(
        perturbation=perturbation,
        guide=guide,
        batch=batch,
        context=context,
        control=several if len(several) > 1 else several[0] if several else None,
        matrix=matrix,
        genes=genes,
        repeated=repeated,
        pairs=pairs,
        guides=guides,
        keep=tuple(keep or ()),
        leave_out=tuple(leave_out or ()),
    )
