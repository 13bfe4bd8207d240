"""`vccapp runs delete`, `restore`, `empty`: runs go to the bin and come back."""

from typing import Annotated

import typer

from vccapp.cli.names import open_settings
from vccapp.cli.output import Json, format_table, show, tell
from vccapp.cli.runs.options import RunIds, find_id


def delete(
    runs: RunIds,
    yes: Annotated[bool, typer.Option("--yes", help="Also where something still uses them.")] = False,
    as_json: Json = False,
) -> None:
    """Move runs to the bin, from which `restore` brings them back; `empty` frees the disk."""
    from vccapp.errors import SpecError
    from vccapp.jobs.runs import delete_runs
    from vccapp.submission.uses import list_uses
    from vccapp.training.runs.bin import list_deleted

    settings = open_settings()
    found = [find_id(run, settings) for run in runs]
    uses = list_uses(found, settings)
    for line in uses:
        tell(line)
    if uses and not yes:
        raise SpecError("run_used", f"{len(uses)} things still use what is to be deleted", found=uses, fix="add --yes")
    delete_runs(found, settings)
    sizes = {one.run: one.size for one in reversed(list_deleted(settings))}
    value = [{"run": run, "bytes": sizes[run]} for run in found]
    show(value, lambda: format_table(value, ("run", "bytes")), as_json=as_json)


def restore(runs: RunIds, as_json: Json = False) -> None:
    """Bring deleted runs back."""
    from vccapp.training.runs.bin import restore_run

    settings = open_settings()
    value = [{"run": run, "folder": restore_run(run, settings)} for run in runs]
    show(value, lambda: format_table(value, ("run", "folder")), as_json=as_json)


def empty(
    runs: Annotated[
        list[str] | None, typer.Argument(help="Ids; by default all in the bin.", show_default=False)
    ] = None,
    as_json: Json = False,
) -> None:
    """Delete for good what is in the bin."""
    from vccapp.training.runs.bin import empty_bin
    from vccapp.wording import bytes_text

    freed = empty_bin(open_settings(), runs=runs or [])
    show({"bytes": freed}, lambda: f"{bytes_text(freed)} are free again.", as_json=as_json)
