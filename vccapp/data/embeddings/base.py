"""A gene embedding: one vector a gene, whatever file it came from.

    embedding = open_embedding("default")                    # vccapp.data.embeddings
    vectors = embedding.rows(["STAT1", "CEBPE+RUNX1T1"])     # (2, d); of two genes the sum
    embedding.coverage(labels)                               # which targets it knows, and under which name

A gene that the embedding lacks is an error, or filled as the caller says, and never a silent zero. Names are looked up
as they are, then without regard to case, dashes and Ensembl versions, then through the table of aliases.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Literal, Self

import numpy as np
import pandas as pd

from vccapp.data.embeddings.aliases import current_symbol
from vccapp.data.schema import genes_of, is_control, positions_of
from vccapp.errors import DataError

Missing = Literal["error", "mean", "zero"]
_ENSEMBL_VERSION = re.compile(r"^(ENS[A-Z]*G\d{11})\.\d+$")


@dataclass(frozen=True, eq=False)
class Embedding:
    """Vectors of genes. Raises DataError where they are no matrix of finite numbers with one row a gene.

    genes : n names, each once; matrix : (n, d) float32; provenance : where it comes from, in a sentence
    absent : of one that was joined, by the name of each part the genes that it lacks; their vectors are 0 there
    note : what was left out or filled when it was read, in sentences
    """

    genes: tuple[str, ...]
    matrix: np.ndarray
    name: str
    provenance: str
    absent: Mapping[str, frozenset[str]] = field(default_factory=dict)
    note: str = ""

    def __post_init__(self) -> None:
        shape = self.matrix.shape
        if len(shape) != 2 or shape[0] != len(self.genes) or 0 in shape:
            raise DataError(
                "embedding_shape",
                f"{self.name}: {len(self.genes):,} genes and values of shape {shape} do not form a gene embedding",
            )
        if len(set(self.genes)) < len(self.genes):
            [twice] = pd.Series(self.genes)[pd.Series(self.genes).duplicated()].head(1)
            raise DataError(
                "repeated_gene",
                f"{self.name}: the gene {twice} has more than one vector",
                fix="keep one",
            )
        if not np.isfinite(self.matrix).all():
            row = int(np.argmin(np.isfinite(self.matrix).all(axis=1)))
            raise DataError(
                "not_finite",
                f"{self.name}: the vector of {self.genes[row]} holds values that are not finite",
                fix="remove the gene",
            )
        object.__setattr__(self, "matrix", np.ascontiguousarray(self.matrix, np.float32))

    @property
    def width(self) -> int:
        return self.matrix.shape[1]

    @cached_property
    def _exact(self) -> dict[str, int]:
        return positions_of(self.genes)

    @property
    def _loose(self) -> dict[str, int]:
        return _loose_rows(self.genes)

    @cached_property
    def mean(self) -> np.ndarray:
        """(d,) mean vector of all genes."""
        return self.matrix.mean(axis=0)

    def find(self, gene: str) -> int | None:
        """The row of a gene, or None."""
        if gene in self._exact:
            return self._exact[gene]
        row = self._loose.get(loosen(gene))
        return row if row is not None else self._loose.get(loosen(current_symbol(loosen(gene))))

    def rows(self, labels: Sequence[str], missing: Missing = "error") -> np.ndarray:
        """(n, d) float32, one row a label: a gene's vector, the sum of two for 'A+B', zeros for the control.

        missing : what stands for a gene without a vector: "mean" of all genes, "zero", or "error", a DataError.
        """
        rows = [[self.find(gene) for gene in targets_of(label)] for label in labels]
        if missing == "error" and any(None in found for found in rows):
            lacking = [label for label, found in zip(labels, rows, strict=True) if None in found]
            raise DataError(
                "no_vector",
                f"{self.name} has no vector for {', '.join(lacking[:5])}, {len(lacking):,} of {len(labels):,} "
                "perturbations",
                fix="choose an embedding that has them, or a fallback",
            )
        filler = self.mean if missing == "mean" else np.zeros(self.width, np.float32)
        out = np.zeros((len(labels), self.width), np.float32)
        for row, found in enumerate(rows):
            for at in found:
                out[row] += filler if at is None else self.matrix[at]
        return out

    def coverage(self, labels: Sequence[str]) -> pd.DataFrame:
        """perturbation, n_targets, n_known, found_as (other names that were used), missing (genes without a vector),
        partly (genes that some of the joined embeddings lack).
        """
        table = []
        for label in labels:
            genes = targets_of(label)
            rows = [self.find(gene) for gene in genes]
            pairs = [(gene, None if row is None else self.genes[row]) for gene, row in zip(genes, rows, strict=True)]
            lacking = [gene for gene, found in pairs if found is None]
            renamed = [f"{gene} = {found}" for gene, found in pairs if found not in (None, gene)]
            partly = [gene for gene, found in pairs if any(found in genes for genes in self.absent.values())]
            row = (label, len(genes), len(genes) - len(lacking), ", ".join(renamed), ", ".join(lacking))
            table.append((*row, ", ".join(partly)))
        return pd.DataFrame(table, columns=["perturbation", "n_targets", "n_known", "found_as", "missing", "partly"])

    def reduced(self, width: int) -> Self:
        """The first `width` principal components over its genes, if it is wider; the vectors are centred by that."""
        if self.width <= width:
            return self
        centred = self.matrix - self.mean
        _, vectors = np.linalg.eigh((centred.T @ centred).astype(np.float64))
        matrix = centred @ vectors[:, ::-1][:, :width].astype(np.float32)
        source = f"{self.provenance} First {width} principal components of {self.width}."
        return type(self)(self.genes, matrix, self.name, source, self.absent, self.note)


def join(parts: Sequence[Embedding]) -> Embedding:
    """Several embeddings side by side, for the genes that any of them has, named as in the first that has them.

    Each is centred over its own genes and scaled to a mean squared length of 1, so that each weighs alike; a gene that
    it lacks has its mean there, which is 0. Raises DataError when no gene is in all of them.
    """
    if len(parts) == 1:
        return parts[0]
    genes: list[str] = []
    rows: list[tuple[int | None, ...]] = []  # of each gene in each part
    taken: list[set[int | None]] = [set() for _ in parts]
    for first, part in enumerate(parts):
        for i, gene in enumerate(part.genes):
            if i in taken[first]:
                continue
            row = (*[None] * first, i, *(other.find(gene) for other in parts[first + 1 :]))
            for k, place in enumerate(row):
                taken[k].add(place)
            genes.append(gene)
            rows.append(row)
    name = " + ".join(part.name for part in parts)
    whole = sum(None not in row for row in rows)
    if not whole:
        raise DataError(
            "no_common_gene",
            f"{name}: these embeddings have no gene in common",
            fix="check that they name genes alike, or join others",
        )
    blocks, absent = [], {}
    for part, places in zip(parts, zip(*rows, strict=True), strict=True):
        here = [i for i, place in enumerate(places) if place is not None]
        own = part.matrix[[place for place in places if place is not None]]
        own = own - own.mean(axis=0)
        block = np.zeros((len(genes), part.width), np.float32)
        block[here] = own / max(float(np.sqrt((own**2).sum(axis=1).mean())), 1e-12)
        blocks.append(block)
        absent[part.name] = frozenset(gene for gene, place in zip(genes, places, strict=True) if place is None)
    provenance = f"{len(genes):,} genes, of which {whole:,} are in all. " + " ".join(part.provenance for part in parts)
    note = " ".join(part.note for part in parts if part.note)
    return Embedding(tuple(genes), np.hstack(blocks), name, provenance, absent, note)


def targets_of(label: str) -> tuple[str, ...]:
    """The genes that a label names: none for the control, two for 'A+B'."""
    return () if is_control(label) else genes_of(label)


@lru_cache(maxsize=8)
def _loose_rows(genes: tuple[str, ...]) -> dict[str, int]:
    """Names as written, loosely, before names that they are aliases of; the first gene keeps a contested name."""
    rows: dict[str, int] = {}
    for row, gene in enumerate(genes):
        rows.setdefault(loosen(gene), row)
    for row, gene in enumerate(genes):
        if (symbol := current_symbol(gene)) != gene:
            rows.setdefault(loosen(symbol), row)
    return rows


def loosen(name: str) -> str:
    """A name in capitals, with '-' for '_' and blanks, without an Ensembl version."""
    upper = name.strip().upper()
    return upper if upper.isalnum() else _ENSEMBL_VERSION.sub(r"\1", re.sub(r"[_\s]+", "-", upper))
