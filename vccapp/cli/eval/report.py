"""`vccapp eval leaderboard`, `metric` and `report`: stored scores of runs beside each other."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from vccapp.cli.eval.options import Context, Csv, Part, Table, show_view
from vccapp.cli.names import find_dataset, ignored_context, mark_about, open_settings, warn_ignored
from vccapp.cli.output import Json, describe_unreadable, format_table, format_unreadable, show
from vccapp.errors import SpecError, one_line

if TYPE_CHECKING:
    import pandas as pd

    from vccapp.training.results.leaderboard import Rows

Dataset = Annotated[str | None, typer.Option(help="Only runs on this dataset: path, fingerprint or title.")]
Scorer = Annotated[
    str,
    typer.Option(help="Whose scores: pseudobulks or vccapp (ours, of cells), cell-eval, cell-eval2, or a plug-in's."),
]
Metrics = Annotated[
    list[str] | None, typer.Option(help="Metrics to show, ranked by the first; repeatable. Default: all.")
]
Reference = Annotated[
    str | None,
    typer.Option(help="Id of the run to compare with. Default: the perturbation mean on the newest run's split."),
]
RowsOf = Annotated[
    Literal["models", "folds", "runs"],
    typer.Option(
        "--rows",
        help="One row per model, over its seeds; the same with the folds of a split scored as one; or per run.",
    ),
]
Models = Annotated[list[str] | None, typer.Option(help="Only runs of this model; repeatable.")]
Splits = Annotated[list[str] | None, typer.Option(help="Only runs on this split; repeatable.")]
Search = Annotated[str, typer.Option(help="Only runs whose title, parameters or id contain these words.")]
TESTS = ("label", "n", "difference", "low", "high", "p", "p_holm")


@dataclass(frozen=True)
class LeaderboardView:
    """rows : the table. differences : of the first metric that can be tested, from the reference."""

    rows: "pd.DataFrame"
    differences: "pd.DataFrame"


def leaderboard(
    dataset: Dataset = None,
    part: Part = "test",
    scorer: Scorer = "pseudobulks",
    rows: RowsOf = "models",
    model: Models = None,
    split: Splits = None,
    search: Search = "",
    context: Context = None,
    metric: Metrics = None,
    reference: Reference = None,
    scale: Annotated[
        Literal["raw", "scaled", "clipped"],
        typer.Option(help="scaled: 0 at the perturbation mean (official: its baseline), 1 at perfect (its best)."),
    ] = "raw",
    scaled: Annotated[bool, typer.Option("--scaled", help="Same as --scale scaled.")] = False,
    csv: Csv = None,
    table: Table = None,
    as_json: Json = False,
) -> None:
    """Show the scores of runs over their seeds, beside floors and limits, and test how they differ."""
    from vccapp.training.results.entered import list_results

    found = _open_rows(dataset, part, scorer, "scaled" if scaled else scale, rows, model, split, search, context)
    own, chosen = found.find_group(reference), found.check_metrics(metric)
    tested = found.drawn(chosen)
    results = list_results(open_settings())
    view = LeaderboardView(found.table(chosen, own, results=results), found.view(tested, own).differences)
    unreadable = [*found.raw.unreadable, *results.unreadable]
    columns = [name for name in view.rows if name not in ("group", "model", "params", "version")]

    def text() -> str:
        parts = [format_table(view.rows.to_dict("records"), columns)]
        if len(view.differences):
            differences = format_table(view.differences.to_dict("records"), TESTS)
            parts.append(f"{tested}, minus that of {one_line(own)}:\n{differences}")
        return "\n\n".join([*parts, *format_unreadable(unreadable)])

    about = {"reference": own, "tested": tested, "unreadable": describe_unreadable(unreadable)} | _about_data(found)
    show_view(view, about, as_json=as_json, csv=csv, table=table, text=text)


def metric(
    name: Annotated[str, typer.Argument(metavar="METRIC", help="Name of the metric.", show_default=False)],
    dataset: Dataset = None,
    part: Part = "test",
    scorer: Scorer = "pseudobulks",
    rows: RowsOf = "models",
    model: Models = None,
    split: Splits = None,
    search: Search = "",
    context: Context = None,
    reference: Reference = None,
    csv: Csv = None,
    table: Table = None,
    as_json: Json = False,
) -> None:
    """Show one metric of the leaderboard: rows, runs, floors and limits, tested differences, splits."""
    from vccapp.training.results.leaderboard import check_metrics

    found = _open_rows(dataset, part, scorer, "raw", rows, model, split, search, context)
    own = found.find_group(reference)
    [chosen] = check_metrics(found.raw_metrics, [name])
    about = {"metric": chosen, "reference": own} | _about_data(found)
    show_view(found.view(chosen, own), about, as_json=as_json, csv=csv, table=table)


def _about_data(rows: "Rows") -> dict[str, str]:
    """The context of the data that is ignored, which is said."""
    context = rows.raw.context_ignored
    if context is not None:
        warn_ignored(context)
    return mark_about(context)


def _open_rows(
    dataset: str | None,
    part: Literal["val", "test"],
    scorer: str,
    scale: str,
    per: str,
    models: list[str] | None,
    splits: list[str] | None,
    text: str,
    context: str | None,
) -> "Rows":
    """Raises SpecError where none is left."""
    from vccapp.training.results.board import load_board
    from vccapp.training.results.leaderboard import RowChoice, choose_rows
    from vccapp.training.results.pooled import pool_folds

    settings = open_settings()
    fingerprint = None if dataset is None else find_dataset(dataset, settings).fingerprint
    board = load_board(settings, dataset=fingerprint, context=context)
    if per == "folds":
        board = pool_folds(board, settings, context=context)
    choice = RowChoice(part, scorer, scale, per, tuple(models or ()), tuple(splits or ()), text)
    found = choose_rows(board, choice)
    if found.entries.empty:
        raise SpecError(
            "no_scores",
            f"No run has scores of {scorer} on its {part} part",
            fix="train one, choose fewer filters, or see `vccapp eval official --help`",
        )
    return found


def report(
    runs: Annotated[list[str], typer.Argument(help="Ids of the runs, or 'all'.", show_default=False)],
    out: Annotated[Path, typer.Option(help="The HTML file to write.")] = Path("report.html"),
    part: Part = "test",
    scorer: Scorer = "pseudobulks",
    metric: Metrics = None,
    reference: Reference = None,
    as_json: Json = False,
) -> None:
    """Write a report of scored runs: one HTML file that opens without a network."""
    from vccapp.training import load_run
    from vccapp.training.results.board import load_board
    from vccapp.training.results.report import write_report

    settings = open_settings()
    if runs == ["all"]:
        runs = load_board(settings).only(part=part, scorer=scorer).entries["run"].tolist()
    for run in runs:
        ignored_context(load_run(run, settings).spec.dataset, settings)
    path = write_report(runs, out, settings, part=part, scorer=scorer, reference=reference, metrics=metric)
    show({"path": str(path), "runs": runs}, lambda: one_line(f"Wrote {path} ({len(runs)} runs)."), as_json=as_json)
