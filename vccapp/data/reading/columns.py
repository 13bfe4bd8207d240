"""Which obs columns hold perturbation, guide, batch and context, and what their labels mean.

The perturbation column is the one whose labels name most genes of the file and which has controls; its name only breaks
ties. Guide, batch and context are found by name. Changed by the user's `Columns`; every guess becomes a note.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from vccapp.data.names.choice import find_perturbation
from vccapp.data.names.column import is_bool, may_be_labels, read_column, side_labels
from vccapp.data.names.controls import matches, plain
from vccapp.data.names.features import Features, no_features
from vccapp.data.names.labels import read_labels, split_names
from vccapp.data.names.roles import BATCH_NAMES, CONTEXT_NAMES, GUIDE_NAMES, NO_CONTEXT_NAMES, PERTURBATION_NAMES
from vccapp.data.reading.contexts import MAX_CONTEXTS, fits, split_contexts
from vccapp.data.schema import (
    ALL,
    AT,
    CONTROL,
    IGNORED,
    INDEX,
    Candidate,
    Columns,
    Context,
    are_pseudobulks,
    is_control,
)
from vccapp.errors import DataError
from vccapp.wording import name_some

MISSING = "missing"


@dataclass(frozen=True)
class Cells:
    """The labels of the cells and how they were found.

    table : one row for each cell that is kept; perturbation, guide, batch, context: categorical
    kept : (n kept,) rows of the file; None: all
    naming : INDEX or the var column that names the genes
    """

    table: pd.DataFrame
    kept: np.ndarray | None
    perturbation_column: str
    guide_column: str | None
    batch_column: str | None
    context_column: str | None
    context_ignored: str | None
    contexts: tuple[Context, ...]
    naming: str
    control_label: str
    candidates: tuple[Candidate, ...]
    notes: tuple[str, ...]


def find_cells(obs: pd.DataFrame, columns: Columns, features: Features | None = None) -> Cells:
    """Read the labels of the cells out of obs. features : of the file; without, no gene is known.

    Raises DataError when no perturbations with controls are found.
    """
    features = features or no_features()
    for role in ("perturbation", "guide", "batch", "context"):
        chosen = getattr(columns, role)
        if chosen is not None and chosen not in obs.columns and (role, chosen) != ("context", IGNORED):
            raise DataError(
                "no_column",
                f"obs has no column '{chosen}' for the {role}",
                fix=f"it has {name_some(obs.columns)}: choose one of them",
            )
    notes: list[str] = []
    universe = features.known_by(features.chosen or INDEX)
    column, reading, candidates = find_perturbation(obs, columns, universe, notes)
    labels = read_column(obs, column)
    naming = features.choose(split_names(labels.names))
    if naming != (features.chosen or INDEX):
        reading = read_labels(labels.cells, features.known_by(naming), columns, column=column)
    mapping = reading.mapping
    if any(AT in (label or "") for label in mapping.values()):
        mapping = {name: label and label.replace(AT, " at ") for name, label in mapping.items()}
        notes.append(f"'{AT}' in labels is shown as ' at ', as it stands between a target and its context.")
    mapped = labels.mapped(mapping)
    kept = np.array([label is not None for label in mapped], dtype=bool)
    if labels.n_missing:
        notes.append(f"{labels.n_missing:,} cells have no label in '{column}' and are left out.")
    notes += reading.notes
    asked = (*(columns.controls or ()), *columns.keep, *columns.leave_out)
    if absent := [one for one in asked if not any(matches(name, (one,)) for name in map(str.strip, labels.names))]:
        notes.append(f"No label in '{column}' is {name_some(absent)}.")
    of_guides = bool(reading.of_kind("guide"))
    guide = columns.guide or (column if of_guides else None)
    guide = guide or _first_named(obs, GUIDE_NAMES, taken=(column, columns.batch))
    batch = columns.batch or _first_named(obs, BATCH_NAMES, taken=(column, guide))
    obs, found = obs.loc[kept] if not kept.all() else obs, pd.Series(mapped[kept], dtype=object)
    if (found == CONTROL).all():
        if columns.perturbation is None:
            raise DataError(
                "only_controls",
                f"all {len(found):,} cells are controls ('{reading.controls[0]}' in '{column}')",
                fix=f"choose the perturbation column, '{column}' too if controls are what you want",
            )
        notes.append(
            f"All {len(found):,} cells are controls, as '{column}' says: predictions can be made from them, but no "
            "model can be trained on them."
        )
    table = pd.DataFrame({"perturbation": _categorical(found, first=CONTROL)})
    for role, side in (("guide", guide), ("batch", batch)):
        table[role] = _side_column(obs, role, side, chosen=getattr(columns, role) is not None, notes=notes)
    taken = (column, guide, batch)
    context, ignored = _find_context(obs, table, columns, taken=taken, notes=notes)
    contexts: tuple[Context, ...] = ()
    if context is None:
        table["context"] = pd.Categorical([ALL] * len(table))
    else:
        values = side_labels(obs, context).fillna(MISSING).to_numpy()
        inside = np.isin(values, values[(table["perturbation"] == CONTROL).to_numpy()])
        if not inside.all():
            lacking = name_some(sorted(set(values[~inside])))
            notes.append(
                f"{int((~inside).sum()):,} cells are in contexts without controls and are left out: {lacking}."
            )
            kept[kept] = inside
            table = table[inside].reset_index(drop=True).apply(lambda column: column.cat.remove_unused_categories())
        table, contexts, more = split_contexts(table, values[inside])
        notes += more
    notes += [*_note_confounded(table, batch), *_note_pseudobulks(table)]
    return Cells(
        table=table,
        kept=None if kept.all() else np.flatnonzero(kept),
        perturbation_column=column,
        guide_column=guide,
        batch_column=batch,
        context_column=context,
        context_ignored=ignored,
        contexts=contexts,
        naming=naming,
        control_label=reading.controls[0] if len(reading.controls) == 1 else name_some(reading.controls, 3),
        candidates=candidates,
        notes=tuple(notes),
    )


def _first_named(obs: pd.DataFrame, names: Sequence[str], *, taken: Sequence[str | None]) -> str | None:
    found = _named(obs, names)
    return next((column for column in found if column not in taken and may_be_labels(obs[column])), None)


def _named(obs: pd.DataFrame, names: Sequence[str]) -> list[str]:
    """Columns whose name is among `names`, in the order of `names`."""
    return sorted((c for c in obs.columns if plain(str(c)) in names), key=lambda c: names.index(plain(str(c))))


def _find_context(
    obs: pd.DataFrame, table: pd.DataFrame, columns: Columns, *, taken: Sequence[str | None], notes: list[str]
) -> tuple[str | None, str | None]:
    """The context column, and one that was found but is ignored at the user's wish."""
    if columns.context not in (None, IGNORED):
        return columns.context, None
    controls = (table["perturbation"] == CONTROL).to_numpy()
    may_be = [name for name in obs.columns if name not in taken and may_be_labels(obs[name])]
    named = [name for name in _named(obs, CONTEXT_NAMES) if name in may_be]
    found = [name for name in named if fits(side_labels(obs, name).fillna(MISSING), controls)]
    notes += _note_other_contexts(obs, table, [name for name in may_be if name not in found], found=bool(found))
    if not found:
        return None, None
    values = name_some(side_labels(obs, found[0]).fillna(MISSING).unique())
    if columns.context == IGNORED:
        notes.append(
            f"The context in '{found[0]}' ({values}) is ignored: cells of all are compared with the controls of all, "
            "so effects may be those of the context."
        )
        return None, found[0]
    more = f" ({name_some(found[1:])} would fit too)" if found[1:] else ""
    notes.append(
        f"Cells are compared with the controls of their own context, read from the obs column '{found[0]}': "
        f"{values}{more}."
    )
    return found[0], None


