"""Runs beside each other: what differs in what decided them, and in what they scored.

view = compare_specs(runs)                 # what, one column a run, differs
tabulate_scores(runs)                      # part, metric, one column a run
find_before(run, runs)                     # the run that it is read against
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd
from pydantic import ValidationError

from vccapp.commands import format_value
from vccapp.evaluation.scoring.score import list_pseudobulk_metrics
from vccapp.models.base import MODELS
from vccapp.training.record import RunRecord
from vccapp.training.results.board import PARTS, fingerprint_of

NOTHING = "-"
"""Of what a run does not have."""


def find_before(run: RunRecord, runs: Iterable[RunRecord]) -> RunRecord | None:
    """The last that was begun before it on the same data, of the same model where there is one."""
    earlier = [one for one in runs if one.spec.dataset == run.spec.dataset and one.order < run.order]
    alike = [one for one in earlier if one.spec.model == run.spec.model]
    return max(alike or earlier, key=lambda one: one.order, default=None)


def compare_specs(runs: Sequence[RunRecord]) -> pd.DataFrame:
    """All that decided each run, as texts: what, a column a run by its id, differs; what differs comes first."""
    told = [_describe(run) for run in runs]
    names = list(dict.fromkeys(name for one in told for name in one))
    rows = [[name, *(one.get(name, NOTHING) for one in told)] for name in names]
    table = pd.DataFrame(rows, columns=["what", *(run.id for run in runs)])
    table["differs"] = [len(set(row[1:])) > 1 for row in rows]
    return table.sort_values("differs", ascending=False, kind="stable", ignore_index=True)


def tabulate_scores(runs: Sequence[RunRecord]) -> pd.DataFrame:
    """Mean scores of each run's own predictions: part, metric, a column a run by its id (NaN where it has none)."""
    rows = []
    for part in PARTS:
        own = [run.metrics.get(part, {}).get(run.spec.model, {}) for run in runs]
        known = [name for name in list_pseudobulk_metrics() if any(scores.get(name) is not None for scores in own)]
        rows += [[part, name, *(scores.get(name) for scores in own)] for name in known]
    ids = [run.id for run in runs]
    return pd.DataFrame(rows, columns=["part", "metric", *ids]).astype(dict.fromkeys(ids, float))


def full_params(model: str, params: Mapping[str, Any]) -> dict[str, Any]:
    """All parameters of a model, the defaults among them; those given alone where this version refuses them."""
    if model not in MODELS:
        return dict(params)
    try:
        return MODELS[model].Spec.model_validate(dict(params)).model_dump(mode="json")
    except ValidationError:
        return dict(params)


def _describe(run: RunRecord) -> dict[str, str]:
    spec, split = run.spec, run.split
    parts = {name: getattr(split, name) for name in ("train", "val", "test")}
    told = {"model": spec.model, "data": spec.dataset, "split": split.name}
    told |= {f"{name} perturbations": f"{len(labels):,}" for name, labels in parts.items()}
    told["split content"] = fingerprint_of({name: sorted(labels) for name, labels in parts.items()})
    told["seed"] = str(spec.seed)
    told |= {name: _text(value) for name, value in full_params(spec.model, spec.params).items()}
    told |= {"processes": str(run.devices), "device": run.device or NOTHING, "version of vccapp": run.vccapp}
    return told


def _text(value: Any) -> str:
    if value is None:
        return "none"
    return format_value(value) if isinstance(value, str | bool | int | float) else json.dumps(value, sort_keys=True)
