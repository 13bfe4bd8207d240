"""`vccapp submit ledger`: what became of submissions: notes, tags, what was sent, official scores, two compared."""

from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from vccapp.cli.eval.options import Csv, Table, show_view
from vccapp.cli.names import open_settings
from vccapp.cli.output import Json, describe_unreadable, format_fields, format_table, format_unreadable, show, tell
from vccapp.commands import parse_assignments
from vccapp.errors import SpecError

if TYPE_CHECKING:
    import pandas as pd

    from vccapp.submission.ledger.entry import Entry
    from vccapp.submission.ledger.listing import Submission

app = typer.Typer(help="What became of submissions: notes, tags, sent, scored, compared.", no_args_is_help=True)
Id = Annotated[str, typer.Argument(help="Id of the submission.", show_default=False)]
Metric = Annotated[str, typer.Option(help="The official score that ranks.")]
PhaseName = Annotated[str | None, typer.Option(help="Phase of the season; default: that of the plan.")]
SHOWN = ("rank", "submission", "season", "phase", "scale", "judged", "value", "state", "counts", "sent", "runs", "tags")


@app.command("list")
def list_(metric: Metric = "overall", csv: Csv = None, table: Table = None, as_json: Json = False) -> None:
    """List all submissions, ranked by an official score, and the best score over time.

    Ranks and bests hold within one season, phase, scale and rule version: others are not comparable.
    """
    from vccapp.submission.ledger.listing import load_ledger
    from vccapp.submission.ledger.ranking import view_ranking

    ledger = load_ledger(open_settings())
    view = view_ranking(ledger, metric=metric)
    about = {"metric": metric, "unreadable": describe_unreadable(ledger.unreadable)}
    lines = format_unreadable(ledger.unreadable)
    show_view(
        view,
        about,
        as_json=as_json,
        csv=csv,
        table=table,
        text=lambda: "\n".join([format_table(_records(view.ranked), SHOWN), *lines]),
    )


@app.command("show")
def show_(submission: Id, as_json: Json = False) -> None:
    """Show all that is known of a submission: what made it, what was sent, its scores."""
    from vccapp.submission.ledger.compare import describe_making
    from vccapp.submission.ledger.listing import find_submission
    from vccapp.submission.ledger.local import TABLE, tabulate_local
    from vccapp.submission.ledger.ranking import tabulate_scores

    settings = open_settings()
    one = find_submission(submission, settings)
    making, local = describe_making(one, settings), _records(tabulate_local(one, settings))
    value = _describe(one) | {"making": making, "local": local}

    def text() -> str:
        fields = {name: field for name, field in value.items() if name not in ("making", "results", "local")}
        fields["tags"] = " ".join(one.entry.tags)
        fields["sent"] = ", ".join(f"{sent.when:%Y-%m-%d %H:%M}" for sent in one.entry.sent) or "never"
        scores = _records(tabulate_scores([one]))
        columns = ("season", "phase", "scale", "judged", "date", "official_rank", "metric", "value")
        parts = [format_fields(fields), format_fields(making or {"made": "-"}), format_table(scores, columns)]
        return "\n\n".join([*parts, format_table(local, TABLE)])

    show(value, text, as_json=as_json)


@app.command()
def note(
    submission: Id,
    text: Annotated[str, typer.Argument(help="The note; it replaces the one before.", show_default=False)],
    as_json: Json = False,
) -> None:
    """Write a note on a submission."""
    from vccapp.submission.ledger.entry import set_note

    _show_entry(set_note(submission, text, open_settings()), as_json=as_json)


@app.command()
def tag(
    submission: Id,
    tags: Annotated[list[str] | None, typer.Argument(help="Tags to add.", show_default=False)] = None,
    remove: Annotated[list[str] | None, typer.Option(help="A tag to remove; repeatable.")] = None,
    as_json: Json = False,
) -> None:
    """Add and remove tags of a submission."""
    from vccapp.submission.ledger.entry import set_tags

    entry = set_tags(submission, open_settings(), add=tags or (), remove=remove or ())
    _show_entry(entry, as_json=as_json)


@app.command()
def sent(
    submission: Id,
    when: Annotated[str | None, typer.Option(help="YYYY-MM-DD or YYYY-MM-DDTHH:MM, UTC; default: now.")] = None,
    phase: PhaseName = None,
    undo: Annotated[bool, typer.Option("--undo", help="Take back the last such note.")] = False,
    as_json: Json = False,
) -> None:
    """Note that a submission was sent, and keep which file it was.

    In each phase the last one that was sent is the one that counts.
    """
    from vccapp.submission.ledger.entry import forget_sent, record_sent
    from vccapp.submission.ledger.listing import load_ledger
    from vccapp.submission.ledger.ranking import find_counting

    settings = open_settings()
    if undo:
        _show_entry(forget_sent(submission, settings), as_json=as_json)
        return
    before = find_counting(load_ledger(settings))
    entry = record_sent(submission, settings, when=_parse_time(when), phase=phase)
    last = entry.sent[-1]
    where = (last.report.season, last.phase or "")
    counting = find_counting(load_ledger(settings)).get(where)
    other = f" instead of {before[where]}" if before.get(where) not in (None, counting) else ""
    tell(f"{counting} was sent last in {' '.join(filter(None, where))}, so it is the one that counts{other}.")
    if last.report.kind == "PRACTICE":
        tell(f"{submission} is practice: it is no submission of the season, and would replace one.")
    _show_entry(entry, as_json=as_json)


