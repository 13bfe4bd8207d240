"""`vccapp submit reproduce`: make a submission again, bit for bit, or say what is no longer there."""

from pathlib import Path
from typing import Annotated, Any

import typer

from vccapp.cli.following import EXIT_FAILED, After, Background, On, run_job
from vccapp.cli.names import open_settings
from vccapp.cli.output import Json, format_table, show, tell

COLUMNS = ("what", "status", "recorded", "found", "fix")


def reproduce(
    submission: Annotated[str, typer.Argument(help="Id of the submission.", show_default=False)],
    output: Annotated[Path | None, typer.Option(help="Where to keep the package that is made; a new file.")] = None,
    on: On = "here",
    background: Background = False,
    after: After = None,
    as_json: Json = False,
) -> None:
    """Make a submission again from its record and compare it byte for byte; exit code 1 where it is not the same.

    Every piece that made it is held against what there is: what is gone or changed is listed, and nothing is made then.
    """
    from vccapp.submission.ledger.listing import find_submission
    from vccapp.submission.ledger.reproduce import BLOCKING, examine
    from vccapp.tasks.reproduce import Reproduce

    settings = open_settings()
    one = find_submission(submission, settings)
    pieces = [piece.model_dump() for piece in examine(one, settings)]
    value: dict[str, Any] = {"id": submission, "same": None, "package": None, "pieces": pieces}
    if any(piece["status"] in BLOCKING for piece in pieces):
        show(value, lambda: _format(pieces), as_json=as_json)
        tell(f"'{submission}' cannot be made again: something is gone or has changed.")
        raise typer.Exit(EXIT_FAILED)
    dataset = "" if one.plan is None else one.plan.datasets[0]
    task = Reproduce(dataset=dataset, submission=one.id, output=output)
    made = run_job(settings, task, on=on, background=background, after=after, as_json=as_json)
    value |= {"same": made.same} | {name: made.found[name] for name in ("recorded", "package", "pieces", "output")}
    show(value, lambda: f"{made.told}\n\n{_format(value['pieces'])}", as_json=as_json)
    if not made.same:
        raise typer.Exit(EXIT_FAILED)


def _format(pieces: list[dict[str, Any]]) -> str:
    return format_table(pieces, COLUMNS)
