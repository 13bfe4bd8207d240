"""A signature: how genes change, as a table of log2 fold changes, as lists of genes, or between two groups of cells.

signature = read_table(Path("signature.csv").read_text())       # or read_lists(up, down), compare_groups(...)
placed = place(signature, library.genes)                        # its values at the genes of a library
"""

import csv
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from vccapp.data.names.genes import GeneNames
from vccapp.errors import DataError, SpecError
from vccapp.stats.index import Index
from vccapp.wording import name_some

LEAST_GENES = 50
"""Genes that a signature and a library have in common, at least."""
GENE_COLUMNS = ("gene", "symbol", "gene_symbol", "gene_name", "genesymbol", "feature", "names", "target_gene")
FOLD_COLUMNS = (
    *("log2foldchange", "log2_fold_change", "log2fc", "log2_fc", "avg_log2fc", "logfc", "lfc"),
    *("logfoldchanges", "log_fold_change", "fold_change", "foldchange", "delta", "value"),
)
"""How tables of differential expression call these columns, in lower case; the first that is there is taken."""
By = Literal["perturbation", "guide", "batch"]


@dataclass(frozen=True)
class Signature:
    """What changed, gene by gene; positive is up.

    values : by gene as it was named, log2 fold changes or deltas; of lists 1 and -1
    is_list : genes that are not named are taken not to change, not to be unknown
    made_of : (fingerprint, perturbation) of the measured cells that it was made of
    """

    name: str
    values: dict[str, float]
    is_list: bool = False
    notes: tuple[str, ...] = ()
    made_of: frozenset[tuple[str, str]] = frozenset()


@dataclass(frozen=True)
class Placed:
    """A signature at the genes of a library.

    places : (k,) positions of the genes that are known to change or not; values : (k,) float32; n_found : genes of
    the signature that the library measures; unknown : names that it does not
    """

    places: np.ndarray
    values: np.ndarray
    n_found: int
    unknown: tuple[str, ...]


def read_table(text: str, *, name: str = "table") -> Signature:
    """Genes and log2 fold changes, one gene a line: two columns, or a table of differential expression with a header.

    Columns are divided by tabs, commas, semicolons or blanks. A gene that is named twice gets the mean of its values.
    Raises DataError: signature_empty, signature_columns, signature_value.
    """
    rows = _split_rows(text)
    if not rows:
        raise DataError("signature_empty", "The signature has no genes", fix="give genes and log2 fold changes")
    gene, fold, first = _find_columns(rows)
    found: dict[str, list[float]] = {}
    missing = 0
    for number, row in enumerate(rows[first:], first + 1):
        cells = [*row, *[""] * (max(gene, fold) + 1 - len(row))]
        label, value = cells[gene], _number(cells[fold])
        if value is None:
            raise DataError(
                "signature_value",
                f"Line {number} of the signature gives '{cells[fold][:40]}' for {label[:40]}, which is no number",
                fix="give a log2 fold change for each gene",
            )
        if math.isfinite(value) and label:
            found.setdefault(label, []).append(value)
        else:
            missing += 1
    twice = [label for label, values in found.items() if len(values) > 1]
    notes = [f"{missing:,} lines without a finite value are left out."] if missing else []
    notes += [f"Named more than once, so that the mean counts: {name_some(twice)}."] if twice else []
    return Signature(name, {label: float(np.mean(values)) for label, values in found.items()}, notes=tuple(notes))


def read_lists(up: str, down: str, *, name: str = "lists") -> Signature:
    """Genes that go up and genes that go down, divided by commas, semicolons or blanks; each counts alike, once.

    A gene of both lists is left out. Raises DataError where both are empty.
    """
    rising, falling = (dict.fromkeys(word for word in re.split(r"[\s,;]+", text) if word) for text in (up, down))
    if not rising and not falling:
        raise DataError("signature_empty", "Both lists are empty", fix="give genes that go up, or down")
    both = [gene for gene in rising if gene in falling]
    values = {gene: 1.0 for gene in rising if gene not in falling}
    values |= {gene: -1.0 for gene in falling if gene not in rising}
    notes = [f"Both up and down, and left out: {name_some(both)}."] if both else []
    return Signature(name, values, is_list=True, notes=tuple(notes))


