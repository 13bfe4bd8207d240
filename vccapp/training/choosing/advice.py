"""Which model to try first on these data, and why: a rule in words, and what comes of it.

first = advise(split, coverage)        # Advice("ridge", "12 of 12 held-out targets have a vector.")
"""

from dataclasses import dataclass

import pandas as pd

from vccapp.data.schema import context_of, label_in
from vccapp.data.splits.split import Split
from vccapp.models.base import targets

MIN_TRAIN = 10
"""Training perturbations below which vectors tell little: the smallest set on which ridge gained had 16."""
RULE = (
    "Pairs of genes whose single perturbations are mostly in training: Additive. Otherwise, where half of the held-out "
    f"targets have a gene vector and at least {MIN_TRAIN} perturbations are in training: Ridge on gene vectors. "
    "Otherwise: Knock-down mean. Networks come last: with 6 to 60 training perturbations they ended in our "
    "measurements where the ridge that they start from was."
)


@dataclass(frozen=True)
class Advice:
    """A model, and why it is tried first, in a sentence."""

    model: str
    reason: str


def advise(split: Split, coverage: pd.DataFrame) -> Advice:
    """RULE, on a split. coverage : of the default embedding, see `measure_coverage`"""
    held_out = [*split.val, *split.test]
    pairs = [label for label in held_out if len(targets(label)) > 1]
    singles = {label_in(gene, context_of(label)) for label in pairs for gene in targets(label)}
    measured = len(singles & set(split.train))
    if len(pairs) > len(held_out) / 2 and measured >= len(singles) / 2:
        return Advice(
            "additive",
            f"{len(pairs)} of {len(held_out)} held-out perturbations are pairs, and {measured} of their "
            f"{len(singles)} genes are perturbed alone in training.",
        )
    parts = coverage.set_index("part").loc[["val", "test"]]
    known, wanted = int(parts["known"].sum()), int(parts["targets"].sum())
    n_train = len(split.train)
    if n_train >= MIN_TRAIN and known >= wanted / 2:
        return Advice(
            "ridge",
            f"{known} of {wanted} held-out targets have a gene vector, and there are {n_train} perturbations to "
            "learn from.",
        )
    if n_train < MIN_TRAIN:
        return Advice("knockdown_mean", f"{n_train} training perturbations are too few to learn from gene vectors.")
    return Advice("knockdown_mean", f"Only {known} of {wanted} held-out targets have a gene vector.")
