"""A good submission of counts in two contexts, as files: toy cells by the rules of the season of 2026."""

from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import scipy.sparse as sp
from toy_seasons import toy_season

GENES = [f"G{i}" for i in range(40)]
CONTEXTS = ("A", "B")
TARGETS = ("G1", "G2", "G3")
EXACT = 20
DEPTHS = {"A": 180, "B": 240}
SEASON = toy_season(
    "vcc2026",
    n_genes=len(GENES),
    targets=dict.fromkeys(TARGETS),
    contexts=CONTEXTS,
    cells_per_target=EXACT,
    max_cells=200,
    max_values=10_000,
    max_cell_total=2_000.0,
    depth=None,
)


def level(context: str) -> np.ndarray:
    """Mean counts of a control cell of a context: some genes are of one context alone."""
    mean = np.linspace(1, 8, len(GENES))
    mean[20:26] *= 3 if context == "A" else 0.4
    return mean * DEPTHS[context] / mean.sum()


PROFILES = {context: level(context) for context in CONTEXTS}


def make_counts(*, n: int = EXACT, seed: int = 0) -> ad.AnnData:
    """Cells of each target in each context; the target is knocked down, others shift."""
    rng = np.random.default_rng(seed)
    blocks, obs = [], []
    for context in CONTEXTS:
        for i, target in enumerate(TARGETS):
            mean = level(context)
            mean[GENES.index(target)] *= 0.2
            mean[10 + 5 * i : 15 + 5 * i] *= 1.5
            blocks.append(rng.poisson(mean * DEPTHS[context] / mean.sum(), (n, len(GENES))))
            obs += [(target, context)] * n
    frame = pd.DataFrame(obs, columns=["target_gene", "context"], index=np.arange(len(obs)).astype(str))
    x = sp.csr_matrix(np.concatenate(blocks).astype(np.float32))
    return ad.AnnData(x, obs=frame.astype("category"), var=pd.DataFrame(index=GENES))


def write_counts(path: Path) -> None:
    make_counts().write_h5ad(path)
