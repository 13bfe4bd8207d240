"""`vccapp runs list`, `show`, `logs`, `compare`, `export`: what runs say."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vccapp.cli.following import EXIT_FAILED
from vccapp.cli.jobs import job_row, read_log
from vccapp.cli.names import find_dataset, open_settings
from vccapp.cli.output import Json, format_fields, format_table, show, show_list, warn
from vccapp.cli.runs.options import RunId, RunIds, find_id, format_run

if TYPE_CHECKING:
    from vccapp.jobs.job import Job
    from vccapp.jobs.runs import Entry
    from vccapp.settings import Settings

COLUMNS = ("id", "state", "done", "split", "val_pearson_delta", "baseline", "tags", "title")
FOLLOW_SECONDS = 0.5


def list_(
    dataset: Annotated[str | None, typer.Option(help="Only runs on this dataset: path, fingerprint or title.")] = None,
    state: Annotated[str | None, typer.Option(help="Only runs in this state, e.g. finished.")] = None,
    tag: Annotated[str | None, typer.Option(help="Only runs with this tag.")] = None,
    search: Annotated[
        str, typer.Option(help="Only runs with these words in title, note, model, parameters or id.")
    ] = "",
    deleted: Annotated[bool, typer.Option("--deleted", help="What can be restored instead.")] = False,
    as_json: Json = False,
) -> None:
    """List the runs, and trainings that wait; the one begun last comes first."""
    from vccapp.jobs.runs import list_entries
    from vccapp.training.runs.tables import matches

    settings = open_settings()
    if deleted:
        _list_deleted(settings, as_json=as_json)
        return
    fingerprint = "" if dataset is None else find_dataset(dataset, settings).fingerprint
    entries = list_entries(settings, dataset=fingerprint)
    shown = [
        entry
        for entry in entries
        if state in (None, entry.state)
        and (tag is None or entry.run is not None and tag in entry.run.notes.tags)
        and matches(entry.id, entry.run, entry.spec, search)
    ]
    value = [describe_entry(entry) for entry in shown]
    show_list("runs", value, entries.unreadable, lambda: format_table(map(_row, shown), COLUMNS), as_json=as_json)


def show_(run: RunId = "latest", as_json: Json = False) -> None:
    """Show one run: its state, what differs from the run before, and its scores beside the baselines."""
    from vccapp.data.workspace import explain_missing
    from vccapp.jobs.runs import find_entry
    from vccapp.training import list_runs
    from vccapp.training.runs.differences import compare_specs, find_before

    settings = open_settings()
    entry = find_entry(run, settings)
    job, parts = entry.job, []
    value: dict[str, Any] = {"run": None, "job": None if job is None else job.model_dump(mode="json")}
    if entry.run is not None:
        value |= {"run": entry.run.model_dump(mode="json"), "notes": entry.run.notes.model_dump(mode="json")}
        parts.append(format_run(entry.run))
        before = find_before(entry.run, list_runs(settings))
        if before is not None:
            table = compare_specs([before, entry.run])
            changed = table[table["differs"]].drop(columns="differs")
            value["before"] = before.id
            value["changed"] = changed.to_dict("records")
            parts.append(f"changed since {before.id}:\n{format_table(value['changed'], list(changed.columns))}")
    if entry.spec is not None and (missing := explain_missing(entry.spec.dataset, settings)):
        warn(missing.rstrip("."))
    if job is not None and (job.active or entry.run is None):
        parts.append(format_fields(job_row(job) | {"message": job.message, "reason": job.reason or None}))
    show(value, lambda: "\n\n".join(parts), as_json=as_json)


def logs(
    run: RunId = "latest",
    lines: Annotated[int, typer.Option(min=1, help="Maximum number of lines, from the end.")] = 100,
    search: Annotated[str, typer.Option(help="Only lines with this text.")] = "",
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on printing until the run ends.")] = False,
    as_json: Json = False,
) -> None:
    """Show the end of a run's log."""
    from vccapp.errors import SpecError
    from vccapp.jobs.runs import find_entry, find_log

    if follow and as_json:
        raise SpecError("follow_json", "--follow prints lines as they come, which is no JSON", fix="leave one out")
    settings = open_settings()
    job_id = find_log(find_entry(run, settings))
    path, text = read_log(job_id, settings, lines=lines)
    wanted = [line for line in text.splitlines() if search.lower() in line.lower()]
    show({"path": path, "log": "\n".join(wanted)}, lambda: "\n".join(wanted), as_json=as_json)
    if follow:
        _follow(Path(path), job_id, settings, search)


