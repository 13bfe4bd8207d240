"""What people call things on the command line: a dataset by path, fingerprint or title, a run by id or 'latest'."""

from pathlib import Path
from typing import TYPE_CHECKING

from vccapp.cli.output import tell, warn
from vccapp.errors import SpecError

if TYPE_CHECKING:
    from vccapp.data.workspace import Record
    from vccapp.settings import Settings
    from vccapp.stats.index import Index
    from vccapp.training import RunRecord


def open_settings() -> "Settings":
    """Settings from the environment. Raises SpecError naming the variable that is wrong."""
    from vccapp import settings

    return settings.open_settings()


def warn_ignored(context: str) -> None:
    """Say in red that the context of the data is ignored."""
    from vccapp.data.reading.ignored import explain_ignored

    warn(explain_ignored(context))


def find_dataset(name: str, settings: "Settings") -> "Record":
    """The registered dataset with this path, fingerprint (or its beginning) or title. Raises SpecError if not one."""
    from vccapp.data.stores.places import resolved
    from vccapp.data.workspace import list_datasets

    if not name.strip():
        raise SpecError("empty_name", "The name of the dataset is empty", fix="name one of `vccapp data list`")
    records = list_datasets(settings)
    path = resolved(name)
    for found in (
        [r for r in records if resolved(r.path) == path],
        [r for r in records if r.fingerprint.startswith(name)],
        [r for r in records if r.title == name],
    ):
        if len(found) == 1:
            if context := found[0].schema.context_ignored:
                warn_ignored(context)
            return found[0]
        if found:
            raise SpecError(
                "ambiguous_dataset",
                f"'{name}' matches {' or '.join(r.fingerprint for r in found)}",
                fix="use the fingerprint",
            )
    known = ", ".join(f"{r.fingerprint} ({r.title})" for r in records) or "none yet: run `vccapp data index PATH`"
    raise SpecError(
        "unknown_dataset",
        f"There is no dataset '{name}'",
        fix=f"known datasets: {known}",
    )


def open_index(fingerprint: str, settings: "Settings") -> "Index":
    """The index of a dataset. Raises SpecError when it has none yet."""
    from vccapp.stats.index import load_index

    index = load_index(settings.index_of(fingerprint))
    if context := index.meta["context_ignored"]:
        warn_ignored(context)
    return index


def ignored_context(dataset: str, settings: "Settings") -> str | None:
    """The context of a dataset that is ignored, which is said. dataset : its fingerprint"""
    from vccapp.data.workspace import find_ignored

    if context := find_ignored(dataset, settings):
        warn_ignored(context)
    return context


def mark_about(ignored: str | None) -> dict[str, str]:
    """For JSON: the context that is ignored, where there is one."""
    return {"context_ignored": ignored} if ignored else {}


def find_run(name: str, settings: "Settings") -> "RunRecord":
    """A run by id, or the one that was begun last for 'latest'. Raises SpecError when there is none."""
    from vccapp.jobs.runs import find_entry
    from vccapp.training import load_run

    if name != "latest":
        return load_run(name, settings)
    entry = find_entry(name, settings)
    return entry.run if entry.run is not None else load_run(entry.id, settings)


def find_finished_run(name: str, settings: "Settings") -> "RunRecord":
    """A finished run by id; for 'latest' the last of them, and a line where one that is not was begun later.

    Raises SpecError when there is none.
    """
    from vccapp.training import list_runs, load_run

    runs = list_runs(settings) if name == "latest" else [load_run(name, settings)]
    finished = [run for run in runs if run.state == "finished"]
    if not finished:
        found = f"the run {name} is {runs[0].state}" if runs and name != "latest" else "no run is finished"
        raise SpecError(
            "no_finished_run",
            f"No run can predict: {found}",
            fix="choose a finished run or train one (`vccapp train start`)",
        )
    if finished[0] is not runs[0]:
        tell(f"The latest run, {runs[0].id}, is {runs[0].state}; {finished[0].id} is the last that is finished.")
    ignored_context(finished[0].spec.dataset, settings)
    return finished[0]


def absolute_split(name: str | None) -> str | None:
    """The name of a split; its path as a job finds it, which runs in another folder."""
    return str(Path(name).resolve()) if name and name.endswith(".json") else name


def parse_names(text: str | None) -> list[str] | None:
    """'A, B' as [A, B]; None stays None."""
    return None if text is None else [name.strip() for name in text.split(",") if name.strip()]
