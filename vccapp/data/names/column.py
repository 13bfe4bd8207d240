"""A column of obs as labels: which columns can be, and what their labels are.

labels = read_column(obs, "target_gene")
labels.cells            # {"STAT1": 40, ...}, in the file's order
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from vccapp.errors import DataError


@dataclass(frozen=True)
class Labels:
    """A column of obs as labels. codes : (n_cells,), -1 where a cell has none; names : distinct, in the file's order"""

    column: str
    codes: np.ndarray
    names: list[str]

    @property
    def cells(self) -> dict[str, int]:
        """How many cells each label has."""
        counts = np.bincount(self.codes[self.codes >= 0], minlength=len(self.names))
        return dict(zip(self.names, counts.tolist(), strict=True))

    @property
    def n_missing(self) -> int:
        return int((self.codes < 0).sum())

    def mapped(self, mapping: Mapping[str, str | None]) -> np.ndarray:
        """(n_cells,) object: what each label is mapped to; None where a cell has none."""
        values = np.array([*(mapping[name] for name in self.names), None], dtype=object)
        return values[self.codes]


def read_column(obs: pd.DataFrame, name: str) -> Labels:
    """A column as labels. Raises DataError for one of measurements."""
    column = obs[name]
    if not may_be_labels(column):
        raise DataError(
            "not_labels",
            f"obs column '{name}' holds {column.dtype} numbers, not labels",
            fix="choose another column",
        )
    if pd.api.types.is_float_dtype(column.dtype):
        column = column.astype("Int64")
    codes, values = pd.factorize(column)
    places: dict[str, int] = {}
    recode = np.full(len(values) + 1, -1)
    for i, value in enumerate(values):
        text = str(value)
        if text.strip() not in ("", "nan", "NaN", "<NA>"):
            recode[i] = places.setdefault(text, len(places))
    return Labels(name, recode[codes], list(places))


def may_be_labels(column: pd.Series) -> bool:
    """Text, categories, whole numbers or yes and no: what can label cells."""
    if isinstance(column.dtype, pd.CategoricalDtype) or column.dtype == object:
        return True
    if pd.api.types.is_float_dtype(column.dtype):
        known = column.dropna()
        return len(known) > 0 and bool((known == known.round()).all()) and np.isfinite(known).all()
    dtype = column.dtype
    return any(is_(dtype) for is_ in (pd.api.types.is_string_dtype, pd.api.types.is_integer_dtype)) or is_bool(column)


def is_bool(column: pd.Series) -> bool:
    return pd.api.types.is_bool_dtype(column.dtype)


def side_labels(obs: pd.DataFrame, name: str) -> pd.Series:
    """A column as text with None where missing."""
    labels = read_column(obs, name)
    return pd.Series(labels.mapped({text: text for text in labels.names}), dtype=object)
