"""Options that commands of submissions share."""

from pathlib import Path
from typing import Annotated

import typer

SeasonName = Annotated[str, typer.Option(help="Name of the challenge.")]
PhaseName = Annotated[
    str | None, typer.Option(help="Phase of the season; default: its last one, of a file that its targets are of.")
]
GeneList = Annotated[Path | None, typer.Option(help="The challenge's gene list; default: the genes of the dataset.")]
Counts = Annotated[Path | None, typer.Option(help="The challenge's pert_counts CSV: target_gene, n_cells.")]
Practice = Annotated[bool, typer.Option("--practice", help="Practice: allow other genes than the challenge's.")]
Dataset = Annotated[
    str | None,
    typer.Option(help="Training data to compare depth and controls with: path, fingerprint or title of a dataset."),
]
MendTo = Annotated[
    Path | None,
    typer.Option("--mend", help="Mend what is safe to mend, into this new .h5ad, and go on with that file."),
]
