"""The genes that a network models, chosen by the cells that it may see.

    genes = choose_genes(index, 2000, seen=split.train)         # by the controls and these perturbations alone

The index says which genes are highly variable over all cells. A model is to be judged by some of them, so dispersions
are worked out again without those, in one pass over the gene store.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from vccapp.errors import SpecError
from vccapp.stats.hvg import choose_hvg, compute_hvg, pool_hvg
from vccapp.stats.index import Index
from vccapp.stats.store import GeneStore

GENES_AT_ONCE = 256
"""Times the cells of a block of the store: 17 MB of float64."""


def choose_genes(index: Index, n_genes: int, *, seen: Sequence[str] | None = None) -> np.ndarray:
    """Positions of the `n_genes` most variable genes, in the file's order; 0 means all. Ties with the last are in.

    seen : perturbations whose cells count, beside the controls; None: all
    Raises SpecError where no gene varies.
    """
    if n_genes == 0 or n_genes >= len(index.genes):
        return np.arange(len(index.genes))
    table = index.genes if _are_all(index, seen) else pool_hvg(_measure_dispersions(index, seen_cells(index, seen)))
    chosen = np.flatnonzero(choose_hvg(table["dispersions_norm"], n_top=n_genes))
    if not len(chosen):
        raise SpecError(
            "no_hvg",
            "The dataset has no highly variable genes, because no gene varies",
            fix="train on all genes (0)",
        )
    return chosen


def seen_cells(index: Index, seen: Sequence[str] | None) -> np.ndarray:
    """Row numbers of the controls and of the cells of `seen`, sorted; of all cells where None."""
    labels = index.cells["perturbation"]
    wanted = set(index.labels) if seen is None else {*index.controls, *seen}
    return np.flatnonzero(labels.isin(wanted).to_numpy())


def _are_all(index: Index, seen: Sequence[str] | None) -> bool:
    return seen is None or set(index.perturbed) <= set(seen)


def _measure_dispersions(index: Index, cells: np.ndarray) -> list[pd.DataFrame]:
    """`compute_hvg` over some cells (row numbers), a table a context."""
    store, n_genes = GeneStore(index.folder / "store"), len(index.genes)
    logged = index.meta["value_space"] == "log1p"
    labels = index.cells["perturbation"].cat
    of_label = np.array(index.rows(labels.categories.tolist()))
    context = np.asarray(index.control_rows(index.labels))[of_label][labels.codes.to_numpy()]
    scaling = np.ones(store.n_cells) if logged else np.asarray(index.array("scaling"), np.float64)
    large_gene, large_cell, large_value = store.overflow(np.arange(n_genes))
    sums = np.zeros((len(index.controls), n_genes, 2))
    for start, block in store.read_blocks(np.arange(n_genes)):
        own = cells[(cells >= start) & (cells < start + block.shape[1])]
        here = (large_cell >= start) & (large_cell < start + block.shape[1])
        for first in range(0, n_genes, GENES_AT_ONCE):
            values = block[first : first + GENES_AT_ONCE].astype(np.float64)
            if not logged:
                large = here & (large_gene >= first) & (large_gene < first + len(values))
                values[large_gene[large] - first, large_cell[large] - start] = large_value[large]
            values = values[:, own - start]
            values = np.expm1(values) if logged else values / scaling[own]
            for number in range(len(sums)):
                part = values[:, context[own] == number]
                sums[number, first : first + len(values), 0] += part.sum(axis=1)
                sums[number, first : first + len(values), 1] += np.einsum("ij,ij->i", part, part)
    n_cells = np.bincount(context[cells], minlength=len(sums))
    return [
        compute_hvg(total / n, np.maximum(squares / n - (total / n) ** 2, 0), int(n))
        for (total, squares), n in zip(sums.transpose(0, 2, 1), n_cells, strict=True)
        if n
    ]
