"""Which obs columns hold perturbation, guide, batch and context, and what their labels mean.

The perturbation column is the one whose labels name most genes of the file and which has controls; its name only breaks
ties. Guide, batch and context are found by name. Changed by the user's `Columns`; every guess becomes a note.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from vccapp.data.names.controls import matches, plain
from vccapp.data.names.features import Features, no_features
from vccapp.data.names.genes import GeneNames
from vccapp.data.names.labels import Reading, find_controls, read_labels, refuse_controls, split_names
from vccapp.data.reading.contexts import CONTEXT_NAMES, MAX_CONTEXTS, fits, split_contexts
from vccapp.data.schema import ALL, AT, CONTROL, IGNORED, INDEX, Candidate, Columns, Context, is_control
from vccapp.errors import DataError
from vccapp.wording import name_some

# Names are compared in lower case without punctuation; earlier ones win.
PERTURBATION_NAMES = (
    *("targetgene", "perturbation", "gene", "condition", "genetarget", "perturbedgene", "targetgenename"),
    *("perturbationname", "perturbationgene", "pert", "pertgene", "pertname", "target", "guidetarget", "genotype"),
)
GUIDE_NAMES = (
    *("guideid", "guide", "sgrna", "sgrnaid", "grna", "grnaid", "guideidentity", "guidename", "guidecall"),
    *("protospacer", "sgid", "sgidab", "featurecall"),
)
BATCH_NAMES = (
    *("batch", "batchvar", "batchid", "gemgroup", "lane", "replicate", "rep", "plate", "donor", "channel", "library"),
    *("libraryid", "sample", "sampleid", "run", "experiment", "origident"),
)
MISSING = "missing"
MAX_LABELS = 50_000
UNNAMED = 50
"""Rank of a column of any name; those whose names say another role come after it."""
NO_CONTEXT_NAMES = ("phase", "leiden", "louvain", "cluster", "clusters", "seuratclusters", "perturbationtype")


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
    column, reading, candidates = _find_perturbation(obs, columns, universe, notes)
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
        raise DataError(
            "only_controls",
            f"all {len(found):,} cells are controls ('{reading.controls[0]}' in '{column}')",
            fix="choose the perturbation column",
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
    notes += _note_confounded(table, batch)
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


def _first_named(obs: pd.DataFrame, names: Sequence[str], *, taken: Sequence[str | None]) -> str | None:
    found = _named(obs, names)
    return next((column for column in found if column not in taken and may_be_labels(obs[column])), None)


def _named(obs: pd.DataFrame, names: Sequence[str]) -> list[str]:
    """Columns whose name is among `names`, in the order of `names`."""
    return sorted((c for c in obs.columns if plain(str(c)) in names), key=lambda c: names.index(plain(str(c))))


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


@dataclass(frozen=True)
class _Weighed:
    """A column with its evidence; `reading` is None where it has no controls."""

    labels: Labels
    reading: Reading | None
    candidate: Candidate
    rank: int

    @property
    def key(self) -> tuple:
        """The larger, the better: labels that are genes, then guides of genes, then few genes or none.

        Shares of genes count in quarters, so that names decide between near equals.
        """
        share = self.candidate.n_genes / max(self.candidate.n_labels, 1)
        kind = 2 if self.candidate.of_guides else 3 if share >= 0.25 else 1
        return (
            self.reading is not None,
            self.candidate.n_labels > 0,
            kind if self.candidate.n_genes else 0,
            round(4 * share),
            self.candidate.share_missing < 0.5,
            -self.rank,
        )


def _find_perturbation(
    obs: pd.DataFrame, columns: Columns, names: GeneNames, notes: list[str]
) -> tuple[str, Reading, tuple[Candidate, ...]]:
    if columns.perturbation is not None:
        labels = read_column(obs, columns.perturbation)
        if not labels.names:
            raise _refuse_empty(labels)
        reading = read_labels(labels.cells, names, columns, column=labels.column)
        return labels.column, reading, (_weigh(labels, columns, names).candidate,)
    others = (columns.guide, columns.batch, columns.context)
    weighed = [
        _weigh(read_column(obs, name), columns, names)
        for name in dict.fromkeys(obs.columns)
        if name not in others and _may_be_perturbation(obs[name], name, columns)
    ]
    weighed.sort(key=lambda one: one.key, reverse=True)
    fitting = [one for one in weighed if one.reading is not None]
    if not fitting:
        raise _refuse_all(obs, weighed, columns, names)
    best, *more = fitting
    if best.reading is None:  # never: it is among the fitting
        raise refuse_controls(best.labels.cells, names, columns.controls, column=best.labels.column)
    rivals = [one for one in more if one.candidate.n_labels]
    equal = [one.labels.column for one in fitting if one.key == best.key]
    if len(equal) > 1 and best.rank == UNNAMED:
        raise DataError(
            "ambiguous_column",
            f"several obs columns may hold the perturbations ({name_some(equal)})",
            found=equal,
            fix="choose one of them",
        )
    notes.append(_note_choice(best, rivals))
    return best.labels.column, best.reading, tuple(one.candidate for one in fitting)


def _note_choice(best: _Weighed, rivals: Sequence[_Weighed]) -> str:
    if best.candidate.n_genes:
        how = f"detected by its labels: {best.candidate}"
    elif best.rank < UNNAMED:
        how = "detected by its name"
    else:
        how = "detected by the control label in it"
    more = ""
    if rivals:
        more = f" ('{rivals[0].labels.column}' would also fit: {rivals[0].candidate})"
        others = [one.labels.column for one in rivals[1:]]
        more = more[:-1] + (f"; and {name_some(others)})" if others else ")")
    return f"Perturbations are read from the obs column '{best.labels.column}', {how}{more}."


def _may_be_perturbation(column: pd.Series, name: str, columns: Columns) -> bool:
    """Text; numbers only where the user names the control, or the column is called so."""
    if not may_be_labels(column):
        return False
    if columns.control is None and (pd.api.types.is_numeric_dtype(column.dtype) or is_bool(column)):
        return plain(str(name)) in PERTURBATION_NAMES
    distinct = column.cat.categories if isinstance(column.dtype, pd.CategoricalDtype) else column.unique()
    return len(distinct) <= MAX_LABELS and (len(distinct) < 0.5 * len(column) or len(column) < 1000)


def _weigh(labels: Labels, columns: Columns, names: GeneNames) -> _Weighed:
    cells = labels.cells
    reading = None
    if find_controls(cells, names, columns.controls):
        reading = read_labels(cells, names, columns, column=labels.column)
    perturbed = set(labels.names)
    if reading is not None:
        perturbed -= set(reading.of_kind("control", "no call", "left out"))
        genes = [name for name in reading.of_kind("gene", "pair", "guide") if _names_gene(reading, name, names)]
        guides = reading.of_kind("guide")
        without_call = reading.count("no call")
    else:
        genes, guides, without_call = [name for name in labels.names if names.find(name)], [], 0
    plain_name = plain(str(labels.column))
    rank = UNNAMED
    if plain_name in PERTURBATION_NAMES:
        rank = PERTURBATION_NAMES.index(plain_name)
    elif plain_name in (*GUIDE_NAMES, *BATCH_NAMES, *CONTEXT_NAMES):
        rank = UNNAMED + 1
    candidate = Candidate(
        column=str(labels.column),
        n_labels=len(perturbed),
        n_genes=len(genes),
        of_guides=len(guides) > len(genes) / 2,
        n_control_cells=reading.count("control") if reading is not None else 0,
        share_missing=(labels.n_missing + without_call) / max(len(labels.codes), 1),
        cells_per_label=float(np.median([cells[name] for name in perturbed])) if perturbed else 0.0,
    )
    return _Weighed(labels, reading, candidate, rank)


def _names_gene(reading: Reading, name: str, names: GeneNames) -> bool:
    return any(gene in names for gene in (reading.meanings[name].label or "").split("+"))


def _refuse_all(obs: pd.DataFrame, weighed: Sequence[_Weighed], columns: Columns, names: GeneNames) -> DataError:
    likely = [one for one in weighed if one.rank < UNNAMED or one.candidate.n_genes]
    if likely and not likely[0].labels.names:
        return _refuse_empty(likely[0].labels)
    if likely:
        best = likely[0].labels
        return refuse_controls(best.cells, names, columns.controls, column=best.column)
    wanted = "no control label such as non-targeting, NT, control or ctrl"
    if columns.controls is not None:
        wanted = f"no label '{name_some(columns.controls)}'"
    return DataError(
        "no_perturbation_column",
        f"no obs column holds perturbations: {wanted} in any of them (obs has {name_some(list(obs.columns))})",
        found=list(obs.columns),
        fix="choose the column",
    )


def _refuse_empty(labels: Labels) -> DataError:
    return DataError(
        "no_labels",
        f"no cell has a label in the obs column '{labels.column}'",
        fix="choose another column",
    )


def side_labels(obs: pd.DataFrame, name: str) -> pd.Series:
    """A column as text with None where missing."""
    labels = read_column(obs, name)
    return pd.Series(labels.mapped({text: text for text in labels.names}), dtype=object)


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
