"""What the commands of runs share: names of runs, processes, and how a run is printed."""

from collections import Counter
from typing import TYPE_CHECKING, Annotated

import typer

from vccapp.cli.output import format_fields, format_table

if TYPE_CHECKING:
    from vccapp.settings import Settings
    from vccapp.tasks.train import DeviceCount
    from vccapp.training import RunRecord
    from vccapp.training.record import Part

Devices = Annotated[
    str | None, typer.Option(help="Number of processes, one per GPU or share of the cores; auto: all GPUs.")
]
RunId = Annotated[str, typer.Argument(help="Id of the run or of its job, or 'latest'.")]
RunIds = Annotated[list[str], typer.Argument(help="Ids of runs; 'latest' among them.", show_default=False)]


def find_id(name: str, settings: "Settings") -> str:
    """Of a run that is there. Raises SpecError."""
    from vccapp.jobs.runs import find_entry
    from vccapp.training import load_run

    return load_run(find_entry(name, settings).id, settings).id


def parse_devices(devices: str | None) -> "DeviceCount":
    """Raises SpecError for what is no number of processes."""
    from vccapp.errors import SpecError

    if devices is None:
        return None
    if devices == "auto":
        return "auto"
    if not (devices.isdecimal() and int(devices)):
        raise SpecError(
            "bad_devices",
            f"--devices is '{devices}'",
            fix="use a number from 1, or auto",
        )
    return int(devices)


def format_run(run: "RunRecord") -> str:
    from vccapp.evaluation.confidence import describe_confidence
    from vccapp.training.record import explain_made

    fields = {
        "run": run.id,
        "title": run.title or None,
        "state": run.state,
        "reason": run.reason or None,
        "split": run.split.name,
        "dataset": run.spec.dataset,
        "made": explain_made(run) or None,
        "rests_on": ", ".join(f"{n:,} {what}" for what, n in Counter(run.basis.values()).most_common()) or None,
        "confidence": describe_confidence(run.confidence) or None,
        "has_seen": ", ".join(known.source for known in run.seen[1:]) or None,
        "note": run.notes.note or None,
        "tags": ", ".join(run.notes.tags) or None,
        "pinned": "the reference of its dataset" if run.notes.pinned else None,
        "folder": run.folder,
    }
    rows = [
        {"part": part, "model": model, "n_perturbations": _count_scored(run, part, model)} | scores
        for part, by_model in run.metrics.items()
        for model, scores in by_model.items()
    ]
    parts = [format_fields({name: value for name, value in fields.items() if value is not None})]
    if rows:
        columns = ("part", "model", "n_perturbations", "pearson_delta", "spearman_delta", "pds", "mae")
        parts.append(format_table(rows, columns))
    return "\n\n".join(parts)


def _count_scored(run: "RunRecord", part: "Part", model: str) -> int:
    """Perturbations of a mean: the limits have none of a single cell."""
    from vccapp.training.results.own_scores import load_references

    table = load_references(run, part).get(model)
    return len(getattr(run.split, part)) if table is None else len(table)