def compare(
    runs: RunIds,
    every: Annotated[bool, typer.Option("--all", help="Also what is the same.")] = False,
    as_json: Json = False,
) -> None:
    """Show what differs between runs, and their scores beside each other."""
    from vccapp.training import load_run
    from vccapp.training.runs.differences import compare_specs, tabulate_scores

    settings = open_settings()
    found = [load_run(find_id(run, settings), settings) for run in dict.fromkeys(runs)]
    specs, scores = compare_specs(found), tabulate_scores(found)
    shown = (specs if every else specs[specs["differs"]]).drop(columns="differs")
    value = {"specs": shown.to_dict("records"), "scores": scores.to_dict("records")}

    def text() -> str:
        tables = [format_table(frame.to_dict("records"), list(frame.columns)) for frame in (shown, scores)]
        return "\n\n".join(tables)

    show(value, text, as_json=as_json)


def export(
    path: Annotated[Path, typer.Argument(help="A .csv file: one row a run, with parameters and scores.")],
    runs: Annotated[list[str] | None, typer.Option("--run", help="Id of a run; repeatable; by default all.")] = None,
    curves: Annotated[bool, typer.Option("--curves", help="What they logged instead: one row a value.")] = False,
    as_json: Json = False,
) -> None:
    """Write runs as a table."""
    from vccapp.data.atomic import require_new, write_file
    from vccapp.data.spreadsheet import to_csv
    from vccapp.training import list_runs, load_run
    from vccapp.training.runs.curves import read_curves
    from vccapp.training.runs.tables import tabulate_runs

    settings = open_settings()
    require_new(path, suffix=".csv", what="runs")
    found = [load_run(find_id(run, settings), settings) for run in runs] if runs else list_runs(settings)
    frame = read_curves(found) if curves else tabulate_runs(found)
    with write_file(path.resolve()) as beside:
        beside.write_bytes(to_csv(frame))
    value = {"path": path.resolve(), "rows": len(frame)}
    show(value, lambda: f"{len(frame):,} rows in {path}.", as_json=as_json)


def describe_entry(entry: "Entry") -> dict[str, Any]:
    """For JSON: what run.json and the notes say, and the job."""
    job = entry.job
    own = (
        {}
        if entry.run is None
        else entry.run.model_dump(mode="json") | {"notes": entry.run.notes.model_dump(mode="json")}
    )
    return own | {
        "id": entry.id,
        "state": entry.state,
        "title": entry.title,
        "job": None if job is None else job.model_dump(mode="json"),
    }


def _row(entry: "Entry") -> dict[str, Any]:
    from vccapp.training.runs.curves import best_validation
    from vccapp.training.runs.tables import baseline_of

    run = entry.run
    return {
        "id": entry.id,
        "state": entry.state,
        "done": f"{entry.job.fraction:.0%}" if entry.active and entry.job is not None else None,
        "split": run.split.name if run is not None else entry.spec.split if entry.spec is not None else None,
        "val_pearson_delta": None if run is None else best_validation(run, "pearson_delta"),
        "baseline": None if run is None else baseline_of(run, "pearson_delta"),
        "tags": ", ".join(run.notes.tags) if run is not None and run.notes.tags else None,
        "title": entry.title,
    }


def _list_deleted(settings: "Settings", *, as_json: bool) -> None:
    from vccapp.training.runs.bin import list_deleted

    rows = [
        {"run": one.run, "deleted": f"{one.when:%Y-%m-%d %H:%M} UTC", "bytes": one.size}
        for one in list_deleted(settings)
    ]
    show(rows, lambda: format_table(rows, ("run", "deleted", "bytes")), as_json=as_json)


def _follow(path: Path, job_id: str, settings: "Settings", search: str) -> None:
    """Print what is added to a log until its job ends; the command then ends as the job did."""
    from vccapp.errors import clean_lines
    from vccapp.jobs.local import reconcile
    from vccapp.jobs.store import JobStore

    position, rest = path.stat().st_size if path.exists() else 0, ""
    job: Job | None = None
    with JobStore(settings) as store:
        while job is None or job.active:
            reconcile(settings)
            job = store.get(job_id)
            if path.exists():
                with path.open("rb") as file:
                    file.seek(position)
                    added = file.read()
                position += len(added)
                *lines, rest = (rest + added.decode(errors="replace")).split("\n")
                for line in lines:
                    if search.lower() in line.lower():
                        typer.echo(clean_lines(line))
            if job.active:
                time.sleep(FOLLOW_SECONDS)
    if job.state != "succeeded":
        raise typer.Exit(EXIT_FAILED)
