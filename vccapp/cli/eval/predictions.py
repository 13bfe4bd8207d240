"""`vccapp eval official` and `import`: the judges' scores of cells, predictions made elsewhere."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from vccapp.cli.following import After, Background, On, run_job
from vccapp.cli.names import (
    absolute_split,
    find_dataset,
    find_finished_run,
    find_run,
    ignored_context,
    mark_about,
    open_settings,
)
from vccapp.cli.output import Json, format_fields, format_lines, format_table, show

if TYPE_CHECKING:
    from vccapp.settings import Settings
    from vccapp.training.results.scores import Score

RunId = Annotated[str, typer.Option(help="Id of the run, or 'latest' for the newest finished one.")]
Part = Annotated[Literal["val", "test"], typer.Option(help="Held-out part of the split.")]


def official(
    run: RunId = "latest",
    part: Part = "test",
    scorer: Annotated[
        str | None,
        typer.Option(
            help="cell-eval: 2025; cell-eval2: 2026; vccapp: our own computation of the same, on cells; or a "
            "plug-in's. Default: the season's official one."
        ),
    ] = None,
    season: Annotated[str | None, typer.Option(help="Name of the season; default: vcc2025.")] = None,
    max_cells: Annotated[int | None, typer.Option(min=2, help="Maximum number of cells per perturbation.")] = None,
    max_controls: Annotated[int | None, typer.Option(min=2, help="Maximum number of control cells.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Random seed for drawing cells.")] = 0,
    keep: Annotated[Path | None, typer.Option(help="Copy the official scorer's own tables and log here.")] = None,
    on: On = "here",
    background: Background = False,
    after: After = None,
    as_json: Json = False,
) -> None:
    """Score the predicted cells of a run by an official scorer, run whole; the result is kept with the run."""
    from vccapp.tasks.score import ScoreRun
    from vccapp.training.results.scores import load_score

    settings = open_settings()
    record = find_finished_run(run, settings)
    scorer = _choose_scorer(scorer, season, settings)
    task = ScoreRun(
        dataset=record.spec.dataset,
        run_id=record.id,
        part=part,
        scorer=scorer,
        season=season,
        max_cells=max_cells,
        max_controls=max_controls,
        seed=seed,
        keep=keep,
    )
    task.check(settings)
    run_job(settings, task, on=on, background=background, after=after, as_json=as_json)
    score, _ = load_score(record, scorer, part)
    value = score.model_dump(mode="json") | mark_about(ignored_context(record.spec.dataset, settings))
    show(value, lambda: _format_score(score), as_json=as_json)


def _choose_scorer(scorer: str | None, season: str | None, settings: "Settings") -> str:
    """The official scorer of the season, or the one asked for. Raises SpecError where that is another season's."""
    from vccapp.errors import SpecError
    from vccapp.evaluation.scorers.base import cell_scorers, official_scorer
    from vccapp.seasons.opened import DEFAULT, find_season

    chosen = find_season(season or DEFAULT, settings)
    if scorer is None:
        return official_scorer(chosen.metrics)
    known = cell_scorers().get(scorer)
    if season is not None and known is not None and known.season not in ("", chosen.metrics):
        raise SpecError(
            "other_season",
            f"{scorer} scores by the rules of {known.season}, and {chosen.name} by those of {chosen.metrics}",
            fix=f"use {official_scorer(chosen.metrics)}, or leave out --season",
        )
    return scorer


def import_(
    file: Annotated[Path, typer.Argument(help="An h5ad of predicted cells: counts or log1p values.")],
    dataset: Annotated[str, typer.Option(help="The predicted dataset: path, fingerprint or title.")],
    split: Annotated[
        str | None, typer.Option(help="Split on which it is scored; default: all perturbations in the file.")
    ] = None,
    title: Annotated[str, typer.Option(help="A title, shown in lists.")] = "",
    perturbation_column: Annotated[
        str | None, typer.Option(help="The obs column of perturbations; default: detected.")
    ] = None,
    control_label: Annotated[str | None, typer.Option(help="Label of control cells; default: detected.")] = None,
    matrix: Annotated[str | None, typer.Option(help="X, layers/NAME or obsm/NAME; default: X.")] = None,
    context: Annotated[str | None, typer.Option(help="Context of all cells, where obs does not say it.")] = None,
    on: On = "here",
    background: Background = False,
    after: After = None,
    as_json: Json = False,
) -> None:
    """Import cells predicted by another tool as a run: compared, scored and submitted like one of ours."""
    from vccapp.tasks.import_ import Import

    settings = open_settings()
    task = Import(
        dataset=find_dataset(dataset, settings).fingerprint,
        path=file,
        split=absolute_split(split),
        run_title=title,
        perturbation=perturbation_column,
        control=control_label,
        matrix=matrix,
        context=context,
    )
    task.check(settings)
    result = run_job(settings, task, on=on, background=background, after=after, as_json=as_json)
    record = find_run(result.run, settings)
    value = {"run": record.model_dump(mode="json"), "notes": result.notes}
    lines = {"run": record.id, "split": record.split.name, "folder": record.folder}
    show(
        value, lambda: format_fields(lines) + "\n" + format_lines(f"- {note}" for note in result.notes), as_json=as_json
    )


def _format_score(score: "Score") -> str:
    fields = {"run": score.run, "part": score.part, "scorer": f"{score.scorer} {score.scorer_version}"}
    fields |= score.settings | {f"{name} cells": str(n) for name, n in score.n_cells.items()}
    rows = [
        {
            "metric": name,
            "mean": score.means.get(name),
            "baseline": score.baseline.get(name),
            "scaled": score.scaled[name].raw if name in score.scaled else None,
            "clipped": score.scaled[name].clipped if name in score.scaled else None,
        }
        for name in dict.fromkeys([*score.means, *score.scaled])
    ]
    return format_fields(fields) + "\n\n" + format_table(rows, ("metric", "mean", "baseline", "scaled", "clipped"))
