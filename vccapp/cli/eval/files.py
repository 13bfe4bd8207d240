"""`vccapp eval metrics`: a file of predicted cells scored against one of real cells."""

import json
from pathlib import Path
from typing import Annotated

import typer

from vccapp.cli.columns import ContextColumn
from vccapp.cli.names import mark_about, open_settings, warn_ignored
from vccapp.cli.output import Json, format_table, show


def metrics(
    real: Annotated[Path, typer.Argument(help="Real cells, .h5ad, with controls.")],
    predicted: Annotated[Path, typer.Argument(help="Predicted cells of the same perturbations, with controls.")],
    season: Annotated[
        str, typer.Option(help="Name of the season whose metrics are computed; those of 2026 need counts.")
    ] = "vcc2025",
    context_column: ContextColumn = None,
    energy_cells: Annotated[
        int, typer.Option(min=0, help="Cells per perturbation for the energy distance; 0 = leave it out.")
    ] = 0,
    output: Annotated[
        Path | None, typer.Option(help="Also write the scores of each perturbation to this CSV file.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Score a file of predicted cells against one of real cells, each perturbation (own computation, DE included)."""
    from vccapp.data.reading.ignored import mark_ignored, name_ignored
    from vccapp.data.reading.opening import open_dataset
    from vccapp.data.schema import Columns, is_control
    from vccapp.data.spreadsheet import write_csv
    from vccapp.data.stores.access import Access
    from vccapp.data.stores.bounded import memory_bounded
    from vccapp.evaluation.scoring.cell_space import CellSpace
    from vccapp.evaluation.scoring.score import summarise
    from vccapp.evaluation.scoring.score_files import score_files
    from vccapp.seasons.opened import find_season
    from vccapp.wording import name_some

    settings = open_settings()
    chosen = find_season(season, settings)
    access, memory = Access.of(settings), settings.memory_bytes // 4  # for values; tables and Python take as much again
    space = CellSpace(most_cells=energy_cells) if energy_cells else None
    with memory_bounded(access.memory_bytes):
        columns = Columns(context=context_column)
        files = [open_dataset(path, columns=columns, access=access) for path in (real, predicted)]
    ignored = name_ignored(data.schema.context_ignored for data in files)
    if ignored:
        warn_ignored(ignored)
    scores = score_files(*files, season=chosen.metrics, memory_bytes=memory, space=space)
    scored = set(scores["perturbation"])
    known = files[0].cells["perturbation"].unique()
    missing = [str(label) for label in known if not is_control(label) and label not in scored]
    if missing:
        typer.echo(f"note: {predicted.name} has no cells of {name_some(missing)}; they are not scored.", err=True)
    if output:
        write_csv(mark_ignored(scores, ignored), output)
    value = {
        "season": chosen.name,
        **mark_about(ignored),
        "missing": missing,
        "summary": summarise(scores),
        "scores": json.loads(scores.to_json(orient="records", double_precision=15)),
    }
    show(value, lambda: format_table(scores.to_dict("records"), list(scores.columns)), as_json=as_json)
