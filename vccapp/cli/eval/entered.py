"""`vccapp eval entered`: results of official submissions, entered by hand."""

from datetime import date
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from vccapp.cli.names import open_settings
from vccapp.cli.output import Json, format_fields, format_table, show, show_list
from vccapp.commands import parse_assignments

if TYPE_CHECKING:
    from vccapp.training.results.entered import EnteredResult

app = typer.Typer(help="Official results, entered by hand.", no_args_is_help=True)
ResultId = Annotated[str, typer.Argument(help="Id of the result.", show_default=False)]


@app.command()
def add(
    season: Annotated[str, typer.Option(help="Name of the season.", show_default=False)],
    score: Annotated[list[str], typer.Option(help="NAME=NUMBER as on the leaderboard; repeatable.")],
    day: Annotated[str | None, typer.Option("--date", help="YYYY-MM-DD; default: today.")] = None,
    phase: Annotated[str, typer.Option(help="Phase of the season.")] = "validation",
    scale: Annotated[Literal["raw", "scaled"], typer.Option(help="scaled: 0 baseline, 1 replicate.")] = "raw",
    note: Annotated[str, typer.Option(help="A note.")] = "",
    run: Annotated[str | None, typer.Option(help="Id of the run that made the prediction.")] = None,
    submission: Annotated[str | None, typer.Option(help="Id of the submission.")] = None,
    result_id: Annotated[str | None, typer.Option("--id", help="Change the result with this id.")] = None,
    as_json: Json = False,
) -> None:
    """Enter the result of an official submission, or change one."""
    from vccapp.training import load_run
    from vccapp.training.results.entered import load_result, make_result, make_result_id, write_result

    settings = open_settings()
    if result_id is not None:
        load_result(result_id, settings)
    if run is not None:
        load_run(run, settings)
    result = make_result(
        settings,
        id=result_id or make_result_id(date.today()),
        date=day or date.today(),
        season=season,
        phase=phase,
        scale=scale,
        scores=parse_assignments(score),
        note=note,
        run=run,
        submission=submission,
    )
    write_result(result, settings)
    show(result.model_dump(mode="json"), lambda: format_fields(_row(result)), as_json=as_json)


@app.command("list")
def list_(as_json: Json = False) -> None:
    """List the entered results, the newest first."""
    from vccapp.training.results.entered import list_results

    results = list_results(open_settings())
    columns = ("id", "date", "season", "phase", "scale", "scores", "run", "submission", "note")
    value = [result.model_dump(mode="json") for result in results]
    show_list("results", value, results.unreadable, lambda: format_table(map(_row, results), columns), as_json=as_json)


@app.command()
def remove(result: ResultId, as_json: Json = False) -> None:
    """Delete an entered result."""
    from vccapp.training.results.entered import delete_result

    delete_result(result, open_settings())
    show({"removed": result}, lambda: f"Removed {result}.", as_json=as_json)


def _row(result: "EnteredResult") -> dict[str, Any]:
    scores = " ".join(f"{name}={value:g}" for name, value in result.scores.items())
    return result.model_dump(mode="json") | {"scores": scores}