def _note_other_contexts(obs: pd.DataFrame, table: pd.DataFrame, names: Sequence[str], *, found: bool) -> list[str]:
    """Columns that are no context but could be: of any name, or with values that hold no controls at all."""
    controls, notes, possible, apart = (table["perturbation"] == CONTROL).to_numpy(), [], [], []
    other_roles = (*PERTURBATION_NAMES, *GUIDE_NAMES, *BATCH_NAMES, *NO_CONTEXT_NAMES)
    for name in names:
        if is_bool(obs[name]) or pd.api.types.is_numeric_dtype(obs[name].dtype):
            continue
        labels = read_column(obs, name)
        if not 2 <= len(labels.names) + (labels.n_missing > 0) <= MAX_CONTEXTS:
            continue
        values = side_labels(obs, name).fillna(MISSING)
        if plain(str(name)) not in other_roles and plain(str(name)) not in CONTEXT_NAMES and fits(values, controls):
            share = pd.Series(controls).groupby(values.to_numpy()).mean()
            possible += [name] if (share.between(0, 1, inclusive="neither").sum() > 1) else []
        elif plain(str(name)) in CONTEXT_NAMES and plain(str(name)) not in PERTURBATION_NAMES:
            kinds = table["perturbation"].astype(str).groupby(values.to_numpy()).nunique()
            apart += [name] if kinds.max() > 1 and not fits(values, controls) else []
    if possible and not found:
        notes.append(
            f"{name_some(possible, 3)} could be a context as well: it has values with both controls and perturbed "
            "cells. Choose it as the context if controls must match in it."
        )
    if apart:
        notes.append(
            f"'{apart[0]}' differs between controls and perturbed cells in every value, so effects cannot be told from "
            "those of it."
        )
    return notes


