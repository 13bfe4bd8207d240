"""Gene sets (.gmt) as an embedding: genes of the same sets are near each other.

The genes x sets table, each set weighted by log(genes / its size) and each gene scaled to unit length, is reduced to
its first singular vectors, as latent semantic analysis does with words and texts (Deerwester et al. 1990).
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from vccapp.data.embeddings.readers.base import READERS, Reader
from vccapp.data.gene_sets import read_gmt
from vccapp.data.schema import positions_of

WIDTH = 64


@READERS.register("gmt")
class GeneSets(Reader):
    label = ".gmt gene sets"

    def recognises(self, path: Path, head: bytes) -> bool:
        return path.suffix == ".gmt"

    def read(self, path: Path) -> tuple[list[str], np.ndarray]:
        """Genes, and their vectors (n, at most WIDTH)."""
        return embed_sets(read_gmt(path))


def embed_sets(sets: Mapping[str, Sequence[str]], *, width: int = WIDTH) -> tuple[list[str], np.ndarray]:
    """Genes in order of appearance and their vectors (n, at most `width`) float32, at most unit length."""
    from scipy.sparse import csr_matrix
    from scipy.sparse.linalg import svds

    genes = list(dict.fromkeys(gene for members in sets.values() for gene in members))
    row = positions_of(genes)
    kept = [members for members in sets.values() if len(members) < len(genes)] or list(sets.values())
    rows = [row[gene] for members in kept for gene in members]
    columns = np.repeat(np.arange(len(kept)), [len(members) for members in kept])
    weight = np.log1p(len(genes) / np.array([len(members) for members in kept]))
    table = csr_matrix((weight[columns], (rows, columns)), shape=(len(genes), len(kept)))
    length = np.sqrt(np.asarray(table.multiply(table).sum(axis=1)).ravel())
    table = table.multiply(1 / np.maximum(length, 1e-12)[:, None]).tocsr()
    if min(table.shape) <= width + 1:
        left, values, _ = np.linalg.svd(table.toarray(), full_matrices=False)
        kept_values = values[:width] > 1e-9 * values[0]
        return genes, (left[:, :width] * values[:width])[:, kept_values].astype(np.float32)
    left, values, _ = svds(table, k=width, v0=np.ones(min(table.shape)))
    order = np.argsort(-values)
    return genes, (left[:, order] * values[order]).astype(np.float32)
