"""What the page Compare compares, and the work behind it, done once and shared by all visits.

Scores of a run, of its baselines and of the ceiling were stored when it was trained. Where others are compared, as when
runs of different splits have some perturbations in common, they are worked out when they are looked at.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import streamlit as st
from scipy.sparse import csr_matrix

from vccapp.errors import SpecError
from vccapp.evaluation.comparison.confusion import Confusion, Distance, compute_confusion
from vccapp.evaluation.comparison.diagnostics import Finding, compute_diagnostics
from vccapp.evaluation.comparison.overlap import compute_overlap
from vccapp.evaluation.comparison.prediction import Prediction, fit_baseline
from vccapp.evaluation.profiles import half_profiles, predicted_profiles, real_profiles
from vccapp.evaluation.scoring.score import compute_metrics
from vccapp.models.base import MODELS, load_model
from vccapp.references import CEILING, FULL_NAMES
from vccapp.stats.index import Index
from vccapp.training import RunRecord
from vccapp.training.results.own_scores import REFERENCES, load_references
from vccapp.training.results.scores import ScorerName, load_score
from vccapp.ui.kit.loaders import current_settings, load_index
from vccapp.ui.kit.runs import score_names

MAX_CELLS = 500
"""Stored cells of a perturbation that stand for all of them."""


@dataclass(frozen=True)
class Comparison:
    """What is compared. labels: the perturbations that all runs predict; perturbations: those looked at closely.

    records : by id; runs, baselines : predictions; shown : the one that is looked at where there is room for one
    """

    index: Index
    part: str
    records: Mapping[str, RunRecord]
    labels: tuple[str, ...]
    runs: tuple[Prediction, ...]
    baselines: tuple[Prediction, ...]
    shown: Prediction
    perturbations: tuple[str, ...]
    genes: tuple[str, ...]

    @property
    def everyone(self) -> tuple[Prediction, ...]:
        return self.runs + self.baselines

    @property
    def floor(self) -> Prediction:
        """The baseline that stands beside what is shown: the mean over the training perturbations."""
        return self.baselines[-1]

    @property
    def at(self) -> tuple[Path, float, str, tuple[str, ...]]:
        """What cached work depends on: index, its version, the run whose split the baselines know, perturbations."""
        return self.index.folder, _changed(self.index), self.runs[0].key, self.labels


def first_choice(key: str, options: Sequence[str], default: list[str]) -> list[str] | None:
    """The default of a multiselect; what was chosen gives way to it where none of that is an option any more."""
    chosen = st.session_state.get(key)
    if chosen and not set(chosen) & set(options):
        st.session_state[key] = default
        return None
    return default


def load_baseline(index: Index, run_id: str, model: str, labels: tuple[str, ...]) -> Prediction:
    """What a baseline fitted on the training part of a run's split predicts."""
    return _baseline(index.folder, _changed(index), run_id, labels, model)


def load_scores_of(comparison: Comparison, own: Prediction) -> pd.DataFrame:
    """perturbation, n_degs and every metric that needs no predicted cells, of one prediction."""
    stored = _load_beside(comparison, own.key)
    return stored if stored is not None else _scores(*comparison.at, own.key, tuple(score_names()), own)


def load_metric(comparison: Comparison, metric: str) -> pd.DataFrame:
    """source, kind, perturbation, n_degs and one metric: of the runs, the baselines and the ceiling."""
    frames = []
    for own in (*comparison.everyone, None):
        key = own.key if own else CEILING
        stored = _load_beside(comparison, key)
        known = stored is not None and metric in stored
        scores = stored if known else _scores(*comparison.at, key, (metric,), own)
        name, kind = (own.name, own.kind) if own else (FULL_NAMES[CEILING], CEILING)
        frames.append(scores[["perturbation", "n_degs", metric]].assign(source=name, kind=kind))
    return pd.concat(frames, ignore_index=True)


def load_means(comparison: Comparison) -> pd.DataFrame:
    """source and mean of every metric: as stored with the runs, where all perturbations of their part are compared."""
    first = comparison.records[comparison.runs[0].key]
    rows = []
    for own in comparison.runs:
        run = comparison.records[own.key]
        rows.append({"source": own.name} | _stored_means(comparison, run, run.spec.model))
    for own in comparison.baselines:
        rows.append({"source": own.name} | _stored_means(comparison, first, own.key))
    rows.append({"source": FULL_NAMES[CEILING]} | _stored_means(comparison, first, CEILING))
    return pd.DataFrame(rows, columns=["source", *score_names()])


def load_stored(comparison: Comparison, own: Prediction, scorer: ScorerName) -> pd.DataFrame | None:
    """The stored scores of a run's perturbations; None where there are none, or of others than are compared."""
    run = comparison.records.get(own.key)
    if run is None:
        return None
    path = run.folder / "scores" / f"{scorer}-{comparison.part}.json"
    table = _stored(run.id, scorer, comparison.part, path.stat().st_mtime if path.exists() else 0.0)
    return table if table is not None and set(table["perturbation"]) == set(comparison.labels) else None