def compare_groups(
    index: Index, first: Sequence[str], second: Sequence[str], *, fingerprint: str, by: By = "perturbation"
) -> Signature:
    """Mean log1p over the cells of the groups `first` minus that of `second`, of one dataset.

    Raises SpecError for groups that are unknown, or the same on both sides.
    """
    table = {"perturbation": index.perturbations, "guide": index.guides, "batch": index.batches}[by]
    known = table.iloc[:, 0].tolist()
    row = {label: i for i, label in enumerate(known)}
    if unknown := [label for label in (*first, *second) if label not in row]:
        raise SpecError(
            "unknown_group", f"The dataset has no {by} {name_some(unknown)}", fix=f"choose of {name_some(known)}"
        )
    if not first or not second or set(first) & set(second):
        raise SpecError(
            "groups_alike", "The two groups of cells must be different, and not empty", fix="choose other groups"
        )
    means = index.array("mean" if by == "perturbation" else f"{by}_mean")
    sides = []
    for side in (first, second):
        rows = sorted({row[label] for label in side})
        n_cells = table["n_cells"].to_numpy(float)[rows]
        sides.append(np.average(means[rows].astype(np.float64), axis=0, weights=n_cells))
    values = dict(zip(index.genes["gene"].tolist(), (sides[0] - sides[1]).tolist(), strict=True))
    made_of = frozenset((fingerprint, label) for label in (*first, *second)) if by == "perturbation" else frozenset()
    return Signature(f"{name_some(first, 3)} minus {name_some(second, 3)}", values, made_of=made_of)


def place(signature: Signature, genes: Sequence[str]) -> Placed:
    """The signature at these genes, found by any of their names; of two names of one gene the mean counts.

    Raises SpecError `too_few_genes` where fewer than LEAST_GENES are found, `signature_flat` where none changes.
    """
    names, position = GeneNames(genes), {gene: i for i, gene in enumerate(genes)}
    found: dict[int, list[float]] = {}
    unknown = []
    for name, value in signature.values.items():
        match = names.find(name)
        if match is None:
            unknown.append(name)
        else:
            found.setdefault(position[match.gene], []).append(value)
    if len(found) < LEAST_GENES:
        raise SpecError(
            "too_few_genes",
            f"{len(found):,} of the {len(signature.values):,} genes of the signature are measured in the library",
            found=len(found),
            fix=f"give a signature with at least {LEAST_GENES} of its genes",
        )
    places = np.array(sorted(found), np.int64)
    values = np.array([sum(found[i]) / len(found[i]) for i in places.tolist()], np.float32)
    if not values.any():
        raise SpecError("signature_flat", "No gene of the signature changes", fix="give other values")
    if signature.is_list:
        whole = np.zeros(len(genes), np.float32)
        whole[places] = values
        places, values = np.arange(len(genes)), whole
    return Placed(places, values, len(found), tuple(unknown))


def _split_rows(text: str) -> list[list[str]]:
    """The cells of each line that is not empty."""
    lines = [line for line in text.replace("\ufeff", "").splitlines() if line.strip() and not line.startswith("#")]
    if not lines:
        return []
    mark = next((mark for mark in ("\t", ",", ";") if mark in lines[0]), None)
    rows: Iterable[list[str]] = csv.reader(lines, delimiter=mark) if mark else (line.split() for line in lines)
    return [[cell.strip() for cell in row] for row in rows]


def _find_columns(rows: Sequence[Sequence[str]]) -> tuple[int, int, int]:
    """Columns of genes and of fold changes, and the first row that is no header."""
    head = [cell.lower() for cell in rows[0]]
    gene = next((head.index(name) for name in GENE_COLUMNS if name in head), None)
    fold = next((head.index(name) for name in FOLD_COLUMNS if name in head), None)
    if fold is not None:
        if gene is None and (head[0] in ("", "index") or fold > 0):
            gene = 0  # names of rows, which R and pandas write without a head
        if gene is not None and gene != fold:
            return gene, fold, 1
    if len(rows[0]) == 2:
        return 0, 1, 0 if _number(rows[0][1]) is not None else 1
    raise DataError(
        "signature_columns",
        f"The signature has {len(rows[0])} columns, and none is called as log2 fold changes are",
        found=list(rows[0][:20]),
        fix="keep two columns, gene and log2 fold change, or call them gene and log2_fold_change",
    )


def _number(text: str) -> float | None:
    """The number of a cell; NaN where it is empty or says so, None where it is none."""
    if text.lower() in ("", "na", "nan", "null", "none"):
        return math.nan
    try:
        return float(text)
    except ValueError:
        return None
