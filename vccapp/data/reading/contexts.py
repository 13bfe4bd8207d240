"""In which context each cell is: a covariate on which its controls must match, such as the cell line or the donor.

Effects, differential expression and all that follows are taken within a context. A perturbation of data with several
contexts is labelled 'KLF1@K562', its controls 'non-targeting@K562'; guides and batches are likewise told apart.
"""

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from vccapp.data.schema import AT, CONTROL, GROUPS, Context, label_in, sort_labels
from vccapp.errors import DataError
from vccapp.wording import name_some

MAX_CONTEXTS = 50


def fits(values: pd.Series, controls: np.ndarray) -> bool:
    """Whether a column may be the context: 2 to MAX_CONTEXTS values, one of them with controls and with others.

    values : (n_cells,) text; controls : (n_cells,) whether a cell is a control
    """
    if not 2 <= values.nunique() <= MAX_CONTEXTS:
        return False
    share = pd.Series(controls).groupby(values.to_numpy()).mean()
    return bool(((share > 0) & (share < 1)).any())


def split_contexts(table: pd.DataFrame, values: Sequence[str]) -> tuple[pd.DataFrame, tuple[Context, ...], list[str]]:
    """Labels within contexts: the table with perturbation, guide, batch and context; the contexts; notes.

    table : perturbation, guide, batch as categories; values : (n_cells,) the context of each cell.
    Raises DataError for a context that has perturbations but no controls.
    """
    contexts = pd.Categorical(np.asarray(values, dtype=object).astype(str))
    own = pd.crosstab(contexts, (table["perturbation"] == CONTROL).to_numpy()).reindex(
        columns=[False, True], fill_value=0
    )
    lacking = own.index[own[True] == 0]
    if len(lacking):
        raise DataError(
            "context_without_controls",
            f"{int(own.loc[lacking, False].sum()):,} cells are in contexts without controls: {name_some(lacking)}",
            fix="leave them out or choose another context column",
        )
    found = pd.DataFrame({name: put_within(table[name], contexts) for name in GROUPS})
    found["context"] = contexts
    kinds = found.groupby("context", observed=True)["perturbation"].nunique()
    described = tuple(
        Context(
            name=name,
            n_cells=int(own.loc[name].sum()),
            n_control_cells=int(own.loc[name, True]),
            n_perturbations=int(kinds[name]) - 1,
        )
        for name in contexts.categories
    )
    only = [context.name for context in described if context.n_perturbations == 0]
    notes = [f"{name_some(only)} holds controls alone: models can be asked to predict there."] if only else []
    return found, described, notes


def order_labels(labels: Iterable[str]) -> pd.Categorical:
    """Labels as categories, the controls first, each sorted."""
    labels = list(labels)
    return pd.Categorical(labels, categories=sort_labels(labels))


def put_within(labels: pd.Series | pd.Categorical, contexts: pd.Categorical) -> pd.Categorical:
    """(n_cells,) label and context of each cell as one, the controls first."""
    column = pd.Series(labels).astype("category")
    names, where = column.cat.categories.astype(str), contexts.categories
    joined = np.array([[label_in(name.replace(AT, " at "), one) for one in where] for name in names], dtype=object)
    return order_labels(joined[column.cat.codes.to_numpy(), contexts.codes])