def load_confusion(comparison: Comparison, own: Prediction, distance: Distance) -> Confusion:
    """Who is mistaken for whom."""
    return _confusion(*comparison.at, own.key, distance, own)


def load_overlap(comparison: Comparison) -> pd.DataFrame:
    """DEGs found by each prediction."""
    return _overlap(*comparison.at, tuple(own.key for own in comparison.everyone), comparison.everyone)


def load_findings(comparison: Comparison, own: Prediction) -> list[Finding]:
    """What is wrong with a prediction, the worst first."""
    return _findings(*comparison.at, own.key, own)


def load_own_cells(comparison: Comparison, own: Prediction, label: str) -> csr_matrix | None:
    """Some of the cells of a perturbation that are stored with a run; None where they are made from the controls."""
    run = comparison.records.get(own.key)
    return _cells(run.folder, label) if run is not None and not MODELS[run.spec.model].trainable else None


def _load_beside(comparison: Comparison, key: str) -> pd.DataFrame | None:
    """The table stored at training: of a run, of a baseline of the first run or of its ceiling; None where it is of
    other perturbations than are compared.
    """
    run = comparison.records.get(key, comparison.records[comparison.runs[0].key])
    path = run.folder / "scores" / REFERENCES.format(part=comparison.part)
    tables = _references(run.id, comparison.part, path.stat().st_mtime if path.exists() else 0.0)
    table = tables.get(run.spec.model if key in comparison.records else key)
    return table if table is not None and set(table["perturbation"]) == set(comparison.labels) else None


def _stored_means(comparison: Comparison, run: RunRecord, name: str) -> dict[str, float | None]:
    """Empty where the run was judged on other perturbations than are compared."""
    own, _ = run.prediction(comparison.part)
    return run.metrics.get(comparison.part, {}).get(name, {}) if set(own) == set(comparison.labels) else {}


def _changed(index: Index) -> float:
    return (index.folder / "index.json").stat().st_mtime


@st.cache_resource(max_entries=16, show_spinner=False)
def _baseline(folder: Path, changed: float, run_id: str, labels: tuple[str, ...], model: str) -> Prediction:
    from vccapp.training import load_run

    split = load_run(run_id, current_settings()).split
    return fit_baseline(load_index(folder), split, model=model, labels=labels)


@st.cache_resource(max_entries=96, show_spinner="Scoring every perturbation")
def _scores(
    folder: Path,
    changed: float,
    first: str,
    labels: tuple[str, ...],
    key: str,
    names: tuple[str, ...],
    _own: Prediction | None,
) -> pd.DataFrame:
    """Scores of a prediction, of the ceiling where it is None. first, key : which it is."""
    index = load_index(folder)
    if _own is None:
        return compute_metrics(*half_profiles(index, labels), names)
    return compute_metrics(real_profiles(index, labels), predicted_profiles(index, _own.deltas, labels), names)


@st.cache_resource(max_entries=24, show_spinner="Measuring distances")
def _confusion(
    folder: Path, changed: float, first: str, labels: tuple[str, ...], key: str, distance: Distance, _own: Prediction
) -> Confusion:
    index = load_index(folder)
    return compute_confusion(
        real_profiles(index, labels), predicted_profiles(index, _own.deltas, labels), distance=distance
    )


@st.cache_resource(max_entries=8, show_spinner="Counting shared DEGs")
def _overlap(
    folder: Path,
    changed: float,
    first: str,
    labels: tuple[str, ...],
    keys: tuple[str, ...],
    _everyone: tuple[Prediction, ...],
) -> pd.DataFrame:
    return compute_overlap(load_index(folder), _everyone, labels=labels)


@st.cache_resource(max_entries=24, show_spinner=False)
def _findings(
    folder: Path, changed: float, first: str, labels: tuple[str, ...], key: str, _own: Prediction
) -> list[Finding]:
    return compute_diagnostics(load_index(folder), labels, _own.deltas)


@st.cache_resource(max_entries=32, show_spinner=False)
def _references(run_id: str, part: str, changed: float) -> dict[str, pd.DataFrame]:
    from vccapp.training import load_run

    return load_references(load_run(run_id, current_settings()), part)


@st.cache_resource(max_entries=32, show_spinner=False)
def _stored(run_id: str, scorer: ScorerName, part: str, changed: float) -> pd.DataFrame | None:
    from vccapp.training import load_run

    try:
        return load_score(load_run(run_id, current_settings()), scorer, part)[1]
    except SpecError:
        return None


@st.cache_resource(max_entries=4, show_spinner="Reading predicted cells")
def _cells(folder: Path, label: str) -> csr_matrix:
    model = load_model(folder / "model")
    n_cells = min(model.available_cells(label) or 0, MAX_CELLS)
    return model.cells(label, csr_matrix((n_cells, len(model.genes)), dtype=np.float32))
