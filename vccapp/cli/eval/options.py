"""What the commands of views share: which runs, what is looked at closely, and how frames are printed."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from vccapp.cli.names import find_finished_run, mark_about, open_settings, parse_names
from vccapp.cli.output import format_table, show, tell
from vccapp.data.reading.ignored import COLUMN, mark_ignored
from vccapp.errors import SpecError, clean_lines, one_line

if TYPE_CHECKING:
    import pandas as pd

    from vccapp.evaluation.comparison.comparison import Comparison
    from vccapp.evaluation.comparison.prediction import Prediction
    from vccapp.settings import Settings

MAX_PRINTED = 40
"""Rows of a frame that are printed for people."""

RunIds = Annotated[
    list[str] | None,
    typer.Option("--run", help="Id of a run; repeatable. Default: the newest."),
]
Part = Annotated[Literal["val", "test"], typer.Option(help="Held-out part of the split.")]
Context = Annotated[str | None, typer.Option(help="Only perturbations of this context. Default: of all.")]
Shown = Annotated[
    str | None,
    typer.Option(help="Prediction shown in detail: a run, control_mean or perturbation_mean. Default: the first run."),
]
Metric = Annotated[str, typer.Option(help="A metric that needs no predicted cells.")]
Perturbations = Annotated[str | None, typer.Option(help="'A,B,C'; default: the four with the largest real effect.")]
By = Annotated[Literal["delta", "degs"], typer.Option(help="Genes with the largest delta, or the clearest DEGs.")]
Top = Annotated[int | None, typer.Option(min=1, help="Number of these genes. Default: 200.")]
Genes = Annotated[str | None, typer.Option(help="Gene names instead: 'MYC, TP53'; * is a wildcard.")]
Gmt = Annotated[str | None, typer.Option(help="A .gmt file: a path, or its name in the workspace.")]
GeneSet = Annotated[str | None, typer.Option(help="Genes of this set of the .gmt file instead.")]
Csv = Annotated[str | None, typer.Option("--csv", help="Also write one table as CSV; '-' prints it alone.")]
Table = Annotated[str | None, typer.Option(help="Which table --csv writes. Default: the first.")]


def open_runs(runs: Sequence[str] | None, part: Literal["val", "test"], context: str | None = None) -> "Comparison":
    """The comparison of these runs, 'latest' among them."""
    from vccapp.training.comparison import open_comparison

    settings = open_settings()
    found = [find_finished_run(run, settings).id for run in runs or ["latest"]]
    return open_comparison(found, settings, part=part, context=context)


def find_shown(comparison: "Comparison", key: str | None) -> "Prediction":
    return comparison.runs[0] if key is None else comparison.find(key)


def check_metric(name: str) -> str:
    """Raises SpecError for a metric that needs predicted cells, or is none."""
    from vccapp.evaluation.scoring.score import list_pseudobulk_metrics

    known = list_pseudobulk_metrics()
    if name not in known:
        raise SpecError("unknown_metric", f"Pseudobulks have no metric '{name}'", fix=f"choose {', '.join(known)}")
    return name


def choose_perturbations(comparison: "Comparison", text: str | None) -> list[str]:
    named = parse_names(text)
    return comparison.check_perturbations(named) if named else comparison.strongest()


def choose_genes(
    comparison: "Comparison",
    perturbations: list[str],
    *,
    by: Literal["delta", "degs"],
    top: int | None,
    genes: str | None,
    gmt: str | None,
    gene_set: str | None,
) -> list[str]:
    """Genes to look at. Raises SpecError where the choice holds none, DataError for a .gmt file that cannot be read."""
    from vccapp.evaluation.comparison.gene_choice import FIRST_GENES, name_genes, rank_genes
    from vccapp.wording import name_some

    if gmt is not None or gene_set is not None:
        genes = _genes_of_set(gmt, gene_set, open_settings())
    if genes is None:
        chosen = rank_genes(comparison.index, perturbations, by=by, number=top or FIRST_GENES)
    else:
        chosen = name_genes(comparison.index, genes)
        if chosen.unknown and chosen.genes:
            tell(f"{len(chosen.unknown)} not among the dataset's genes: {name_some(chosen.unknown)}")
    if not chosen.genes:
        names = name_some(comparison.index.genes["gene"], 3)
        raise SpecError("no_gene", "No gene of the dataset is chosen", fix=f"give some, e.g. {names}")
    return list(chosen.genes)


def show_view(
    view: Any,  # a frozen dataclass of frames
    about: dict[str, Any],
    *,
    as_json: bool,
    csv: str | None,
    table: str | None,
    text: Callable[[], str] | None = None,
) -> None:
    """Print every frame of a view under its name, with what it is about; or write one as CSV.

    text : what people read, without it the frames
    Raises SpecError for a table that the view does not have.
    """
    frames = {field.name: getattr(view, field.name) for field in fields(view)}
    ignored = about.get(COLUMN)
    tables = {name: mark_ignored(frame, ignored) for name, frame in frames.items() if hasattr(frame, "to_csv")}
    if table is not None and table not in tables:
        raise SpecError("unknown_table", f"There is no table '{table}'", fix=f"choose {', '.join(tables)}")
    if csv is not None:
        _write_csv(tables[table or next(iter(tables))], csv)
        if csv == "-":
            return
    value = about | {name: records(frame) for name, frame in tables.items()}

    def print_tables() -> str:
        return "\n\n".join(f"{one_line(name)}:\n{_print(frame)}" for name, frame in tables.items())

    show(value, text or print_tables, as_json=as_json)


def about_comparison(comparison: "Comparison", **more: Any) -> dict[str, Any]:
    """What stands above the tables in JSON."""
    about = {"runs": [own.key for own in comparison.runs], "part": comparison.part}
    return about | mark_about(comparison.index.meta[COLUMN]) | more


def records(frame: "pd.DataFrame") -> list[dict[str, Any]]:
    """Rows for JSON, with every digit."""
    return frame.to_dict("records")


def _write_csv(frame: "pd.DataFrame", where: str) -> None:
    from vccapp.data.spreadsheet import to_csv, write_csv

    if where == "-":
        data = to_csv(frame)
        typer.echo(clean_lines(data.decode()) if sys.stdout.isatty() else data, nl=False)
    else:
        write_csv(frame, Path(where))


def _print(frame: "pd.DataFrame") -> str:
    text = format_table(frame.head(MAX_PRINTED).to_dict("records"), list(frame.columns))
    left_out = len(frame) - MAX_PRINTED
    return f"{text}\n... and {left_out:,} more rows (--csv FILE writes all)" if left_out > 0 else text


def _genes_of_set(gmt: str | None, name: str | None, settings: "Settings") -> str:
    from vccapp.data.gene_sets import list_gmt, read_gmt

    kept = {path.name: path for path in list_gmt(settings)}
    if gmt is None:
        raise SpecError(
            "no_gmt", "A gene set needs a .gmt file", fix=f"give it with --gmt: {', '.join(kept) or 'a path'}"
        )
    sets = read_gmt(kept.get(gmt, Path(gmt)))
    if name not in sets:
        some = ", ".join(list(sets)[:5])
        raise SpecError("unknown_gene_set", f"{gmt} has no gene set '{name}'", fix=f"--gene-set names one of {some}")
    return " ".join(sets[name])
