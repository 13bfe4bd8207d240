"""A network of genes as the list of its edges: two genes on each line, and a weight where there is one. Also .gz.

It becomes an embedding by the code that makes the network which ships (`vccapp.data.embeddings.network`).
"""

import gzip
import zlib
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd

from vccapp.data.embeddings.aliases import current_symbol, load_aliases
from vccapp.data.embeddings.base import loosen
from vccapp.data.embeddings.network import embed_network, link_genes
from vccapp.data.embeddings.readers.base import READERS
from vccapp.data.embeddings.readers.table import Table, parse, read_text, separator_of
from vccapp.errors import DataError

HEAD_BYTES, HEAD_LINES = 2**16, 200
MIN_GENES, MAX_GENES = 3, 50_000
MAX_EDGES = 5_000_000


@READERS.register("edges")
class Edges(Table):
    label = "edge list of a network (gene, gene, weight)"

    def recognises(self, path: Path, head: bytes) -> bool:
        return super().recognises(path, head) and head[:4] not in (b"PK\x03\x04", b"PAR1") and _are_edges(_peek(path))

    def read(self, path: Path) -> tuple[list[str], np.ndarray]:
        known = path.stat()
        genes, vectors, self.note = _embed(path, known.st_mtime_ns, known.st_size)
        return list(genes), vectors


@lru_cache(maxsize=2)
def _embed(path: Path, changed: int, size: int) -> tuple[tuple[str, ...], np.ndarray, str]:
    """Genes, vectors, and what was left out; the last ones are kept, as a large network takes minutes.

    changed, size : of the file; with others it is another network
    """
    table = parse(path, lambda: read_text(path, header=None, dtype=str, keep_default_na=False, nrows=MAX_EDGES + 1))
    if len(table) > MAX_EDGES:
        raise DataError(
            "too_large", f"{path.name}: it has more than {MAX_EDGES:,} lines", fix="keep the edges that are needed"
        )
    if _is_header(table):
        table = table[1:]
    first, second = (table[column].str.strip() for column in (0, 1))
    weights = pd.to_numeric(table[2] if table.shape[1] == 3 else pd.Series(1.0, table.index), errors="coerce")
    wrong = ~(np.isfinite(weights) & (weights > 0)) | (first == "") | (second == "")
    if wrong.any():
        line = int(np.argmax(wrong)) + 1
        raise DataError(
            "not_a_network",
            f"{path.name}: edge {line:,} is not two genes and a weight above 0",
            found=line,
            fix="write two genes on each line, and a positive weight or none",
        )
    genes, adjacency = link_genes(first.tolist(), second.tolist(), weights.to_numpy(np.float64))
    if not MIN_GENES <= len(genes) <= MAX_GENES:
        raise DataError(
            "not_a_network",
            f"{path.name}: it links {len(genes):,} genes, and {MIN_GENES} to {MAX_GENES:,} are read",
            found=len(genes),
            fix="keep the edges that are needed",
        )
    vectors = embed_network(adjacency)
    if vectors.shape[1] == 0:
        problem = f"{path.name}: its edges tell no genes apart, as each is linked to all alike"
        raise DataError("not_a_network", problem, fix="use another network")
    kept = adjacency.nnz // 2
    rest = f"; {len(table) - kept:,} repeated or from a gene to itself left out" if kept < len(table) else ""
    return tuple(genes), vectors, f"{kept:,} edges of {len(genes):,} genes{rest}."


def _peek(path: Path) -> list[list[str]]:
    """Fields of the first lines; none where they cannot be read."""
    try:
        with gzip.open(path) if path.name.lower().endswith(".gz") else path.open("rb") as file:
            lines = file.read(HEAD_BYTES).decode().splitlines()[:HEAD_LINES]
    except (OSError, EOFError, zlib.error, UnicodeDecodeError):
        return []
    return [[field.strip().strip('"') for field in line.split(separator_of(path))] for line in lines]


def _are_edges(lines: list[list[str]]) -> bool:
    """Whether lines below the first hold two names and a number or none, and most of the second names are genes."""
    rows = lines[1:-1] or lines[1:] or lines  # the last may be cut
    if not rows or not all(len(row) in (2, 3) and len(row) == len(rows[0]) for row in rows):
        return False
    if any(map(_is_number, (field for row in rows for field in row[:2]))) or not all(
        map(_is_number, (row[2] for row in rows if row[2:]))
    ):
        return False
    first = {row[0] for row in rows}
    return sum(row[1] in first or _is_gene(row[1]) for row in rows) >= len(rows) / 2


def _is_header(table: pd.DataFrame) -> bool:
    """Whether the first line has a word for a weight, or names that are no genes and on no other line."""
    words = table.iloc[0].str.strip().tolist()
    if len(words) > 2:
        return not _is_number(words[2])
    names = {*table.iloc[1:, 0], *table.iloc[1:, 1]}
    return words == ["from", "to"] or not any(word in names or _is_gene(word) for word in words)


def _is_gene(name: str) -> bool:
    return loosen(current_symbol(loosen(name))) in _symbols()


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


@lru_cache(maxsize=1)
def _symbols() -> frozenset[str]:
    return frozenset(map(loosen, load_aliases().values()))
