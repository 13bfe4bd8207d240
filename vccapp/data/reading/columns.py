"""Which obs columns hold perturbation, guide and batch, which label is the control, and what the genes are called.

Found by name and content, changed by the user's `Columns`. Every guess and every mapping becomes a note.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from vccapp.data.reading.contexts import CONTEXT_NAMES, fits, split_contexts
from vccapp.data.schema import ALL, AT, CONTROL, IGNORED, Columns, Context
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
CONTROL_LABELS = (
    *("nontargeting", "nontarget", "nontargetingcontrol", "ntc", "nt", "control", "ctrl", "negctrl", "negcontrol"),
    *(
        "negativecontrol",
        "unperturbed",
        "safetargeting",
        "safetarget",
        "scramble",
        "scrambled",
        "mock",
        "vehicle",
        "dmso",
    ),
)
MISSING = "missing"
_ENSEMBL = re.compile(r"ENS[A-Z]*G\d{6,}(\.\d+)?")
_ENTREZ = re.compile(r"\d+")
_SYMBOL = re.compile(r"[A-Za-z][A-Za-z0-9.\-]*")


@dataclass(frozen=True)
class Cells:
    """The labels of the cells and how they were found."""

    table: pd.DataFrame  # n_cells rows; perturbation, guide, batch, context: categorical
    perturbation_column: str
    guide_column: str | None
    batch_column: str | None
    context_column: str | None
    context_ignored: str | None
    contexts: tuple[Context, ...]
    control_label: str
    notes: tuple[str, ...]


def find_cells(obs: pd.DataFrame, columns: Columns) -> Cells:
    """Read the labels of the cells out of obs. Raises DataError when no perturbations with controls are found."""
    for role in ("perturbation", "guide", "batch", "context"):
        chosen = getattr(columns, role)
        if chosen is not None and chosen not in obs.columns and (role, chosen) != ("context", IGNORED):
            raise DataError(
                "no_column",
                f"obs has no column '{chosen}' for the {role}",
                fix=f"it has {name_some(obs.columns)}: choose one of them",
            )
    notes: list[str] = []
    guide = columns.guide or _first_named(obs, GUIDE_NAMES, taken=(columns.perturbation, columns.batch))
    batch = columns.batch or _first_named(obs, BATCH_NAMES, taken=(columns.perturbation, columns.guide))
    perturbation = columns.perturbation or _find_perturbation(obs, columns.control, (guide, batch), notes)
    labels = _labels(obs, perturbation)
    _check_missing(labels, perturbation)
    labels, control = _map_labels(labels, perturbation, columns.control, notes)
    if labels.str.contains(AT, regex=False).any():
        labels = labels.str.replace(AT, " at ", regex=False)
        notes.append(f"'{AT}' in labels is shown as ' at ', as it stands between a target and its context.")
    n_controls = int((labels == CONTROL).sum())
    if n_controls == len(labels):
        raise DataError(
            "only_controls",
            f"all {len(labels):,} cells are controls ('{control}' in '{perturbation}')",
            fix="choose the perturbation column",
        )
    table = {"perturbation": _categorical(labels, first=CONTROL)}
    for role, column in (("guide", guide), ("batch", batch)):
        table[role] = _side_column(obs, role, column, chosen=getattr(columns, role) is not None, notes=notes)
    frame = pd.DataFrame(table)
    contexts: tuple[Context, ...] = ()
    context, ignored = _find_context(obs, frame, columns, taken=(perturbation, guide, batch), notes=notes)
    if context is None:
        frame["context"] = pd.Categorical([ALL] * len(frame))
    else:
        frame, contexts, more = split_contexts(frame, _labels(obs, context).fillna(MISSING))
        notes += more
    return Cells(frame, perturbation, guide, batch, context, ignored, contexts, control, tuple(notes))


def _find_context(
    obs: pd.DataFrame, table: pd.DataFrame, columns: Columns, *, taken: Sequence[str | None], notes: list[str]
) -> tuple[str | None, str | None]:
    """The context column, and one that was found but is ignored at the user's wish."""
    if columns.context not in (None, IGNORED):
        return columns.context, None
    controls = (table["perturbation"] == CONTROL).to_numpy()
    named = [name for name in _named(obs, CONTEXT_NAMES) if name not in taken and _is_labels(obs[name])]
    found = [name for name in named if fits(_labels(obs, name).fillna(MISSING), controls)]
    if not found:
        return None, None
    values = name_some(distinct(obs[found[0]]))
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


def plain(text: str) -> str:
    """Lower case without punctuation: how names and control labels are compared."""
    return re.sub(r"[^a-z0-9]", "", text.lower())


