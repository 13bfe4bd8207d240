"""Scores along each knob of a calibration, what would be chosen there, and what that choice is worth.

    curves = draw_curves(pool, Setting(amplitude=0.8), references)
    curves.values, curves.choices, curves.scores, curves.warnings

Along a knob the others stay as the setting has them. Who chooses the best value by the same perturbations that it is
judged on gains by chance too. So each choice is also judged by cross-fitting: for each perturbation the value that is
best for all others is taken, and its score is that of this perturbation there. Other perturbations that PDS ranks among
are the same in both.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from vccapp.evaluation.calibration.pool import METRICS, Pool
from vccapp.evaluation.limits import drop_untold, standard_error
from vccapp.evaluation.metrics import METRICS as KNOWN
from vccapp.evaluation.scoring.score import summarise
from vccapp.models.calibration.setting import MAX_COMPONENTS, Setting
from vccapp.parameters import default_of, label_of
from vccapp.references import FLOORS, FULL_NAMES, LIMITS

KNOBS: Mapping[str, tuple[float, ...]] = {
    "amplitude": (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 3.0),
    "target_level": (0.0, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.6, 0.8, 1.0, 1.5, 2.0),
    "shrinkage": (0.0, 0.25, 0.5, 0.75, 1.0),
    "shared": (0.0, 0.25, 0.5, 0.75, 1.0),
    "components": (0, 1, 2, 5, MAX_COMPONENTS),
}
"""Values at which curves are drawn, beside those of the setting."""
CHOSEN, PREDICTED, DIFFERENCE = "as chosen", "as predicted", "difference of the two"
FEW = 20
"""Perturbations below which a choice is said to be uncertain."""


@dataclass(frozen=True)
class Curves:
    """setting : the one looked at; n : perturbations

    values : knob, value (NaN: as predicted), metric, mean, se (standard error over perturbations)
    choices : knob, metric, chosen (its value now), best_value (NaN: as predicted), best_gain (of the best value over
    leaving this knob as predicted; above 0 is better), cross_fitted (the same, each perturbation judged by what is best
    for the others), se (of that), at_end (whether the best value is the last that is allowed)
    scores : source, and of each metric its mean and `<metric> se`; sources: as chosen, as predicted, the difference of
    the two, the floors, repeat and perfect
    """

    setting: Setting
    n: int
    values: pd.DataFrame
    choices: pd.DataFrame
    scores: pd.DataFrame
    warnings: tuple[str, ...]


def draw_curves(pool: Pool, setting: Setting, references: Mapping[str, pd.DataFrame]) -> Curves:
    """references : by FLOORS and LIMITS, the scores of each perturbation of the pool"""
    values, choices = [], []
    for knob in KNOBS:
        grid = _grid(pool, setting, knob)
        scores = np.stack(
            [pool.score(setting.model_copy(update={knob: value})) for value in grid]
        )  # (grid, n, METRICS)
        at = np.array([np.nan if value is None else value for value in grid], float)
        for place, metric in enumerate(METRICS):
            own = pd.DataFrame(scores[:, :, place].T)
            means, errors = own.mean().to_numpy(), own.sem().to_numpy()
            values += [(knob, *row) for row in zip(at, [metric] * len(at), means, errors, strict=True)]
            choices.append((knob, metric, getattr(setting, knob), *judge_choice(own.to_numpy(), at, knob, metric)))
    columns = ["knob", "metric", "chosen", "best_value", "best_gain", "cross_fitted", "se", "at_end"]
    chosen = pd.DataFrame(choices, columns=columns).astype({"chosen": float})
    table = _tabulate(pool, setting, references)
    return Curves(
        setting=setting,
        n=len(pool.labels),
        values=pd.DataFrame(values, columns=["knob", "value", "metric", "mean", "se"]),
        choices=chosen,
        scores=table,
        warnings=tuple(_warn(pool, chosen, table)),
    )


def label_knob(knob: str) -> str:
    return label_of(Setting, knob)


def _grid(pool: Pool, setting: Setting, knob: str) -> list[float | int | None]:
    """The values of a knob, sorted, with that of the setting; `as predicted` last where it is no number."""
    neutral, own = default_of(Setting.model_fields[knob]), getattr(setting, knob)
    most = pool.most_components if knob == "components" else np.inf
    numbers = {value for value in (*KNOBS[knob], own, neutral) if value is not None and value <= most}
    return [*sorted(numbers), *([None] if neutral is None else [])]


def judge_choice(scores: np.ndarray, at: np.ndarray, knob: str, metric: str) -> tuple[float, float, float, float, bool]:
    """From best_value to at_end, see `Curves`. scores : (n, values) of one metric; at : the values, NaN as predicted"""
    sign = 1 if KNOWN[metric].best == "high" else -1
    neutral = default_of(Setting.model_fields[knob])
    start = int(np.flatnonzero(np.isnan(at) if neutral is None else at == neutral)[0])
    known = scores[np.isfinite(scores[:, start])]
    means = np.nan_to_num(sign * known.mean(axis=0) if len(known) else np.full(len(at), np.nan), nan=-np.inf)
    best = start if means.max(initial=-np.inf) <= means[start] else int(means.argmax())
    gains = sign * (known - known[:, [start]])
    cross_fitted = se = np.nan
    if len(known) > 2:
        without = np.nan_to_num(gains.sum(axis=0) - gains, nan=-np.inf)  # of all others, at each value
        picked = np.where(without.max(axis=1) <= without[:, start], start, without.argmax(axis=1))
        judged = gains[np.arange(len(gains)), picked]
        cross_fitted, se = float(judged.mean()), float(judged.std(ddof=1) / np.sqrt(len(judged)))
    ends = {np.nanmin(at), np.nanmax(at)}
    gain = float(gains[:, best].mean()) if len(known) else np.nan
    return float(at[best]), gain, cross_fitted, se, best != start and at[best] in ends


def _tabulate(pool: Pool, setting: Setting, references: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """The `scores` of Curves."""
    own = {
        name: pd.DataFrame(pool.score(which), columns=list(METRICS))
        for name, which in ((CHOSEN, setting), (PREDICTED, Setting()))
    }
    tables = own | {DIFFERENCE: own[CHOSEN] - own[PREDICTED]}
    means = drop_untold({name: summarise(table) for name, table in references.items()})
    rows: list[Mapping[str, object]] = []
    for name, table in tables.items():
        measured = {metric: float(table[metric].mean()) for metric in METRICS}
        rows.append({"source": name} | measured | {f"{metric} se": standard_error(table[metric]) for metric in METRICS})
    for name in (*FLOORS, *LIMITS):
        told: dict[str, float | None] = {metric: means[name].get(metric) for metric in METRICS}
        errors: dict[str, float | None] = {
            f"{metric} se": None if value is None else standard_error(references[name][metric])
            for metric, value in told.items()
        }
        rows.append({"source": FULL_NAMES[name]} | dict(told | errors))
    names = [column for metric in METRICS for column in (metric, f"{metric} se")]
    return pd.DataFrame(rows, columns=["source", *names]).astype(dict.fromkeys(names, float))


def _warn(pool: Pool, choices: pd.DataFrame, scores: pd.DataFrame) -> list[str]:
    found = []
    if len(pool.labels) < FEW:
        found.append(f"Only {len(pool.labels)} perturbations tell what is best, which is uncertain.")
    for knob, own in choices[choices["at_end"]].groupby("knob", sort=False):
        metrics = ", ".join(KNOWN[metric].label for metric in own["metric"])
        found.append(
            f"{label_knob(str(knob))}: the best value for {metrics} is the last that is allowed, so the curve does not "
            "say what is right."
        )
    table = scores.set_index("source")
    floor = FULL_NAMES[FLOORS[-1]]
    for metric in METRICS:
        sign = 1 if KNOWN[metric].best == "high" else -1
        own, least = (table.loc[name, metric] for name in (CHOSEN, floor))
        if KNOWN[metric].season and sign * (own - least) < 0:
            found.append(
                f"{KNOWN[metric].label} as chosen is worse than the perturbation mean's ({own:.4g}, {least:.4g}): "
                "judges who clip their scores at this baseline would not see how much worse."
            )
    return found
