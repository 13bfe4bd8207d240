"""The two numbers that Scouter's paper reports, on the top 20 genes that are not dropouts.

Genes are ranked by |Welch's t| of the real cells against the controls; a dropout is a gene that the perturbation has in
no cell while the controls have it. Of the first 20 others the perturbed genes themselves are taken out.
"""

from functools import partial

import numpy as np

from vccapp.data.schema import genes_of
from vccapp.evaluation.metrics.base import metric
from vccapp.evaluation.metrics.correlation import correlate, find_largest
from vccapp.evaluation.metrics.errors import divide
from vccapp.evaluation.profiles import Profiles, known

metric_on_top = partial(metric, source="Scouter, doi:10.1038/s43588-025-00912-8", needs="t_score", best="low")
TOP = 20


@metric_on_top(
    "scouter_pcc_error",
    label="1 - Pearson, top 20 DEGs",
    range="0 to 2",
)
def scouter_pcc_error(real: Profiles, predicted: Profiles) -> np.ndarray:
    """1 - Pearson correlation of deltas."""
    return np.array([1 - correlate(*pair)[0] for pair in _top_deltas(real, predicted)])


@metric_on_top(
    "scouter_nmse",
    label="Normalised MSE, top 20 DEGs",
    range="0 or more; 1 = no change predicted",
)
def scouter_nmse(real: Profiles, predicted: Profiles) -> np.ndarray:
    """Mean squared error over that of predicting the control."""
    pairs = _top_deltas(real, predicted)
    error = np.array([np.square(guess - truth).sum() for truth, guess in pairs])
    return divide(error, np.array([np.square(truth).sum() for truth, _ in pairs]))


def _top_deltas(real: Profiles, predicted: Profiles) -> list[tuple[np.ndarray, np.ndarray]]:
    """Real and predicted deltas, (1, at most TOP) each, of every perturbation; of no gene where t is not known."""
    dropout, t_score = (real.means == 0) & (real.control_mean != 0), known(real.t_score)
    tops = find_largest(np.where(dropout, -1, np.abs(t_score)), TOP)
    pairs = []
    for row, (label, genes) in enumerate(zip(real.labels, tops, strict=True)):
        told = ~dropout[row, genes] & np.isfinite(t_score[row, genes])
        top = genes[told & ~np.isin(real.genes[genes], genes_of(label))]
        pairs.append((real.deltas[row : row + 1, top], predicted.deltas[row : row + 1, top]))
    return pairs
