"""Does the confidence of a prediction tell how well it will do? Rank correlations, for docs/results.md."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import rankdata

MODELS = ("kernel ridge", "nearest genes", "ensemble", "perturbation mean")
DRAWS = 2000
HEAD = """## How sure

The confidence of a prediction ([models.md](models.md#how-sure-a-prediction-is)) against the correlation of deltas that
it reached: Spearman's rank correlation over the held-out perturbations of all folds, each with the confidence that the
training part of its fold gave it, and its 95 % interval (bootstrap of perturbations, which takes them as independent).
*Real sets together* ranks within each set. The confidence was not tuned on any of these figures.
"""


def explain_confidence(cases: Sequence[Mapping[str, Any]]) -> str:
    """cases : of results/accuracy.json; those without confidences are left out."""
    known = [case for case in cases if "confidence" in case and len(case["labels"]) > 5]
    if not known:
        return ""
    real = [case for case in known if not case["case"].startswith("Simulated")]
    lines = [HEAD, f"| perturbations | n | {' | '.join(MODELS)} |", f"|---|---|{'---|' * len(MODELS)}"]
    for title, group in [*((case["case"], [case]) for case in known), ("Real sets together", real)]:
        cells = [_cell(group, model) for model in MODELS]
        lines.append(f"| {title} | {sum(len(case['labels']) for case in group)} | {' | '.join(cells)} |")
    lines.append(f"\n{_say(real)}")
    return "\n".join(lines) + "\n"


def _say(real: Sequence[Mapping[str, Any]]) -> str:
    """What the real sets show, in a sentence."""
    _, low, high = _measure(real, MODELS[0])
    if low <= 0 <= high:
        told = "it is not shown that the confidence tells good predictions from bad ones: the interval includes 0"
    else:
        told = f"predictions of a higher confidence are {'better' if low > 0 else 'worse'}"
    return f"On the real sets together {told}."


def _cell(cases: Sequence[Mapping[str, Any]], model: str) -> str:
    found, low, high = _measure(cases, model)
    return "" if np.isnan(found) else f"{found:+.2f} ({low:+.2f} to {high:+.2f})"


def _measure(cases: Sequence[Mapping[str, Any]], model: str) -> tuple[float, float, float]:
    """The rank correlation and its interval; NaN where the model was not run."""
    pairs = [_pair(case, model) for case in cases if model in case["scores"]]
    if not pairs:
        return np.nan, np.nan, np.nan
    rng = np.random.default_rng(0)
    drawn = [correlate_ranks([own[rng.integers(len(own), size=len(own))] for own in pairs]) for _ in range(DRAWS)]
    low, high = np.nanquantile(drawn, [0.025, 0.975])
    return correlate_ranks(pairs), float(low), float(high)


def _pair(case: Mapping[str, Any], model: str) -> np.ndarray:
    """(n, 2) confidence and reached r of the perturbations that have both; no prediction of change reaches none."""
    table = pd.DataFrame({"confidence": case["confidence"], "r": case["scores"][model]["pearson_delta"]}, dtype=float)
    return table.dropna().to_numpy()


def correlate_ranks(pairs: Sequence[np.ndarray]) -> float:
    """Spearman's rank correlation of the columns of (n, 2), of several tables with ranks within each; NaN: constant."""
    ranks = [(rankdata(own, axis=0) - (len(own) + 1) / 2) / len(own) for own in pairs]
    first, second = np.concatenate(ranks).T
    lengths = np.linalg.norm(first) * np.linalg.norm(second)
    return float(first @ second / lengths) if lengths else float("nan")
