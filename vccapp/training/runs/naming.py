"""How runs are called in lists: so that no two are called alike, and links go by the id.

describe_run(run)      "Ridge · strength=10 · standard · 27 Nov 18:43 · a1b2"
label_runs(runs)       the same by id, with the whole id where even that would be equal
"""

from collections import Counter
from collections.abc import Iterable

from vccapp.commands import format_value
from vccapp.models.base import label_model
from vccapp.training.record import RunRecord, RunSpec

MAX_PARAMS = 60
"""Characters of the parameters that a label shows."""


def describe_spec(spec: RunSpec, title: str) -> str:
    """What is trained: the model, and its title, or the parameters that were changed where it has none."""
    return " · ".join(filter(None, (label_model(spec.model), title or describe_params(spec))))


def describe_params(spec: RunSpec) -> str:
    """`name=value` of those that differ from the defaults, and the seed where it is not 0; cut where they are long."""
    words = [f"{name}={format_value(value)}" for name, value in sorted(spec.params.items())]
    text = ", ".join([*words, *([f"seed={spec.seed}"] if spec.seed else [])])
    return text if len(text) <= MAX_PARAMS else f"{text[: MAX_PARAMS - 3]}..."


def describe_run(run: RunRecord) -> str:
    """How a run is called in a list: it ends in the last part of its id, which tells runs of one minute apart."""
    when = f"{run.created.astimezone():%d %b %H:%M}"
    return " · ".join([describe_spec(run.spec, run.title), run.split.name, when, short_id(run.id)])


def short_id(run_id: str) -> str:
    """The last part of a generated id, which is random; the whole of another."""
    return run_id.rpartition("-")[2] if run_id[:1].isdigit() else run_id


def label_runs(runs: Iterable[RunRecord]) -> dict[str, str]:
    """By id, in the given order: `describe_run`, and the whole id where two are called alike."""
    labels = {run.id: describe_run(run) for run in runs}
    times = Counter(labels.values())
    return {run_id: label if times[label] == 1 else f"{label} · {run_id}" for run_id, label in labels.items()}
