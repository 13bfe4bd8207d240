"""Curves of runs: what they logged while they trained, ready to be laid over each other.

frame = read_curves(runs)                              # run, step, seconds, name, value
best_validation(run, "pearson_delta")                  # the best so far, from the log of one run
smooth(frame["value"], 0.6)
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from vccapp.evaluation.metrics import METRICS
from vccapp.training.metrics_log import NAME, read_metrics
from vccapp.training.record import RunRecord
from vccapp.training.validation import PREFIX, VALIDATION_METRICS

LEARNING_RATE = "learning_rate"
MAX_KEPT = 64
"""Logs that a process keeps, parsed."""
CURVES = ["run", "step", "seconds", "name", "value"]
_kept: dict[Path, tuple[tuple[int, int], pd.DataFrame]] = {}


def read_curves(runs: Sequence[RunRecord]) -> pd.DataFrame:
    """All that these runs logged, without the learning rate and what was no number; CURVES."""
    frames = [_read(run.folder / NAME).assign(run=run.id) for run in runs]
    every = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=CURVES)
    return every[every["name"] != LEARNING_RATE].dropna(subset="value")[CURVES].reset_index(drop=True)


def order_names(frame: pd.DataFrame) -> list[str]:
    """Names of values: the scores of held-out perturbations first, then the terms of the loss."""
    names = list(dict.fromkeys(frame["name"]))
    return sorted(names, key=lambda name: metric_of(name) is None)


def metric_of(name: str) -> str | None:
    """The metric that a logged value is; None for a term of the loss."""
    metric = name.removeprefix(PREFIX)
    return metric if name.startswith(PREFIX) and metric in METRICS else None


def best_validation(run: RunRecord, metric: str) -> float | None:
    """The best score of the validation part: as it ended, or, of a run that has not, of those it logged so far."""
    if run.state == "finished":
        return run.metrics.get("val", {}).get(run.spec.model, {}).get(metric)
    if metric not in VALIDATION_METRICS:
        return None
    frame = _read(run.folder / NAME)
    values = frame.loc[frame["name"] == PREFIX + metric, "value"].dropna()
    if values.empty:
        return None
    return float(values.max() if METRICS[metric].best == "high" else values.min())


def smooth(values: np.ndarray, weight: float) -> np.ndarray:
    """An exponential moving mean that begins at the first value without a bias towards 0. weight : 0 none, below 1"""
    if not weight or not len(values):
        return values
    means = pd.Series(values).ewm(alpha=1 - weight, adjust=True).mean()
    return means.to_numpy()


def _read(path: Path) -> pd.DataFrame:
    """The log at a path, read again when it has grown."""
    try:
        found = path.stat()
    except OSError:
        return read_metrics(path.parent)
    stamp = (found.st_size, found.st_mtime_ns)
    known = _kept.get(path)
    if known is not None and known[0] == stamp:
        return known[1]
    frame = read_metrics(path.parent)
    while len(_kept) >= MAX_KEPT:
        _kept.pop(next(iter(_kept)))
    _kept[path] = stamp, frame
    return frame
