"""What is wrong with a prediction, and what to do: findings that no score gives.

    findings = compute_diagnostics(index, labels, deltas)                       # pseudobulks alone
    findings = compute_diagnostics(index, labels, deltas, cells=statistics)     # and what a few cells show

Each `find_...` is pure and looks for one fault; `compute_diagnostics` puts them together, the worst first.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Literal

import numpy as np
import pandas as pd

from vccapp.data.schema import context_of, control_of
from vccapp.evaluation.comparison.comparison import Comparison
from vccapp.evaluation.comparison.prediction import Prediction
from vccapp.evaluation.quality import (
    LABELS,
    NO_EFFECT,
    SILENCED,
    Limits,
    find_targets,
    judge_collapse,
    judge_library,
    judge_profiles,
    judge_targets,
    measure_collapse,
    measure_folds,
)
from vccapp.stats.pseudobulks import Pseudobulks

Status = Literal["ok", "warning", "problem", "skipped"]
ORDER: dict[Status, int] = {"problem": 0, "warning": 1, "ok": 2, "skipped": 3}

SAME = 1e-6
"""Predicted pseudobulks this near to the real ones, log1p units, are the real cells'."""
VARIANCE = Limits(warning=0.7, problem=0.3)
"""Of the real variance between cells, what predicted cells must have."""
AMPLITUDE = Limits(warning=1.5, problem=4.0)
"""How far the best factor on the predicted deltas may be from 1, either way."""
OFFSET = Limits(warning=2.0, problem=4.0)
"""The mean predicted delta may exceed the real one by so many typical real effects."""
LOGGED_TWICE = 0.5
"""Pseudobulks this much nearer to log1p of the controls than to the controls themselves may be logged twice."""
LIKE_LOGGED = 0.3
"""They are, where they are also this near to log1p of the controls, relative to its length."""
ENOUGH = 0.2
"""Correlation that a prediction needs before an amplitude can be said to be wrong."""


@dataclass(frozen=True)
class Finding:
    """value : the figure behind it, None where it could not be told; message : what was found; advice : what to do."""

    name: str
    label: str
    status: Status
    value: float | None
    message: str
    advice: str = ""


@dataclass(frozen=True)
class Diagnostics:
    """findings : name, label, status, value, message, advice of one prediction, the worst first.

    by_source : source, and the status of each finding of every prediction
    """

    findings: pd.DataFrame
    by_source: pd.DataFrame


@dataclass(frozen=True)
class CellStatistics:
    """What a few predicted cells of each of some perturbations show, beside as many control cells of the data.

    labels : perturbations looked at; variance : (n, n_genes) between predicted cells; total : (n,) median sum of expm1
    control_total : (n,) median sum of expm1 of the control cells of its context
    n_cells, n_profiles : (n,) predicted cells, and how many of them are different
    """

    labels: tuple[str, ...]
    variance: np.ndarray
    total: np.ndarray
    control_total: np.ndarray
    n_cells: np.ndarray
    n_profiles: np.ndarray

    def within(self, context: str | None) -> "CellStatistics":
        own = [i for i, label in enumerate(self.labels) if context_of(label) == context]
        arrays = {field.name: getattr(self, field.name)[own] for field in fields(self) if field.name != "labels"}
        return CellStatistics(labels=tuple(self.labels[i] for i in own), **arrays)


def view_diagnostics(comparison: Comparison, shown: Prediction) -> Diagnostics:
    """What is wrong with `shown`, and how each of the others fares; from pseudobulks alone."""

    def find(own: Prediction) -> list[Finding]:
        return comparison.keep(
            ("diagnostics", own.key), lambda: compute_diagnostics(comparison.index, comparison.labels, own.deltas)
        )

    return tabulate_diagnostics({own.name: find(own) for own in comparison.predictions}, shown.name)


def tabulate_diagnostics(findings: Mapping[str, Sequence[Finding]], shown: str) -> Diagnostics:
    """findings : by source, among them `shown`."""
    rows = [{"source": name} | {found.label: found.status for found in own} for name, own in findings.items()]
    columns = [field.name for field in fields(Finding)]
    return Diagnostics(pd.DataFrame(map(asdict, findings[shown]), columns=columns), pd.DataFrame(rows))


