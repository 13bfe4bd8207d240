"""Calibrating a run: which perturbations tell what is best, and the run that a choice becomes.

    held_out = find_held_out(run, find_fellows(run, list_runs(settings)))
    opened = open_pool(index, held_out)
    draw_curves(opened.pool, Setting(amplitude=0.8), opened.references)
    train(calibrated_spec(held_out, Setting(amplitude=0.8)), settings, run_id=...)

Told by are the validation parts of the run and of its fellows: runs of the same model with the same parameters on other
splits of the data, such as folds. The test part of the run takes no part, nor do fellows that have learnt from it or
were chosen by it.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from vccapp.data.schema import positions_of
from vccapp.errors import SpecError
from vccapp.evaluation.calibration.pool import METRICS, Pool
from vccapp.evaluation.comparison.prediction import fit_baseline
from vccapp.evaluation.limits import compute_limits
from vccapp.evaluation.profiles import predicted_profiles, real_profiles
from vccapp.evaluation.scoring.score import compute_metrics
from vccapp.models.base import label_model
from vccapp.models.calibrated import Calibrated
from vccapp.models.calibration.basis import find_components, measure_basis
from vccapp.models.calibration.prepared import Prepared
from vccapp.models.calibration.setting import MAX_COMPONENTS, Setting
from vccapp.references import FLOORS
from vccapp.stats.index import Index
from vccapp.training.record import RunRecord, RunSpec

SAME = ("dataset", "model", "params", "seed")
"""What a run and its fellows share."""


@dataclass(frozen=True)
class HeldOut:
    """run : the one to be calibrated; by : of it and its fellows, the perturbations that each tells about."""

    run: RunRecord
    by: tuple[tuple[RunRecord, tuple[str, ...]], ...]

    @property
    def labels(self) -> tuple[str, ...]:
        return tuple(sorted(label for _, own in self.by for label in own))

    def describe(self) -> str:
        """Which perturbations these are, in a sentence."""
        own = any(run.id == self.run.id for run, _ in self.by)
        others = len(self.by) - own
        many = f"{others} other run{'s' * (others > 1)} of its model"
        whose = " and of ".join([*(["the run"] if own else []), *([many] if others else [])])
        tested = f"; its test part ({len(self.run.split.test):,}) takes no part" if self.run.split.test else ""
        return f"{len(self.labels):,} held-out perturbations: the validation part of {whose}{tested}."


@dataclass(frozen=True)
class OpenedPool:
    """references : scores of each perturbation by FLOORS and LIMITS"""

    pool: Pool
    references: dict[str, pd.DataFrame]


def find_fellows(run: RunRecord, runs: Iterable[RunRecord]) -> list[RunRecord]:
    """Those of the runs that may tell about the same model on other perturbations, in their order."""
    return [other for other in runs if other.id != run.id and not _explain_stranger(run, other)]


def find_held_out(run: RunRecord, fellows: Iterable[RunRecord] = ()) -> HeldOut:
    """Each perturbation is told about by the run itself, else by the first fellow that holds it out.

    Raises SpecError for a run that is not finished or is calibrated itself, for a fellow that is none, and where
    nothing is held out.
    """
    if run.spec.model == Calibrated.name:
        raise SpecError(
            "calibrated_twice", f"The run {run.id} is a calibrated one", fix="calibrate the run that it was made from"
        )
    by: list[tuple[RunRecord, tuple[str, ...]]] = []
    taken: set[str] = set()
    for other in (run, *fellows):
        if other.id != run.id and (reason := _explain_stranger(run, other)):
            raise SpecError(
                "not_a_fellow", f"The run {other.id} {reason}", fix=f"leave it out, or calibrate {run.id} alone"
            )
        labels = tuple(label for label in other.prediction("val")[0] if label not in taken)
        taken.update(labels)
        if labels:
            by.append((other, labels))
    if not by:
        raise SpecError(
            "nothing_held_out",
            f"The run {run.id} has no validation part that tells what is best",
            fix="train it on a split with a validation part, or the same model on folds",
        )
    return HeldOut(run, tuple(by))


def _explain_stranger(run: RunRecord, other: RunRecord) -> str:
    """Why another run cannot tell what is best for one; "" where it can."""
    if other.state != "finished":
        return f"is {other.state}"
    if any(getattr(other.spec, name) != getattr(run.spec, name) for name in SAME):
        return f"is not of the same data, model, parameters and seed as {run.id}"
    if not set(run.split.test).isdisjoint([*other.split.train, *other.split.val]):
        return f"has learnt from the test part of {run.id} or was chosen by it"
    return ""


def open_pool(index: Index, held_out: HeldOut) -> OpenedPool:
    """What each run predicts of its perturbations, made ready, and the floors and limits beside it.

    Holds 28 bytes a value of (perturbations, n_genes) while the floors are scored, then 20.
    """
    labels = held_out.labels
    place, genes = positions_of(labels), index.genes["gene"].to_numpy(str)
    parts, floors = [], {name: np.empty((len(labels), len(genes)), np.float32) for name in FLOORS}
    components = find_components(index, MAX_COMPONENTS)
    for run, own in held_out.by:
        known, deltas = run.prediction("val")
        row = positions_of(known)
        basis = replace(measure_basis(index, run.split.train, n_components=0), components=components)
        rows = np.array([place[label] for label in own])
        own_deltas = np.asarray(deltas)[[row[label] for label in own]]
        control = index.control_means(own)
        parts.append((rows, Prepared.of(own, own_deltas, basis, control=control, genes=genes)))
        for name, every in floors.items():
            every[rows] = fit_baseline(index, run.split, model=name, labels=own).deltas
    real = real_profiles(index, labels)
    references = {
        name: compute_metrics(real, predicted_profiles(index, deltas, labels), METRICS)
        for name, deltas in floors.items()
    }
    return OpenedPool(Pool(index, labels, parts), references | compute_limits(index, labels, METRICS))


def calibrated_spec(held_out: HeldOut, setting: Setting, *, title: str = "") -> RunSpec:
    """The run that a choice becomes: on the split of the run that is calibrated, named by what is changed.

    A title of one's own has the word in it too: where titles stand alone it must not pass for the other run.
    """
    run = held_out.run
    name = run.title or label_model(run.spec.model)
    return RunSpec(
        model=Calibrated.name,
        params={"run": str(run.folder), "setting": setting.changed, "chosen_on": list(held_out.labels)},
        dataset=run.spec.dataset,
        split=run.spec.split,
        title=title if "calibrated" in title.lower() else f"{title or name} calibrated: {setting.describe()}",
    )
