"""A network of genes as an embedding: genes with the same neighbours, near or a few steps away, are near each other.

NetMF (Qiu et al., WSDM 2018): walks of at most WINDOW steps, as DeepWalk draws them, in closed form. With the weighted
adjacency A, the degrees D and their sum vol,

    M = log max(1, vol / WINDOW sum_{r=1}^{WINDOW} (D^-1 A)^r D^-1),    vectors = U sqrt(S) of the largest S, M = U S V'

Walks are summed over the RANK largest eigenvalues of the normalised adjacency. WINDOW, RANK and WIDTH are those of the
paper. M is never held as a whole: memory is that of the eigenvectors and of BLOCK rows.
"""

from collections.abc import Callable, Sequence

import numpy as np
from scipy.sparse import csr_matrix, diags_array

from vccapp.data.embeddings.aliases import current_symbol
from vccapp.data.embeddings.base import loosen
from vccapp.data.schema import positions_of

WINDOW, RANK, WIDTH = 10, 256, 128
SMALL = 2 * RANK
"""Genes up to which everything is decomposed as a whole."""
BLOCK = 1024
PASSES, SPARE = 8, 32
"""Of the block power iteration for the largest singular vectors of M, and how many more vectors it takes along."""


def link_genes(first: Sequence[str], second: Sequence[str], weights: np.ndarray) -> tuple[list[str], csr_matrix]:
    """Genes under their current symbols, and the symmetric adjacency (n, n) between them.

    Names of the same gene are one; of an edge that is given several times the largest weight counts; edges from a gene
    to itself are left out. weights : (edges,) positive
    """
    symbols = {name: current_symbol(name) for name in dict.fromkeys((*first, *second))}
    shown: dict[str, str] = {}
    for symbol in symbols.values():
        shown.setdefault(loosen(symbol), symbol)
    row = positions_of(shown)
    place = {name: row[loosen(symbol)] for name, symbol in symbols.items()}
    ends = np.array([[place[name] for name in names] for names in (first, second)]).reshape(2, -1)
    low, high, kept = ends.min(axis=0), ends.max(axis=0), ends[0] != ends[1]
    order = np.lexsort((weights, high, low))
    order = order[kept[order]]
    last = np.ones(len(order), bool)  # of the same edge, the largest weight
    last[:-1] = (np.diff(low[order]) != 0) | (np.diff(high[order]) != 0)
    low, high, own = low[order][last], high[order][last], np.asarray(weights, np.float64)[order][last]
    half = csr_matrix((own, (low, high)), shape=(len(shown), len(shown)))
    linked = np.flatnonzero(half.sum(axis=0) + half.sum(axis=1).T)  # a gene may be linked to itself alone
    names = list(shown.values())
    return [names[i] for i in linked], (half + half.T).tocsr()[linked][:, linked]


def embed_network(adjacency: csr_matrix, *, width: int = WIDTH, seed: int = 0) -> np.ndarray:
    """(n, at most `width`) float32 vectors of the genes of a network, each of which has a neighbour.

    adjacency : (n, n) symmetric, weights of edges; seed : of the start of the iteration for networks above SMALL
    """
    n = adjacency.shape[0]
    left, right = _sum_walks(adjacency)
    if n <= SMALL:
        values, vectors = np.linalg.eigh(_log(left @ right.T))
    else:
        values, vectors = _iterate(lambda block: _times_log(left, right, block), n, width + SPARE, seed=seed)
    order = np.argsort(-np.abs(values), kind="stable")[:width]
    order = order[np.abs(values[order]) > 1e-6 * np.abs(values).max()]
    return (vectors[:, order] * np.sqrt(np.abs(values[order]))).astype(np.float32)


def _sum_walks(adjacency: csr_matrix) -> tuple[np.ndarray, np.ndarray]:
    """Two float32 (n, k) whose product is what M takes the logarithm of."""
    from scipy.sparse.linalg import eigsh

    n, degrees = adjacency.shape[0], np.asarray(adjacency.sum(axis=1)).ravel()
    root = 1 / np.sqrt(degrees)
    normal = diags_array(root) @ adjacency @ diags_array(root)
    if n <= SMALL:
        values, vectors = np.linalg.eigh(normal.toarray())
    else:
        values, vectors = eigsh(normal, k=RANK, v0=np.ones(n))
    steps = np.mean([values**r for r in range(1, WINDOW + 1)], axis=0)
    scaled = root[:, None] * vectors
    return scaled.astype(np.float32), (scaled * (degrees.sum() * steps)).astype(np.float32)


def _log(products: np.ndarray) -> np.ndarray:
    np.maximum(products, 1, out=products)
    return np.log(products, out=products)


def _times_log(left: np.ndarray, right: np.ndarray, block: np.ndarray) -> np.ndarray:
    """M times a block (n, k), a few rows of M at a time."""
    parts = [_log(left[i : i + BLOCK] @ right.T) @ block for i in range(0, len(left), BLOCK)]
    return np.vstack(parts)


def _iterate(
    times: Callable[[np.ndarray], np.ndarray], n: int, width: int, *, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvalues and vectors of a symmetric matrix (n, n) by block power iteration (Halko et al. 2011)."""
    basis = np.random.default_rng(seed).normal(size=(n, width)).astype(np.float32)
    for _ in range(PASSES):
        basis, _ = np.linalg.qr(times(basis))
    inner = basis.T @ times(basis)
    values, vectors = np.linalg.eigh((inner + inner.T) / 2)
    return values, basis @ vectors
