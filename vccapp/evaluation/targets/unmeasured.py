"""What to silence next: genes that nobody silenced in these cells, by predicted effect and how runs disagree on it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from vccapp.errors import SpecError
from vccapp.evaluation.targets.library import Library
from vccapp.evaluation.targets.ranking import Goal
from vccapp.evaluation.targets.score import keep_extremes, score_effects
from vccapp.evaluation.targets.signature import Signature, place


@dataclass(frozen=True)
class Unmeasured:
    """genes : rank, gene, effect, spread, upper, cosine, expression, basis, confidence (by the first run);
    the best first

    effect : length of the mean predicted delta without the own target, log1p units; spread : root mean squared length
    of the runs' differences from it (n - 1), NaN for one run; upper : effect plus spread; cosine : of the
    predictions with the signature, mean over the runs; NaN without one
    """

    genes: pd.DataFrame


def rank_unmeasured(
    libraries: Sequence[Library], *, signature: Signature | None = None, goal: Goal = "reverse"
) -> Unmeasured:
    """One library of predicted effects a run, of the same genes. With a signature its cosine ranks, else `upper`.

    Raises SpecError where the runs predict other genes, or for what is refused of the signature.
    """
    first = libraries[0]
    if any(own.labels != first.labels or own.effects.genes != first.effects.genes for own in libraries):
        raise SpecError("other_predictions", "The runs predict other genes", fix="choose runs on the same dataset")
    places, n = np.arange(len(first.effects.genes)), len(libraries)
    effect, spread = np.empty(len(first.labels)), np.full(len(first.labels), np.nan)
    for parts in zip(*(own.effects.blocks(places) for own in libraries), strict=True):
        rows = parts[0][0]
        mean = np.mean([block for _, block, _ in parts], axis=0)
        effect[rows] = np.linalg.norm(mean, axis=1)
        if n > 1:
            squares = sum(np.square(block - mean).sum(axis=1, dtype=np.float64) for _, block, _ in parts)
            spread[rows] = np.sqrt(squares / (n - 1))
    cosine = np.full(len(first.labels), np.nan)
    if signature is not None:
        placed = place(signature, first.effects.genes)
        strong = keep_extremes(placed.values)
        cosine = np.mean([score_effects(own.effects, placed.places, strong).cosine[:, 0] for own in libraries], axis=0)
    table = first.about[["perturbation", "expression", "basis", "confidence"]].rename(columns={"perturbation": "gene"})
    table = table.assign(effect=effect, spread=spread, upper=effect + np.nan_to_num(spread), cosine=cosine)
    by = ("upper", False) if signature is None else ("cosine", goal == "reverse")
    table = table.sort_values(by[0], ascending=by[1], kind="stable", na_position="last", ignore_index=True)
    table["rank"] = np.arange(1, len(table) + 1)
    return Unmeasured(
        table[["rank", "gene", "effect", "spread", "upper", "cosine", "expression", "basis", "confidence"]]
    )
