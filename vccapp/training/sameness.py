"""Whether a run predicts one effect for all perturbations, under the name of a model that promises to tell them apart.

A closed form that finds nothing to learn ends as a mean effect: a kernel ridge that leave-one-out shrinks wholly, the
additive model on genes of which it has seen no single perturbation.
"""

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from vccapp.data.schema import context_of, positions_of
from vccapp.models.base import targets
from vccapp.models.parts.knockdown import own_targets


def is_same_for_all(labels: Sequence[str], deltas: np.ndarray, genes: Iterable[str]) -> bool:
    """Whether perturbations of as many genes in one context are predicted alike, but for the targets themselves.

    deltas : (labels, n_genes) log1p, as predicted. False where no two are of a kind
    """
    position = positions_of(genes)
    apart = np.ones(deltas.shape[1], bool)
    apart[own_targets(labels, position)[1]] = False
    kinds = pd.Series(range(len(labels))).groupby([f"{len(targets(label))} {context_of(label)}" for label in labels])
    several = [deltas[rows][:, apart] for rows in kinds.groups.values() if len(rows) > 1]
    return bool(several) and all(np.ptp(found, axis=0).max(initial=0.0) < 1e-6 for found in several)
