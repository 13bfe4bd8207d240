"""A row of numbers for each context, such as the mean of its controls, given out by label.

means = PerContext(tuple(index.contexts), index.means(index.controls))
means.of(["KLF1@K562", "TP53@RPE1"])          # (2, n_genes), each the row of its context
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from vccapp.data.schema import context_of, positions_of
from vccapp.errors import SpecError
from vccapp.wording import name_some


@dataclass(frozen=True)
class PerContext:
    """contexts : names, none where the data tell none apart; rows : (n, k), one a context, else one."""

    contexts: tuple[str, ...]
    rows: np.ndarray

    @classmethod
    def summed_up(
        cls, contexts: Sequence[str], labels: Sequence[str], sum_up: Callable[[np.ndarray | slice], np.ndarray]
    ) -> "PerContext":
        """What `sum_up` makes of the places of the labels within each context; of all for a context that has none."""
        own = [np.array([context_of(label) == context for label in labels]) for context in contexts]
        rows = [sum_up(mask if mask.any() else slice(None)) for mask in own] or [sum_up(slice(None))]
        return cls(tuple(contexts), np.stack(rows))

    def places(self, labels: Sequence[str]) -> list[int]:
        """Row of each label's context. Raises SpecError for a context that is none of these."""
        if not self.contexts:
            return [0] * len(labels)
        place = positions_of(self.contexts)
        found = [place.get(context_of(label) or "") for label in labels]
        unknown = [label for label, own in zip(labels, found, strict=True) if own is None]
        if unknown:
            raise SpecError(
                "unknown_context",
                f"{name_some(unknown)} is in none of the contexts {name_some(self.contexts)}",
                fix=f"name the context, as in 'TARGET@{self.contexts[0]}'",
            )
        return [own for own in found if own is not None]

    def of(self, labels: Sequence[str]) -> np.ndarray:
        """(labels, k); to read only."""
        if not self.contexts:
            return np.broadcast_to(self.rows[0], (len(labels), self.rows.shape[1]))
        return self.rows[self.places(labels)]

    def stored(self) -> np.ndarray:
        """(k,) where the data tell no contexts apart, else (n, k)."""
        return self.rows if self.contexts else self.rows[0]
