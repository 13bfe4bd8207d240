"""`vccapp eval scores`, `gallery`, `confusion`, `overlap`, `difference`: every perturbation that the runs predict."""

from typing import Annotated, Literal

import typer

from vccapp.cli.eval.options import (
    Context,
    Csv,
    Metric,
    Part,
    RunIds,
    Shown,
    Table,
    about_comparison,
    check_metric,
    find_shown,
    open_runs,
    show_view,
)
from vccapp.cli.output import Json, tell

FIRST_METRIC = "pearson_delta"


def scores(
    run: RunIds = None,
    part: Part = "test",
    context: Context = None,
    shown: Shown = None,
    metric: Metric = FIRST_METRIC,
    csv: Csv = None,
    table: Table = None,
    as_json: Json = False,
) -> None:
    """Show the mean scores of runs, floors and limits, one metric of each perturbation, and all metrics of one run."""
    from vccapp.evaluation.comparison.scores import view_scores
    from vccapp.stats.halves import explain_halves

    comparison = open_runs(run, part, context)
    own = find_shown(comparison, shown)
    view = view_scores(comparison, own, metric=check_metric(metric))
    notes = [note for note in (explain_halves(comparison.index, comparison.labels),) if note]
    for note in notes:
        tell(f"note: {note}")
    about = about_comparison(comparison, shown=own.key, metric=metric, notes=notes)
    show_view(view, about, as_json=as_json, csv=csv, table=table)


def gallery(
    run: RunIds = None,
    part: Part = "test",
    context: Context = None,
    shown: Shown = None,
    metric: Metric = FIRST_METRIC,
    csv: Csv = None,
    table: Table = None,
    as_json: Json = False,
) -> None:
    """Show the perturbations that are predicted best and worst, over the genes that change most."""
    from vccapp.evaluation.comparison.scores import view_gallery

    comparison = open_runs(run, part, context)
    own = find_shown(comparison, shown)
    view = view_gallery(comparison, own, metric=check_metric(metric))
    about = about_comparison(comparison, shown=own.key, metric=metric)
    show_view(view, about, as_json=as_json, csv=csv, table=table)


def confusion(
    run: RunIds = None,
    part: Part = "test",
    context: Context = None,
    shown: Shown = None,
    distance: Annotated[Literal["l1", "cosine"], typer.Option(help="l1: as in 2025; cosine: as in 2026.")] = "l1",
    csv: Csv = None,
    table: Table = None,
    as_json: Json = False,
) -> None:
    """Show which real perturbation each prediction lies nearest to, with the places that PDS counts."""
    from vccapp.evaluation.comparison.confusion import view_confusion

    comparison = open_runs(run, part, context)
    own = find_shown(comparison, shown)
    view = view_confusion(comparison, own, distance=distance)
    about = about_comparison(comparison, shown=own.key, distance=distance)
    show_view(view, about, as_json=as_json, csv=csv, table=table)


def overlap(
    run: RunIds = None,
    part: Part = "test",
    context: Context = None,
    shown: Shown = None,
    csv: Csv = None,
    table: Table = None,
    as_json: Json = False,
) -> None:
    """Show how many of the real DEGs are among the genes of largest predicted |delta|."""
    from vccapp.evaluation.comparison.overlap import view_overlap

    comparison = open_runs(run, part, context)
    own = find_shown(comparison, shown)
    view = view_overlap(comparison, own)
    show_view(view, about_comparison(comparison, shown=own.key), as_json=as_json, csv=csv, table=table)


def difference(
    run: RunIds = None,
    part: Part = "test",
    context: Context = None,
    first: Annotated[str | None, typer.Option(help="Key of a prediction; default: the first run.")] = None,
    second: Annotated[
        str | None, typer.Option(help="Key of another; default: the second run, or perturbation_mean.")
    ] = None,
    metric: Metric = FIRST_METRIC,
    csv: Csv = None,
    table: Table = None,
    as_json: Json = False,
) -> None:
    """Show where one prediction is better than another: by perturbation and by gene."""
    from vccapp.evaluation.comparison.difference import choose_pair, view_difference

    comparison = open_runs(run, part, context)
    pair = [
        default if key is None else comparison.find(key)
        for key, default in zip((first, second), choose_pair(comparison), strict=True)
    ]
    view = view_difference(comparison, *pair, metric=check_metric(metric))
    about = about_comparison(comparison, first=pair[0].key, second=pair[1].key, metric=metric)
    show_view(view, about, as_json=as_json, csv=csv, table=table)
