"""`vccapp submit score`: a file of a submission against real cells."""

from pathlib import Path
from typing import Annotated

import typer

from vccapp.cli.following import After, Background, On, run_job
from vccapp.cli.names import find_dataset, open_settings
from vccapp.cli.output import Json, format_fields, format_lines, format_table, show
from vccapp.cli.submit.options import SeasonName


def score(
    file: Annotated[Path, typer.Argument(help="The .h5ad or .vcc.", show_default=False)],
    real: Annotated[Path | None, typer.Option(help="Real cells with controls, .h5ad.")] = None,
    dataset: Annotated[
        str | None, typer.Option(help="Real cells of an indexed dataset: path, fingerprint or title.")
    ] = None,
    context_column: Annotated[
        str | None, typer.Option(help="The obs column of contexts of --real; default: detected.")
    ] = None,
    season: SeasonName = "vcc2025",
    phase: Annotated[str | None, typer.Option(help="Phase whose targets are counted.")] = None,
    scorer: Annotated[
        str, typer.Option(help="vccapp: our own computation of the season's metrics; or an official scorer.")
    ] = "vccapp",
    on: On = "here",
    background: Background = False,
    after: After = None,
    as_json: Json = False,
) -> None:
    """Score a submission's file against real cells, context by context; the result is kept in a folder of its own."""
    from vccapp.submission.scored import list_local_scores, rows_of
    from vccapp.tasks.score_file import ScoreFile

    settings = open_settings()
    task = ScoreFile(
        path=file,
        real=real,
        dataset="" if dataset is None else find_dataset(dataset, settings).fingerprint,
        context_column=context_column,
        season=season,
        phase=phase,
        scorer=scorer,
    )
    task.check(settings)
    done = run_job(settings, task, on=on, background=background, after=after, as_json=as_json)
    found = next(score for score in list_local_scores(settings) if score.id == done.id)
    fields = {
        "file": found.file,
        "real cells": found.real,
        "season": f"{found.season}{f', {found.phase}' if found.phase else ''}",
        "versions": ", ".join(f"{name} {version}" for name, version in found.versions.items()),
        **found.settings,
        "folder": found.folder,
    }
    columns = ("context", "metric", "n", "mean", "baseline", "scaled", "clipped")
    show(
        found.model_dump(mode="json") | {"folder": str(found.folder)},
        lambda: "\n\n".join(
            [format_fields(fields), format_table(rows_of(found), columns), format_lines(f"- {n}" for n in found.notes)]
        ),
        as_json=as_json,
    )
