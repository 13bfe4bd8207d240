"""False discovery rates (Benjamini & Hochberg 1995), those of `scipy.stats.false_discovery_control` to the last digit.

Own code, as `import scipy.stats` takes 0.4 s: a fifth of the processor time of indexing 20,000 cells x 2,000 genes.
"""

import numpy as np


def adjust_p_values(p_values: np.ndarray) -> np.ndarray:
    """Rates over the last axis, at most 1."""
    order = np.argsort(p_values, axis=-1)
    ranks = np.arange(1, p_values.shape[-1] + 1)
    bounds = np.take_along_axis(p_values, order, axis=-1) * (p_values.shape[-1] / ranks)
    smallest = np.minimum.accumulate(bounds[..., ::-1], axis=-1)[..., ::-1]
    adjusted = np.empty_like(bounds)
    np.put_along_axis(adjusted, order, np.minimum(smallest, 1), axis=-1)
    return adjusted
