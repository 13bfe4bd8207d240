"""Runs as rows: for a file, and which of them a search finds."""

from collections.abc import Sequence

import pandas as pd

from vccapp.commands import format_value
from vccapp.models.base import label_model
from vccapp.references import FLOORS
from vccapp.training.record import RunRecord, RunSpec
from vccapp.training.results.board import PARTS

ABOUT = ["run", "title", "model", "dataset", "split", "seed", "state", "created", "ended", "vccapp", "tags", "note"]


def tabulate_runs(runs: Sequence[RunRecord]) -> pd.DataFrame:
    """One row a run: ABOUT, each parameter that any of them changed, and its own mean scores by part."""
    rows = []
    for run in runs:
        spec, notes = run.spec, run.notes
        about = [run.id, run.title, spec.model, spec.dataset, run.split.name, spec.seed, run.state, run.created]
        about += [run.ended, run.vccapp, " ".join(notes.tags), notes.note]
        row = dict(zip(ABOUT, about, strict=True))
        row |= {f"parameter {name}": format_value(value) for name, value in sorted(spec.params.items())}
        for part in PARTS:
            scores = run.metrics.get(part, {}).get(spec.model, {})
            row |= {f"{part} {name}": value for name, value in scores.items()}
        rows.append(row)
    names = list(dict.fromkeys(name for row in rows for name in row))
    names.sort(key=lambda name: name not in ABOUT and not name.startswith("parameter "))
    return pd.DataFrame(rows, columns=names or ABOUT)


def baseline_of(run: RunRecord, metric: str) -> float | None:
    """What the mean of the training perturbations scores on the validation part."""
    return run.metrics.get("val", {}).get(FLOORS[-1], {}).get(metric)


def matches(run_id: str, run: RunRecord | None, spec: RunSpec | None, words: str) -> bool:
    """Whether every word stands in what is known of a run: id, title, note, tags, model, split, parameters, state."""
    if not words.strip():
        return True
    known = [run_id]
    if spec is not None:
        known += [spec.title, spec.model, label_model(spec.model), spec.split, f"seed={spec.seed}"]
        known += [f"{name}={format_value(value)}" for name, value in spec.params.items()]
    if run is not None:
        known += [run.title, run.notes.note, *run.notes.tags, run.split.name, run.state]
    text = " ".join(known).lower()
    return all(word in text for word in words.lower().split())
