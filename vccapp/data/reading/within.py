"""One context of a dataset, as if its cells were all that there is.

    own = within(dataset, "K562")
    own.cells["perturbation"]           # 'KLF1', 'non-targeting': without the name of the context
"""

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd

from vccapp.data.reading.contexts import order_labels
from vccapp.data.reading.dataset import Dataset
from vccapp.data.reading.view import ViewedRows
from vccapp.data.schema import ALL, AT
from vccapp.errors import SpecError
from vccapp.wording import name_some


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
            rows=ViewedRows(whole.rows, cells=kept, columns=None, transform=None),
            genes=whole.genes,
            cells=cells.assign(context=pd.Categorical([ALL] * len(cells))),
            obs_columns=whole.obs_columns,
            simulated=whole.simulated,
        )
        self.whole, self.context = whole, context

    @property
    def paths(self) -> tuple[Path, ...]:
        return self.whole.paths

    def _compute_fingerprint(self) -> str:
        text = f"{self.whole.fingerprint}{AT}{self.context}"
        return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def within(dataset: Dataset, context: str | None) -> Dataset:
    """None: the dataset itself."""
    return dataset if context is None else ContextDataset(dataset, context)