def is_control_like(label: str) -> bool:
    """Whether a label is a usual name of unperturbed cells; 'ctrl+ctrl' is one too."""
    return all(plain(part) in CONTROL_LABELS for part in label.split("+"))


def _first_named(obs: pd.DataFrame, names: Sequence[str], *, taken: Sequence[str | None]) -> str | None:
    found = _named(obs, names)
    return next((column for column in found if column not in taken and _is_labels(obs[column])), None)


def _named(obs: pd.DataFrame, names: Sequence[str]) -> list[str]:
    """Columns whose name is among `names`, in the order of `names`."""
    return sorted((c for c in obs.columns if plain(str(c)) in names), key=lambda c: names.index(plain(str(c))))


def _is_labels(column: pd.Series) -> bool:
    """Text, categories or whole numbers: what can label cells."""
    if isinstance(column.dtype, pd.CategoricalDtype) or column.dtype == object:
        return True
    if pd.api.types.is_float_dtype(column.dtype):
        known = column.dropna()
        return len(known) > 0 and bool((known == known.round()).all()) and np.isfinite(known).all()
    return pd.api.types.is_string_dtype(column.dtype) or pd.api.types.is_integer_dtype(column.dtype)


def distinct(column: pd.Series) -> list[str]:
    """The labels of a column; of a categorical also those that no cell has."""
    values = column.cat.categories if isinstance(column.dtype, pd.CategoricalDtype) else column.dropna().unique()
    return [str(value) for value in values]


def _find_perturbation(obs: pd.DataFrame, control: str | None, others: Sequence[str | None], notes: list[str]) -> str:
    def fits(column: str) -> bool:
        text = _is_labels(obs[column]) and not pd.api.types.is_numeric_dtype(obs[column].dtype)
        return text and any(is_control_like(x) if control is None else x == control for x in distinct(obs[column]))

    named = _named(obs, PERTURBATION_NAMES)
    fitting = [column for column in named if fits(column)]
    if fitting:
        more = f" ({name_some(fitting[1:])} would also fit)" if len(fitting) > 1 else ""
        notes.append(f"Perturbations are read from the obs column '{fitting[0]}', detected by its name{more}.")
        return fitting[0]
    wanted = (
        "no control label such as non-targeting, NT, control or ctrl" if control is None else f"no label '{control}'"
    )
    if named:
        labels = name_some(distinct(obs[named[0]]))
        raise DataError(
            "no_control_label",
            f"obs column '{named[0]}' holds {wanted} (it holds {labels})",
            fix="name the control label or another column",
        )
    by_content = [column for column in obs.columns if column not in others and fits(column)]
    if len(by_content) == 1:
        notes.append(
            f"Perturbations are read from the obs column '{by_content[0]}', detected by the control label in it."
        )
        return by_content[0]
    if by_content:
        raise DataError(
            "ambiguous_column",
            f"several obs columns may hold the perturbations ({name_some(by_content)})",
            found=by_content,
            fix="choose one of them",
        )
    raise DataError(
        "no_perturbation_column",
        f"no obs column holds perturbations: {wanted} in any of them (obs has {name_some(list(obs.columns))})",
        found=list(obs.columns),
        fix="choose the column",
    )


def _labels(obs: pd.DataFrame, name: str) -> pd.Series:
    """A column as text with None where missing."""
    column = obs[name].reset_index(drop=True)
    if not _is_labels(column):
        raise DataError(
            "not_labels",
            f"obs column '{name}' holds {column.dtype} numbers, not labels",
            fix="choose another column",
        )
    if pd.api.types.is_float_dtype(column.dtype):
        column = column.astype("Int64")
    text = column.astype(object)
    missing = text.isna() | text.isin(["", "nan", "NaN"])
    return text.astype(str).where(~missing, None)


def _check_missing(labels: pd.Series, column: str) -> None:
    n_missing = int(labels.isna().sum())
    if n_missing == len(labels):
        raise DataError(
            "no_labels",
            f"no cell has a label in the obs column '{column}'",
            fix="choose another column",
        )
    if n_missing:
        raise DataError(
            "missing_labels",
            f"{n_missing:,} of {len(labels):,} cells have no label in the obs column '{column}'",
            fix="remove them or label them",
        )