def compute_diagnostics(
    index: Pseudobulks,
    labels: Sequence[str],
    deltas: np.ndarray,
    *,
    cells: CellStatistics | None = None,
    file_control: np.ndarray | None = None,
) -> list[Finding]:
    """All findings, the worst first; of several contexts the worst of each kind, which then names its context.

    deltas : (labels, n_genes) predicted, log1p units; cells : of some predicted cells
    file_control : (labels, n_genes) mean of the prediction's own controls of each, where it came with some
    """
    worst: dict[str, Finding] = {}
    contexts = dict.fromkeys(map(context_of, labels))
    for context in contexts:
        own = [i for i, label in enumerate(labels) if context_of(label) == context]
        found = _diagnose(
            index,
            [labels[i] for i in own],
            np.asarray(deltas, np.float64)[own],
            cells=cells and cells.within(context),
            file_control=None if file_control is None else file_control[own[0]],
        )
        for finding in found:
            if len(contexts) > 1:
                finding = replace(finding, message=f"{context}: {finding.message}")
            if finding.name not in worst or ORDER[finding.status] < ORDER[worst[finding.name].status]:
                worst[finding.name] = finding
    return sorted(worst.values(), key=lambda finding: ORDER[finding.status])


def _diagnose(
    index: Pseudobulks,
    labels: Sequence[str],
    predicted: np.ndarray,
    *,
    cells: CellStatistics | None,
    file_control: np.ndarray | None,
) -> list[Finding]:
    """Of the perturbations of one context."""
    real, control = index.deltas(labels).astype(np.float64), index.mean(control_of(labels[0])).astype(np.float64)
    genes = index.genes["gene"].tolist()
    findings = [
        find_real_cells(real, predicted),
        find_mode_collapse(real, predicted, control),
        find_amplitude(real, predicted),
        find_target(real, predicted, control, labels=labels, genes=genes),
        find_double_log(predicted, control),
        find_wrong_control(real, predicted, control, file_control=file_control),
    ]
    if cells is None:
        findings.append(find_library_size(_totals(predicted + control), float(_totals(control[None])[0])))
    elif cells.labels:
        findings.append(find_library_size(cells.total, float(cells.control_total[0])))
        rows = np.array([index.labels.index(label) for label in cells.labels])
        several = (index.perturbations["n_cells"].to_numpy()[rows] > 1) & (
            cells.n_cells > 1
        )  # one cell has no variance
        variance = np.asarray(index.array("variance")[rows[several]], np.float64)
        findings.append(find_lost_variance(variance, cells.variance[several]))
        findings.append(find_identical_cells(cells.n_profiles, cells.n_cells, labels=cells.labels))
    return findings


def find_real_cells(real: np.ndarray, predicted: np.ndarray) -> Finding:
    """real, predicted : (n, n_genes) deltas, here and below."""
    furthest = float(np.abs(predicted - real).max()) if real.size else np.inf
    label = "Not a copy of the real data"
    if furthest > SAME:
        return Finding(
            "real_cells", label, "ok", furthest, f"Predicted and real pseudobulks differ by up to {furthest:.2g}."
        )
    return Finding(
        "real_cells",
        label,
        "problem",
        furthest,
        f"The predicted pseudobulks are the real ones (largest difference {furthest:.1g}).",
        "The file contains the real cells, or the model was trained on them; use the matrix with the prediction.",
    )


def find_mode_collapse(real: np.ndarray, predicted: np.ndarray, control: np.ndarray) -> Finding:
    """Whether perturbations differ from the controls and from each other. control : (n_genes,) mean log1p."""
    name, label = "mode_collapse", LABELS["mode_collapse"]
    if len(real) < 2:
        return Finding(name, label, "skipped", None, "There are fewer than two perturbations to compare.")
    own, true = measure_collapse(predicted, control), measure_collapse(real, control)
    if judge_collapse(true) != "ok":
        return Finding(name, label, "skipped", None, "The real perturbations hardly differ either.")
    status = judge_collapse(own)
    message = f"{own.specific:.0%} of the mean effect is specific to single perturbations; in the real cells "
    message += f"{true.specific:.0%}."
    if status == "ok":
        return Finding(name, label, status, own.specific, message)
    advice = (
        "Discrimination scores will be at chance. Check that the model uses the perturbation (embedding, "
        "learning rate, weight of the loss on deltas). Mean baselines do this by design."
    )
    if own.effect <= NO_EFFECT:
        message = "No perturbation has any effect: the prediction is the control mean."
    return Finding(name, label, status, own.specific, message, advice)


