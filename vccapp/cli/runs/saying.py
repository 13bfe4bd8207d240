"""`vccapp runs rename`, `note`, `tag`, `pin`: what people say of runs."""

from typing import TYPE_CHECKING, Annotated

import typer

from vccapp.cli.names import open_settings
from vccapp.cli.output import Json, format_table, show
from vccapp.cli.runs.options import RunId, RunIds, find_id

if TYPE_CHECKING:
    from vccapp.settings import Settings


def rename(
    run: RunId,
    title: Annotated[str | None, typer.Argument(help="The new title; without one that of its start.")] = None,
    as_json: Json = False,
) -> None:
    """Give a run another title; its id stays."""
    from vccapp.training.runs.notes import rename

    settings = open_settings()
    rename(found := find_id(run, settings), title, settings)
    _show_notes(found, settings=settings, as_json=as_json)


def note(
    run: RunId,
    note: Annotated[str, typer.Argument(help="The note; it replaces an earlier one.")],
    as_json: Json = False,
) -> None:
    """Write a note on a run."""
    from vccapp.training.runs.notes import set_note

    settings = open_settings()
    set_note(found := find_id(run, settings), note, settings)
    _show_notes(found, settings=settings, as_json=as_json)


def tag(
    runs: RunIds,
    add: Annotated[list[str] | None, typer.Option(help="A word; repeatable.")] = None,
    remove: Annotated[list[str] | None, typer.Option(help="A word; repeatable.")] = None,
    as_json: Json = False,
) -> None:
    """Add and remove tags of runs."""
    from vccapp.training.runs.notes import set_tags

    settings = open_settings()
    found = [find_id(run, settings) for run in runs]
    for run in found:
        set_tags(run, settings, add=add or [], remove=remove or [])
    _show_notes(*found, settings=settings, as_json=as_json)


def pin(
    run: RunId,
    remove: Annotated[bool, typer.Option("--remove", help="Take the reference of its dataset away.")] = False,
    as_json: Json = False,
) -> None:
    """Make a run the reference of its dataset, which Scores and Compare offer first."""
    from vccapp.training import load_run
    from vccapp.training.runs.notes import pin, unpin

    settings = open_settings()
    found = find_id(run, settings)
    if remove:
        unpin(load_run(found, settings).spec.dataset, settings)
    else:
        pin(found, settings)
    _show_notes(found, settings=settings, as_json=as_json)


def _show_notes(*runs: str, settings: "Settings", as_json: bool) -> None:
    """What people say of these runs now."""
    from vccapp.training import load_run

    found = [load_run(run, settings) for run in runs]
    value = [{"run": run.id, "title": run.title} | run.notes.model_dump(mode="json") for run in found]
    shown = [
        row | {"title": run.title, "tags": ", ".join(run.notes.tags) or None}
        for row, run in zip(value, found, strict=True)
    ]
    show(value, lambda: format_table(shown, ("run", "title", "tags", "note", "pinned")), as_json=as_json)