def _map_labels(labels: pd.Series, column: str, control: str | None, notes: list[str]) -> tuple[pd.Series, str]:
    """Canonical labels and the file's own control label."""
    cells = labels.value_counts()
    if control is None:
        like = sorted((x for x in cells.index if is_control_like(x)), key=lambda x: (_control_rank(x), -cells[x], x))
        if not like:
            raise DataError(
                "no_control_label",
                f"'{column}' holds no control label (it holds {name_some(cells.index)})",
                fix="name the control label",
            )
        control = like[0]
    elif control not in cells.index:
        raise DataError(
            "no_control_label",
            f"'{column}' holds no label '{control}' for the controls (it holds {name_some(cells.index)})",
            fix="choose one",
        )
    mapping = {control: CONTROL}
    if control != CONTROL:
        notes.append(f"Control cells are labelled '{control}' in the file and shown as '{CONTROL}'.")
    halves = {}
    for label in cells.index:
        if label == control:
            continue
        if label == CONTROL:
            mapping[label] = f"{CONTROL} (in file)"
        elif is_control_like(label):
            mapping[label] = label
        else:
            genes = [part for part in label.split("+") if plain(part) not in CONTROL_LABELS]
            if len(genes) < len(label.split("+")):
                halves[label] = mapping[label] = "+".join(genes)
    others = [f"'{x}' ({cells[x]:,} cells)" for x in cells.index if x != control and is_control_like(x)]
    if others:
        notes.append(
            f"'{control}' ({cells[control]:,} cells) is used as the control; these look like controls too and "
            f"are kept as perturbations: {name_some(others)}."
        )
    if halves:
        example = next(iter(halves))
        notes.append(
            f"{len(halves):,} labels that join a gene and a control are read as the gene: '{example}' as "
            f"'{halves[example]}'."
        )
    _note_pairs(cells.index, notes)
    return labels.map(lambda label: mapping.get(label, label)), control


def _control_rank(label: str) -> int:
    return CONTROL_LABELS.index(plain(label.split("+")[0]))


def _note_pairs(labels: Sequence[str], notes: list[str]) -> None:
    pairs = [x for x in labels if len([part for part in x.split("+") if plain(part) not in CONTROL_LABELS]) > 1]
    if pairs:
        notes.append(f"{len(pairs):,} perturbations target two or more genes, such as '{pairs[0]}'.")
    known = set(labels)
    odd = [x for x in labels if len(parts := re.split(r"[_|,;/&]", x)) == 2 and set(parts) <= known]
    if odd:
        notes.append(
            f"{len(odd):,} labels such as '{odd[0]}' look like two genes but are read as one; write two genes as 'A+B'."
        )


def _side_column(obs: pd.DataFrame, role: str, column: str | None, *, chosen: bool, notes: list[str]) -> pd.Categorical:
    if column is None:
        notes.append(f"No {role} column was found in obs; all cells are treated as one {role}.")
        return pd.Categorical([ALL] * len(obs))
    labels = _labels(obs, column)
    n_missing = int(labels.isna().sum())
    if not chosen:
        notes.append(f"The {role} is read from the obs column '{column}', detected by its name.")
    if n_missing:
        notes.append(f"{n_missing:,} cells have no {role} in '{column}' and are shown as '{MISSING}'.")
    return _categorical(labels.fillna(MISSING))


def _categorical(labels: pd.Series, first: str | None = None) -> pd.Categorical:
    names = sorted(labels.unique(), key=lambda x: (x != first, x))
    return pd.Categorical(labels, categories=names)


GeneKind = Literal["symbol", "ensembl", "entrez", "unknown"]


def find_genes(var: pd.DataFrame) -> tuple[np.ndarray, GeneKind, list[str]]:
    """Gene names (n_genes,) of the var index, their kind and notes. Raises DataError when names repeat or lack."""
    genes = np.array([str(name) for name in var.index], dtype=object)
    empty = int(sum(name.strip() in ("", "nan") for name in genes))
    if empty:
        raise DataError(
            "unnamed_genes",
            f"{empty:,} of {len(genes):,} genes have no name in the var index",
            fix="name or remove them",
        )
    index = pd.Index(genes)
    if not index.is_unique:
        twice = list(index[index.duplicated()].unique())
        raise DataError(
            "repeated_genes",
            f"{len(twice):,} gene names are repeated ({name_some(twice)})",
            fix="make the names of var unique",
        )
    kind: GeneKind = "unknown"
    kinds: tuple[tuple[GeneKind, re.Pattern[str]], ...] = (
        ("ensembl", _ENSEMBL),
        ("entrez", _ENTREZ),
        ("symbol", _SYMBOL),
    )
    for name, pattern in kinds:
        if sum(pattern.fullmatch(gene) is not None for gene in genes) >= 0.9 * len(genes):
            kind = name
            break
    symbols = _named(var, ("genename", "genenames", "genesymbol", "genesymbols", "symbol", "featurename"))
    notes = []
    if kind == "ensembl" and symbols:
        notes.append(
            f"Genes are named by Ensembl ids; the var column '{symbols[0]}' holds symbols, which are not used."
        )
    return genes, kind, notes
