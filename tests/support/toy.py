"""Small made-up perturb-seq counts, as AnnData, for tests that need no realism."""

import anndata as ad
import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix


def make_counts(n_cells: int = 300, n_genes: int = 60, n_perturbations: int = 4, *, seed: int = 0) -> ad.AnnData:
    """Poisson counts; perturbation k silences gene k and halves the five genes after it; a third are controls.

    Gene 0 of the last ten is never expressed; the one after it is 1 in every cell (a constant); one count is 400.
    """
    rng = np.random.default_rng(seed)
    names = np.array([f"GENE{i}" for i in range(n_genes)])
    targets = [*names[:n_perturbations], *["non-targeting"] * max(1, n_perturbations // 2)]
    label = np.array(targets)[np.arange(n_cells) % len(targets)]
    rng.shuffle(label)
    rate = rng.gamma(1.0, 2.0, n_genes) * rng.lognormal(0, 0.3, (n_cells, 1))
    for k in range(n_perturbations):
        rate[np.ix_(label == names[k], range(k + 1, min(k + 6, n_genes)))] *= 0.5
        rate[label == names[k], k] *= 0.1
    x = rng.poisson(rate).astype(np.float32)
    x[:, -10] = 0
    x[:, -9] = 1
    x[0, -8] = 400
    guide = [f"{target}_g{i % 2}" for i, target in enumerate(label)]
    obs = pd.DataFrame(
        {"target_gene": label, "guide_id": guide, "batch": [f"b{i % 3}" for i in range(n_cells)]},
        index=[f"cell{i}" for i in range(n_cells)],
    )
    return ad.AnnData(csr_matrix(x), obs=obs, var=pd.DataFrame(index=names))
