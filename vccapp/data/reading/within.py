"""A dataset seen otherwise: one context, as if its cells were all that there is; or its genes in another order.

own = within(dataset, "K562")
own.cells["perturbation"]           # 'KLF1', 'non-targeting': without the name of the context
aligned(predicted, real.genes)
"""

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd

from vccapp.data.matrices.view import KeptRows, MovedRows
from vccapp.data.reading.contexts import order_labels
from vccapp.data.reading.dataset import Dataset
from vccapp.data.schema import ALL, AT, GROUPS, check_contexts, positions_of, target_of
from vccapp.data.stores.access import Access


class _Seen(Dataset):
    """What another dataset, `whole`, is seen as."""

    whole: Dataset

    @property
    def paths(self) -> tuple[Path, ...]:
        return self.whole.paths

    @property
    def kept(self) -> tuple[np.ndarray | None, ...]:
        return self.whole.kept

    @property
    def sources(self) -> tuple[Path, ...]:
        return self.whole.sources

    @property
    def access(self) -> Access:
        return self.whole.access


class ContextDataset(_Seen):
    """The cells of one context of `whole`. Raises SpecError for an unknown one."""

    def __init__(self, whole: Dataset, context: str) -> None:
        known = {found.name: found for found in whole.schema.contexts}
        check_contexts([context], known)
        own = known[context]
        kept = np.flatnonzero((whole.cells["context"] == context).to_numpy())
        cells = whole.cells.iloc[kept].astype(str).reset_index(drop=True)
        for name in GROUPS:
            cells[name] = order_labels(cells[name].map(target_of))
        update = {
            "n_cells": own.n_cells,
            "n_values": None,
            "n_control_cells": own.n_control_cells,
            "n_perturbations": own.n_perturbations,
            "contexts": (),
            "context_column": None,
        }
        super().__init__(
            whole.schema.model_copy(update=update),
            columns=whole.columns,
            rows=KeptRows(whole.rows, kept),
            genes=whole.genes,
            cells=cells.assign(context=pd.Categorical([ALL] * len(cells))),
            obs_columns=whole.obs_columns,
            simulated=whole.simulated,
        )
        self.whole, self.context = whole, context

    def _compute_fingerprint(self) -> str:
        text = f"{self.whole.fingerprint}{AT}{self.context}"
        return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


class AlignedDataset(_Seen):
    """The same cells with the same genes in another order."""

    def __init__(self, whole: Dataset, genes: np.ndarray) -> None:
        position = positions_of(genes)
        super().__init__(
            whole.schema,
            columns=whole.columns,
            rows=MovedRows(whole.rows, np.array([position[gene] for gene in whole.genes])),
            genes=genes,
            cells=whole.cells,
            obs_columns=whole.obs_columns,
            simulated=whole.simulated,
        )
        self.whole = whole

    def _compute_fingerprint(self) -> str:
        text = "\n".join((self.whole.fingerprint, *self.genes))
        return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def aligned(dataset: Dataset, genes: np.ndarray) -> Dataset:
    """With the genes in this order; the dataset itself where they are so, or are others."""
    same = np.array_equal(dataset.genes, genes)
    return dataset if same or sorted(dataset.genes) != sorted(genes) else AlignedDataset(dataset, genes)


def within(dataset: Dataset, context: str | None) -> Dataset:
    """None: the dataset itself."""
    return dataset if context is None else ContextDataset(dataset, context)
