"""The official gene list: one gene a line, the order of the prediction's columns.

The official file has no header row and its packager accepts none; ours accepts both and says which it found.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from vccapp.data.names.genes import GeneNames
from vccapp.data.schema import positions_of
from vccapp.errors import DataError, SpecError
from vccapp.textfiles import read_text
from vccapp.wording import name_some

HEADERS = {"gene", "genes", "gene_name", "gene_names", "gene_symbol", "symbol", "feature_name", "index", "0", ""}
"""First cells of the first row, in lower case, that are column names and no genes."""


class GeneList(NamedTuple):
    genes: tuple[str, ...]
    note: str


def read_gene_list(path: Path | str) -> GeneList:
    """The first column of a CSV. Raises DataError for a file that is absent, empty, or names a gene twice."""
    path = Path(path)
    try:
        lines = read_text(path).splitlines()
    except DataError as error:
        fix = "use the challenge's gene_names.csv"
        raise DataError(error.code, error.problem, found=error.found, fix=fix) from None
    names = [line.split(",")[0].strip().strip('"') for line in lines if line.strip()]
    header = names[0] if names and names[0].lower() in HEADERS else None
    genes = tuple(names[1:] if header is not None else names)
    if not genes or "" in genes:
        found = f"an empty name in row {genes.index('') + 1}" if genes else "no gene"
        raise DataError(
            "gene_list",
            f"{path} has {found}",
            fix="use the challenge's gene_names.csv",
        )
    if len(set(genes)) < len(genes):
        twice = next(g for i, g in enumerate(genes) if g in genes[:i])
        raise DataError(
            "repeated_genes",
            f"{path} names {twice} more than once ({len(genes) - len(set(genes))} repeats)",
            fix="keep each gene once",
        )
    row = f"with the header row '{header}'" if header is not None else "without a header row"
    return GeneList(genes, f"{path.name}: {len(genes):,} genes, {row}.")


def find_columns(genes: tuple[str, ...], training_genes: list[str]) -> np.ndarray | None:
    """Where each gene of the list stands in the training data; None when the two are the same sequence.

    Raises SpecError naming the genes that the training data lack.
    """
    if list(genes) == training_genes:
        return None
    position = positions_of(training_genes)
    missing = [gene for gene in genes if gene not in position]
    if missing:
        raise SpecError(
            "genes_lacking",
            f"The training data lack {len(missing):,} of the {len(genes):,} genes of the list, e.g. "
            f"{name_some(missing)}",
            fix="open the challenge's training file, or give a list of genes that it has",
        )
    return np.array([position[gene] for gene in genes])


def match_genes(genes: Sequence[str], found: Sequence[str]) -> np.ndarray:
    """(len(genes),) where each gene of the list stands in a file, -1 where it is not there.

    By name; or by a name without version or prefix, or in another case, where only one column has it.
    """
    position = {name: i for i, name in reversed(list(enumerate(found)))}
    names = GeneNames(list(genes))
    others: dict[str, list[int]] = {}
    wanted = set(genes)
    for i, name in enumerate(found):
        if name not in wanted and (gene := _means(name, names)) is not None:
            others.setdefault(gene, []).append(i)
    alone = {gene: where[0] for gene, where in others.items() if len(where) == 1}
    return np.array([position.get(gene, alone.get(gene, -1)) for gene in genes], dtype=np.int64)


def _means(name: str, names: GeneNames) -> str | None:
    """The gene of the list that another name means: STAT1.1, stat1, ENSG00000115415_STAT1."""
    found = names.find(name) or names.find(re.sub(r"[.-]\d+$", "", name))
    return None if found is None or found.way == "alias" else found.gene