def find_amplitude(real: np.ndarray, predicted: np.ndarray) -> Finding:
    """The factor on all deltas that brings them nearest to the real ones (least squares)."""
    label, length = "Amplitude", float((predicted**2).sum())
    if not length or not (real**2).sum():
        return Finding("amplitude", label, "skipped", None, "There is no effect whose amplitude could be measured.")
    product = float((real * predicted).sum())
    factor, agreement = product / length, product / np.sqrt(length * (real**2).sum())
    if agreement < ENOUGH:
        message = f"The deltas hardly agree with the real ones (cosine {agreement:.2f}), so no factor helps."
        return Finding("amplitude", label, "warning", factor, message, "Improve the direction of the effects first.")
    before, after = (float(((real - scale * predicted) ** 2).sum() / (real**2).sum()) for scale in (1.0, factor))
    message = f"Deltas times {factor:.2f} would be closest; the squared error changes from {before:.2f} to {after:.2f}"
    message += " of that of predicting no change."
    status = AMPLITUDE.judge(max(factor, 1 / factor))
    too = "small" if factor > 1 else "large"
    advice = f"Effects are too {too}: multiply the predicted deltas by {factor:.2f}." if status != "ok" else ""
    return Finding("amplitude", label, status, factor, message, advice)


def find_target(
    real: np.ndarray, predicted: np.ndarray, control: np.ndarray, *, labels: Sequence[str], genes: Sequence[str]
) -> Finding:
    """Whether targets that are silenced in the real cells are silenced in the predicted ones.

    control : (n_genes,) mean log1p. What is left is expm1(mean) over the control's.
    """
    name, label = "target_gene", LABELS["target_gene"]
    targets = find_targets(labels, genes, control)
    if not len(targets.rows):
        return Finding(name, label, "skipped", None, "No target is among the genes that the controls express.")
    left = [targets.measure_left(delta + control, control) for delta in (real, predicted)]
    silenced = left[0] < SILENCED
    if not silenced.any():
        return Finding(name, label, "skipped", None, "No target is silenced in the real cells.")
    missed = silenced & (left[1] >= SILENCED)
    status = judge_targets(left[1][silenced])
    message = f"{missed.sum():,} of {silenced.sum():,} targets silenced in the real cells are not in the prediction; "
    message += f"median left {np.median(left[1][silenced]):.0%}, really {np.median(left[0][silenced]):.0%}."
    names = [labels[i] for i in targets.rows[missed][:5]]
    advice = f"After predicting, set each target to its expected remaining expression, e.g. {', '.join(names)}."
    value = float(missed.sum() / silenced.sum())
    return Finding(name, label, status, value, message, advice if status != "ok" else "")


def find_library_size(totals: np.ndarray, control_total: float) -> Finding:
    """totals : (n,) of predicted cells of each perturbation, control_total : of control cells; sums of expm1."""
    name, label = "library_size", LABELS["library_size"]
    if not control_total or not len(totals):
        return Finding(name, label, "skipped", None, "There are no totals to compare.")
    ratios = totals / control_total
    status, ratio = judge_library(measure_folds(ratios)), float(np.median(ratios))
    message = f"Predicted cells sum to {ratio:.2f} times the controls' {control_total:,.0f} (expm1 of the values), "
    message += f"single perturbations to {ratios.min():.2f} to {ratios.max():.2f} times."
    advice = (
        "The prediction is on a different scale: normalise training cells to the dataset's target sum, apply natural "
    )
    advice += "log1p, and predict again."
    return Finding(name, label, status, ratio, message, advice if status != "ok" else "")