@app.command()
def score(
    submission: Id,
    json_file: Annotated[
        Path | None, typer.Option(help="What `vcc status ID --json` or `vcc submit --wait --json` printed.")
    ] = None,
    score: Annotated[list[str] | None, typer.Option(help="NAME=NUMBER as on the leaderboard; repeatable.")] = None,
    scale: Annotated[Literal["raw", "scaled"], typer.Option(help="scaled: 0 baseline, 1 replicate.")] = "scaled",
    rank: Annotated[int | None, typer.Option(min=1, help="Place on the leaderboard.")] = None,
    judged: Annotated[
        list[str] | None, typer.Option(metavar="NAME=TEXT", help="Panel or rule version of the judge; repeatable.")
    ] = None,
    phase: PhaseName = None,
    day: Annotated[
        str | None, typer.Option("--date", help="YYYY-MM-DD; default: that of the file, else today.")
    ] = None,
    note: Annotated[str, typer.Option(help="A note.")] = "",
    as_json: Json = False,
) -> None:
    """Enter the official score of a submission, by hand or from the JSON of the official tool."""
    from vccapp.submission.ledger.official import read_official
    from vccapp.submission.ledger.scoring import enter_official, enter_scores

    settings = open_settings()
    if (json_file is None) == (not score):
        raise SpecError(
            "one_source", "Scores are read from a file or given one by one", fix="give --json-file or --score"
        )
    own = _parse_day(day)
    if json_file is not None:
        result = enter_official(submission, read_official(json_file), settings, day=own, note=note)
    else:
        result = enter_scores(
            submission,
            parse_assignments(score or ()),
            settings,
            scale=scale,
            phase=phase,
            day=own,
            rank=rank,
            judged={name: str(value) for name, value in parse_assignments(judged or ()).items()},
            note=note,
        )
    value = result.model_dump(mode="json")
    scores = " ".join(f"{name}={number:g}" for name, number in result.scores.items())
    show(value, lambda: format_fields(value | {"scores": scores}), as_json=as_json)


@app.command()
def compare(
    a: Annotated[str, typer.Argument(help="Id of a submission.", show_default=False)],
    b: Annotated[str, typer.Argument(help="Id of another.", show_default=False)],
    csv: Csv = None,
    table: Table = None,
    as_json: Json = False,
) -> None:
    """Compare two submissions: what differs in their making, in cells, in local and in official scores."""
    from vccapp.submission.ledger.compare import compare_submissions
    from vccapp.submission.ledger.listing import find_submission

    settings = open_settings()
    view = compare_submissions(find_submission(a, settings), find_submission(b, settings), settings)

    def text() -> str:
        differing = view.making[view.making["differs"]]
        parts = {
            "what differs in their making": (differing, ("what", "a", "b")),
            "cells that differ": (view.cells, tuple(view.cells.columns)),
            "local scores": (view.local, tuple(view.local.columns)),
            "official scores": (view.official, tuple(view.official.columns)),
        }
        names = {"a": a, "b": b}
        return "\n\n".join(
            f"{title}:\n{format_table(_records(frame.rename(columns=names)), [names.get(c, c) for c in columns])}"
            for title, (frame, columns) in parts.items()
        )

    show_view(view, {"a": a, "b": b}, as_json=as_json, csv=csv, table=table, text=text)


def _describe(one: "Submission") -> dict[str, Any]:
    """For JSON: what the ledger has of a submission, without its plan and checks."""
    sent = [
        {
            "when": sent.when.isoformat(),
            "phase": sent.phase,
            "sha256": sent.report.package and sent.report.package.sha256,
            "built": sent.report.built,
        }
        for sent in one.entry.sent
    ]
    return {
        "id": one.id,
        "state": one.state,
        "kind": None if one.report is None else one.report.kind,
        "built": None if one.report is None else one.report.built,
        "file": None if one.file is None else str(one.file),
        "size": None if one.package is None else one.package.size,
        "sha256": None if one.package is None else one.package.sha256,
        "h5ad_sha256": None if one.package is None else one.package.h5ad_sha256,
        "note": one.entry.note,
        "tags": list(one.entry.tags),
        "sent": sent,
        "warning": one.note,
        "results": [result.model_dump(mode="json") for result in one.results],
    }


def _show_entry(entry: "Entry", *, as_json: bool) -> None:
    sent = [{"when": one.when.isoformat(), "phase": one.phase} for one in entry.sent]
    value = {"id": entry.id, "note": entry.note, "tags": list(entry.tags), "sent": sent}
    fields = value | {"tags": " ".join(entry.tags), "sent": ", ".join(one["when"] or "" for one in sent) or "never"}
    show(value, lambda: format_fields(fields), as_json=as_json)


def _records(frame: "pd.DataFrame") -> list[dict[str, Any]]:
    """Rows for a table, None for what is missing."""
    return frame.astype(object).where(frame.notna(), None).to_dict("records")


def _parse_time(text: str | None) -> datetime | None:
    """As UTC where it names no zone. Raises SpecError."""
    if text is None:
        return None
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        raise SpecError("bad_time", f"'{text}' is no time", fix="write YYYY-MM-DDTHH:MM") from None
    return when if when.tzinfo else when.replace(tzinfo=UTC)


def _parse_day(text: str | None) -> date | None:
    if text is None:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise SpecError("bad_time", f"'{text}' is no date", fix="write YYYY-MM-DD") from None