def _note_pseudobulks(table: pd.DataFrame) -> list[str]:
    """That the rows are not cells, where they are not."""
    counts = table["perturbation"].value_counts()
    n_rows = [n for label, n in counts.items() if n and not is_control(label)]
    if not are_pseudobulks(n_rows):
        return []
    return [
        f"These are pseudobulks: {n_rows.count(1):,} of {len(n_rows):,} perturbations have one row. They have no DEGs, "
        "halves or limits, and no cells to learn from; use them as a source of the model `transfer`."
    ]


def _note_confounded(table: pd.DataFrame, batch: str | None) -> list[str]:
    """Batches without controls, and perturbations that are in such batches alone."""
    if batch is None:
        return []
    labels = table["perturbation"].cat
    controls = np.array([is_control(label) for label in labels.categories])[labels.codes]
    with_controls = set(table.loc[controls, "batch"])
    lacking = sorted(set(table["batch"]) - with_controls)
    if not lacking:
        return []
    inside = table["batch"].isin(lacking)
    only = sorted(set(table.loc[inside, "perturbation"]) - set(table.loc[~inside, "perturbation"]))
    more = f"; {len(only):,} perturbations are in these alone ({name_some(only, 3)})" if only else ""
    return [
        f"{len(lacking):,} of {table['batch'].nunique():,} batches have no control cells ({name_some(lacking, 3)}), so "
        f"effects there include those of the batch{more}."
    ]


def _side_column(obs: pd.DataFrame, role: str, column: str | None, *, chosen: bool, notes: list[str]) -> pd.Categorical:
    if column is None:
        notes.append(f"No {role} column was found in obs; all cells are treated as one {role}.")
        return pd.Categorical([ALL] * len(obs))
    labels = side_labels(obs, column)
    n_missing = int(labels.isna().sum())
    if not chosen:
        notes.append(f"The {role} is read from the obs column '{column}', detected by its name.")
    if n_missing:
        notes.append(f"{n_missing:,} cells have no {role} in '{column}' and are shown as '{MISSING}'.")
    return _categorical(labels.fillna(MISSING))


def _categorical(labels: pd.Series, first: str | None = None) -> pd.Categorical:
    names = sorted(labels.unique(), key=lambda x: (x != first, x))
    return pd.Categorical(labels, categories=names)
