"""One context of a dataset, as if its cells were all that there is.

own = within(dataset, "K562")
own.cells["perturbation"]           # 'KLF1', 'non-targeting': without the name of the context
"""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix

from vccapp.data.reading.contexts import order_labels
from vccapp.data.reading.dataset import Dataset, Reader
from vccapp.data.schema import ALL, AT
from vccapp.data.stores.access import Access
from vccapp.errors import SpecError
from vccapp.wording import name_some


class OwnRows:
    """The reader of some cells of another, numbered among themselves. kept : (n,) rows of the other, ascending."""

    def __init__(self, rows: Reader, kept: np.ndarray) -> None:
        self.rows, self.kept = rows, kept

    @property
    def scratch_bytes(self) -> int:
        return self.rows.scratch_bytes

    def iter_rows(
        self, max_values: int, *, first: int = 0, last: int | None = None
    ) -> Iterator[tuple[int, csr_matrix]]:
        own = self.kept[first:last]
        if not len(own):
            return
        for start, block in self.rows.iter_rows(max_values, first=int(own[0]), last=int(own[-1]) + 1):
            low, high = np.searchsorted(own, [start, start + block.shape[0]]).tolist()
            if low < high:
                yield first + low, block[own[low:high] - start]

    def iter_values(
        self, max_values: int, *, first: int = 0, last: int | None = None
    ) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
        for start, block in self.iter_rows(max_values, first=first, last=last):
            yield start, block.data, block.indptr.astype(np.int64)

    def read_rows(self, rows: Sequence[int] | np.ndarray) -> csr_matrix:
        return self.rows.read_rows(self.kept[np.asarray(rows, np.int64)])


class ContextDataset(Dataset):
    """The cells of one context of `whole`. Raises SpecError for an unknown one."""

    def __init__(self, whole: Dataset, context: str) -> None:
        known = {found.name: found for found in whole.schema.contexts}
        if context not in known:
            found = name_some(known) if known else "it tells none apart"
            raise SpecError("unknown_context", f"The dataset has no context '{context}'", fix=f"contexts: {found}")
        own = known[context]
        kept = np.flatnonzero((whole.cells["context"] == context).to_numpy())
        cells = whole.cells.iloc[kept].astype(str).reset_index(drop=True)
        for name in ("perturbation", "guide", "batch"):
            cells[name] = order_labels(cells[name].str.removesuffix(f"{AT}{context}"))
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
            rows=OwnRows(whole.rows, kept),
            genes=whole.genes,
            cells=cells.assign(context=pd.Categorical([ALL] * len(cells))),
            obs_columns=whole.obs_columns,
            simulated=whole.simulated,
        )
        self.whole, self.context = whole, context

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

    def _compute_fingerprint(self) -> str:
        text = f"{self.whole.fingerprint}{AT}{self.context}"
        return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def within(dataset: Dataset, context: str | None) -> Dataset:
    """None: the dataset itself."""
    return dataset if context is None else ContextDataset(dataset, context)
