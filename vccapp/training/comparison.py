"""Finished runs compared: what they predict of the perturbations that all of them hold out, and what was stored.

comparison = open_comparison(["20261121-142233-state-a1b2"], settings, part="test")
view_confusion(comparison, comparison.runs[0]).table            # vccapp.evaluation.comparison
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix

from vccapp.data.schema import context_of
from vccapp.errors import SpecError
from vccapp.evaluation.comparison.comparison import Comparison
from vccapp.evaluation.comparison.prediction import Prediction, fit_baseline
from vccapp.models.base import MODELS, label_model, load_model
from vccapp.references import FLOORS, LIMITS
from vccapp.settings import Settings
from vccapp.stats.halves import have_halves
from vccapp.stats.index import Index, load_index
from vccapp.training.record import Part, RunRecord, load_run
from vccapp.training.results.own_scores import load_references
from vccapp.training.results.scores import keep_context, load_score
from vccapp.training.runs.naming import short_id

MAX_STORED_CELLS = 500
"""Stored cells of a perturbation that stand for all of them."""
OWN_SCORER = "vccapp"


def open_comparison(
    run_ids: Sequence[str], settings: Settings, *, part: Part = "test", context: str | None = None
) -> Comparison:
    """context : whose perturbations are compared; None: those of all.

    Raises SpecError for unknown or unfinished runs, runs on different data, or runs that share no perturbation.
    """
    runs = [load_run(run_id, settings) for run_id in run_ids]
    if len({run.spec.dataset for run in runs}) > 1:
        raise SpecError("other_data", "The runs are on different datasets", fix="compare runs on the same dataset")
    index = load_index(settings.index_of(runs[0].spec.dataset))
    comparison = compare_runs(index, runs, part=part, context=context)
    if not comparison.labels:
        raise SpecError(
            "nothing_in_common",
            f"The runs have no perturbation in common in the {part} part of their splits",
            fix="choose another part or other runs",
        )
    return comparison


def compare_runs(
    index: Index, runs: Sequence[RunRecord], *, part: Part = "test", context: str | None = None
) -> Comparison:
    """`runs` are finished and on the data of `index`; `labels` of the result is empty where they share none."""
    predictions = read_predictions(runs, part=part)
    if context is not None:
        index.within(context)
        own = [label for label in predictions[0].labels if context_of(label) == context]
        predictions = tuple(prediction.only(own) for prediction in predictions)
    labels, first = predictions[0].labels, runs[0]
    references = [(run.id, run, run.spec.model) for run in runs]
    references += [(name, first, name) for name in (*FLOORS, *LIMITS)]
    tables = {run.id: load_references(run, part) for run in runs}
    stored = {
        key: keep_context(tables[run.id][name], context) for key, run, name in references if name in tables[run.id]
    }
    expected = set(labels), {name for name, halved in zip(labels, have_halves(index, labels), strict=True) if halved}
    whole = {run.id: set(run.prediction(part)[0]) == set(labels) for run in runs}
    return Comparison(
        index=index,
        part=part,
        labels=labels,
        runs=predictions,
        baselines=tuple(fit_baseline(index, first.split, model=name, labels=labels) for name in FLOORS)
        if labels
        else (),
        stored={key: table for key, table in stored.items() if set(table["perturbation"]) == expected[key in LIMITS]},
        stored_means={key: run.metrics.get(part, {}).get(name, {}) for key, run, name in references if whole[run.id]},
        read_cell_scores=partial(_read_cell_scores, {run.id: run for run in runs}, part, labels),
    )


def read_predictions(runs: Sequence[RunRecord], *, part: Part) -> tuple[Prediction, ...]:
    """What runs predict for the perturbations that all of them have in a part, by short and different names."""
    found = [run.prediction(part) for run in runs]
    common = set(found[0][0]).intersection(*(labels for labels, _ in found))
    labels = [label for label in found[0][0] if label in common]
    predictions = [
        Prediction(run.id, name, "run", tuple(own), deltas, _stored_cells(run), run.confidence)
        for run, name, (own, deltas) in zip(runs, name_runs(runs), found, strict=True)
    ]
    return tuple(own if own.labels == tuple(labels) else own.only(labels) for own in predictions)


def name_runs(runs: Sequence[RunRecord]) -> list[str]:
    """Title or model of each run, with what distinguishes it where two are called alike."""
    names = [run.title or label_model(run.spec.model) for run in runs]
    more = (lambda run: run.split.name, lambda run: short_id(run.id), lambda run: run.id)
    for tell in more:
        names = [
            f"{name} · {tell(run)}" if names.count(name) > 1 else name for name, run in zip(names, runs, strict=True)
        ]
    return names


def _read_cell_scores(runs: dict[str, RunRecord], part: Part, labels: tuple[str, ...], key: str) -> pd.DataFrame | None:
    """Our scores of a run's predicted cells; None where there are none, or of others than are compared."""
    if key not in runs:
        return None
    try:
        _, table = load_score(runs[key], OWN_SCORER, part)
    except SpecError:
        return None
    contexts = {context_of(label) for label in labels}
    table = keep_context(table, contexts.pop() if len(contexts) == 1 else None)
    return table if set(table["perturbation"]) == set(labels) else None


def _stored_cells(run: RunRecord) -> "partial[csr_matrix] | None":
    return partial(_read_cells, run.folder / "model") if MODELS[run.spec.model].keeps_cells else None


def _read_cells(folder: Path, label: str) -> csr_matrix:
    """Some of the cells of a perturbation that are stored with a model."""
    model = load_model(folder)
    n_cells = min(model.available_cells(label) or 0, MAX_STORED_CELLS)
    return model.cells(label, csr_matrix((n_cells, len(model.genes))).astype(np.float32))
