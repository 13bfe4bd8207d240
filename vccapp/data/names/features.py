"""The rows of var as genes: which of them are genes, by which column they are named, and what of repeated names.

features = find_features(var, columns)
naming = features.choose(["STAT1", "MED12"])     # the var column (or INDEX) that names most of them
genes = features.genes(naming)                   # names, columns of X, kind, notes
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from vccapp.data.names.controls import plain
from vccapp.data.names.genes import GeneNames
from vccapp.data.schema import INDEX, Columns
from vccapp.errors import DataError
from vccapp.wording import name_some

GeneKind = Literal["symbol", "ensembl", "entrez", "unknown"]
TYPE_NAMES = ("featuretypes", "featuretype", "featurebiotype", "modality", "featureclass")
"""Var columns that say what a feature is."""
GENE_TYPES = ("geneexpression", "gene", "genes", "rna", "gex", "mrna")
NO_NAMES = (*TYPE_NAMES, "genome", "chromosome", "chrom", "chr", "strand", "biotype", "genetype", "genebiotype")
MIN_DISTINCT = 0.5
"""Share of the genes that a var column must tell apart to name them."""
_KINDS: tuple[tuple[GeneKind, re.Pattern[str]], ...] = (
    ("ensembl", re.compile(r"ENS[A-Z]*G\d{6,}(\.\d+)?")),
    ("entrez", re.compile(r"\d+")),
    ("symbol", re.compile(r"[A-Za-z][A-Za-z0-9.\-]*")),
)


@dataclass(frozen=True)
class Genes:
    """names : (n_genes,) str; columns : (features of the file,) int32, column of each among the genes, -1 where it is
    left out, None where they are the file's own; kind : of the names
    """

    names: np.ndarray
    columns: np.ndarray | None
    kind: GeneKind
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Features:
    """namings : INDEX and var columns, (n_features,) names by each; kept : (n_features,) whether a feature is a gene"""

    namings: dict[str, np.ndarray]
    kept: np.ndarray
    repeated: Literal["unique", "sum"]
    chosen: str | None
    notes: tuple[str, ...]

    @property
    def n_left_out(self) -> int:
        return int((~self.kept).sum())

    def known_by(self, naming: str) -> GeneNames:
        """The genes by this naming, and by all others."""
        others = {name: texts[self.kept].tolist() for name, texts in self.namings.items() if name != naming}
        if self.repeated == "sum":
            return _of_summed(self.namings[naming][self.kept].tolist(), others)
        return GeneNames(_make_unique(self.namings[naming][self.kept].tolist())[0], others)

    def choose(self, labels: Iterable[str]) -> str:
        """The naming that has most of these names of genes; the index where none has more."""
        if self.chosen is not None or len(self.namings) == 1:
            return self.chosen or INDEX
        labels = list(labels)
        found = {}
        for name, texts in self.namings.items():
            own = GeneNames(_make_unique(texts[self.kept].tolist())[0])
            worth = {"name": 1.0, "part": 0.9, "case": 0.8}
            met = (own.find(label) for label in labels)
            found[name] = sum(worth.get(one.way, 0.0) for one in met if one is not None)
        return max(found, key=lambda name: (found[name], name == INDEX))

    def genes(self, naming: str) -> Genes:
        """The genes as vccapp names them."""
        notes = list(self.notes)
        kept = self.namings[naming][self.kept].tolist()
        if naming != INDEX:
            notes.append(f"Genes are named by the var column '{naming}'.")
        columns = None if self.kept.all() else np.where(self.kept, np.cumsum(self.kept) - 1, -1).astype(np.int32)
        twice = list(
            dict.fromkeys(name for name, again in zip(kept, pd.Index(kept).duplicated(), strict=True) if again)
        )
        if twice and self.repeated == "sum":
            names, places = np.unique(np.array(kept, dtype=object), return_inverse=True)
            first = np.full(len(names), len(kept))
            np.minimum.at(first, places, np.arange(len(kept)))
            rank = np.argsort(np.argsort(first))
            names, places = names[np.argsort(first)], rank[places]
            columns = np.full(len(self.kept), -1, np.int32)
            columns[self.kept] = places
            notes.append(f"Genes of one name are summed: {name_some(twice)}.")
        else:
            unique, renamed = _make_unique(kept)
            names = np.array(unique, dtype=object)
            if renamed:
                shown = name_some(f"{old} as {new}" for new, old in renamed.items())
                notes.append(f"{len(twice):,} names are repeated, and numbered: {shown}. They can be summed instead.")
        return Genes(names, columns, _kind_of(names), tuple(notes))


def find_features(var: pd.DataFrame, columns: Columns | None = None) -> Features:
    """Raises DataError where genes have no names, or the chosen column is absent."""
    columns = columns or Columns()
    if columns.genes not in (None, INDEX, *var.columns):
        raise DataError(
            "no_column",
            f"var has no column '{columns.genes}' with the names of the genes",
            fix=f"it has {name_some(var.columns)}: choose one of them, or {INDEX}",
        )
    kept, notes = _keep_genes(var)
    index = np.array([str(name) for name in var.index], dtype=object)
    empty = int(sum(name.strip() in ("", "nan") for name in index[kept]))
    if empty and columns.genes in (None, INDEX):
        raise DataError(
            "unnamed_genes",
            f"{empty:,} of {int(kept.sum()):,} genes have no name in the var index",
            fix="name or remove them, or choose a var column that names them",
        )
    namings = {INDEX: index}
    for name in dict.fromkeys(map(str, var.columns)):
        if name != columns.genes and (plain(name) in NO_NAMES or not _is_text(var[name])):
            continue
        texts = var[name].astype(object).where(var[name].notna(), "").astype(str).str.strip().to_numpy(dtype=object)
        if name == columns.genes or len(set(texts[kept])) >= MIN_DISTINCT * kept.sum():
            namings[name] = np.where(np.isin(texts, ["", "nan"]), index, texts)
    return Features(namings, kept, columns.repeated or "unique", columns.genes, tuple(notes))


def no_features() -> Features:
    """Of a file whose genes are not known."""
    return Features({INDEX: np.zeros(0, dtype=object)}, np.zeros(0, bool), "unique", None, ())


def _is_text(column: pd.Series) -> bool:
    dtype = column.dtype
    return (
        isinstance(dtype, pd.CategoricalDtype)
        or pd.api.types.is_object_dtype(dtype)
        or pd.api.types.is_string_dtype(dtype)
    )


def _keep_genes(var: pd.DataFrame) -> tuple[np.ndarray, list[str]]:
    """(n_features,) whether a feature is a gene, told from the column of feature types; all where there is none."""
    kept = np.ones(len(var), bool)
    for name in var.columns:
        if plain(str(name)) not in TYPE_NAMES or not _is_text(var[name]):
            continue
        types = var[name].astype(str)
        genes = types.map(plain).isin(GENE_TYPES).to_numpy()
        if genes.any() and not genes.all():
            kinds = types[~genes].value_counts()
            shown = name_some([f"{n:,} of {kind}" for kind, n in kinds.items()])
            return genes, [f"{int((~genes).sum()):,} features are no genes and are left out ('{name}': {shown})."]
    return kept, []


def _make_unique(names: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """TBCE, TBCE as TBCE, TBCE-1; and what each new name was."""
    taken, seen, made, renamed = set(names), set(), [], {}
    for name in names:
        new, number = name, 0
        while new in seen or (number and new in taken):
            number += 1
            new = f"{name}-{number}"
        seen.add(new)
        made.append(new)
        if new != name:
            renamed[new] = name
    return made, renamed


def _of_summed(names: Sequence[str], others: dict[str, list[str]]) -> GeneNames:
    """Genes of one name as one, by all the other names of each."""
    places: dict[str, list[int]] = {}
    for i, name in enumerate(names):
        places.setdefault(name, []).append(i)
    joined = {key: ["|".join(texts[i] for i in group) for group in places.values()] for key, texts in others.items()}
    return GeneNames(list(places), joined)


def _kind_of(names: np.ndarray) -> GeneKind:
    for kind, pattern in _KINDS:
        if sum(pattern.fullmatch(name) is not None for name in names) >= 0.9 * len(names):
            return kind
    return "unknown"