def find_lost_variance(real: np.ndarray, predicted: np.ndarray) -> Finding:
    """real, predicted : (n, n_genes) variance between cells of each perturbation."""
    label, total = "Variance between cells", float(real.sum())
    if not total:
        return Finding("variance", label, "skipped", None, "The real cells do not vary.")
    ratio = float(predicted.sum() / total)
    message = f"Predicted cells have {ratio:.0%} of the real variance between cells."
    status: Status = VARIANCE.judge(ratio)
    if ratio > 1 / VARIANCE.problem:
        status = "warning"
    advice = "Cells that are too similar give thousands of false DEGs: use real control cells, or sample from "
    advice += "the model's distribution instead of its mean."
    return Finding("variance", label, status, ratio, message, advice if status != "ok" else "")


def find_identical_cells(n_profiles: np.ndarray, n_cells: np.ndarray, *, labels: Sequence[str]) -> Finding:
    """n_profiles, n_cells : (n,) different cells, and cells, of each perturbation."""
    name, label = "identical_cells", LABELS["identical_cells"]
    if not (n_cells > 1).any():
        return Finding(name, label, "skipped", None, "No perturbation has two cells or more.")
    several = n_cells > 1
    shares = np.where(several, n_profiles / n_cells, np.inf)
    worst, status = int(shares.argmin()), judge_profiles(n_profiles, n_cells)
    message = f"{n_profiles[several].sum() / n_cells[several].sum():.0%} of the cells differ, fewest in "
    message += f"{labels[worst]}: {n_profiles[worst]:,} of {n_cells[worst]:,}."
    advice = "Generate each cell from a different control: without variance nearly every gene tests as a DEG."
    return Finding(name, label, status, float(shares.min()), message, advice if status != "ok" else "")


def find_double_log(predicted: np.ndarray, control: np.ndarray) -> Finding:
    """Whether predicted pseudobulks look like log1p of log1p values."""
    label, mean = "Log applied once", (predicted + control).mean(axis=0)
    twice = np.log1p(control)
    far, near = np.linalg.norm(mean - control), np.linalg.norm(mean - twice)
    value = float(near / far) if far else np.inf
    if value < LOGGED_TWICE and near < LIKE_LOGGED * np.linalg.norm(twice):
        return Finding(
            "double_log",
            label,
            "problem",
            value,
            "Predicted pseudobulks are nearer to log1p of the controls' values than to these: log1p was applied twice.",
            "Apply log1p once: give log1p values to a tool that does not apply it, or counts to one that does.",
        )
    return Finding("double_log", label, "ok", value, "Values are on the scale of the controls' log1p values.")


def find_wrong_control(
    real: np.ndarray, predicted: np.ndarray, control: np.ndarray, *, file_control: np.ndarray | None = None
) -> Finding:
    """Whether all perturbations share a shift away from the controls that the real ones do not have.

    file_control : (n_genes,) mean of the prediction's own controls
    """
    label, typical = "Matching controls", float(np.median(np.linalg.norm(real, axis=1)))
    if not typical:
        return Finding("wrong_control", label, "skipped", None, "No real perturbation has an effect.")
    shift = predicted.mean(axis=0) - real.mean(axis=0)
    value = float(np.linalg.norm(shift) / typical)
    message = f"All predictions share a shift of {value:.1f} typical effects that the real ones do not have."
    advice = (
        "The prediction may start from different controls (another batch, cell line or normalisation): predict from "
    )
    advice += "the dataset's own control cells."
    if file_control is not None:
        off = float(np.linalg.norm(file_control - control) / typical)
        message += f" The file's own controls are {off:.1f} typical effects from the data's."
        if off > value / 2 and off > OFFSET.warning:
            advice = "The file's controls have the same shift: add the predicted deltas (against the file's controls) "
            advice += "to the data's control mean instead."
    status = OFFSET.judge(value)
    return Finding("wrong_control", label, status, value, message, advice if status != "ok" else "")


def _totals(means: np.ndarray) -> np.ndarray:
    """(n,) sums of expm1 of pseudobulks: what can be told of totals without cells."""
    return np.expm1(np.clip(means, 0, None)).sum(axis=1)
