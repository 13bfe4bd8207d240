"""Compiled inner loops of the index. Nothing here reads files; every function works on plain arrays.

Values: a stored count x of a cell with total t becomes log1p(x / (t / target_sum)), see `vccapp.stats.normalise`. For
log1p input `scaling` is 0 and values pass as they are.

Compiled code is cached beside this file, so only the first index on a machine waits for the compiler.
"""

import math
import os

import numpy as np

# Before numba loads OpenMP: threads that wait for work by spinning take the cores from those that read and inflate.
# On a busy machine with small blocks the loops then take ten times as long.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from numba import njit, prange  # noqa: E402

TABLE = 64
"""Counts below this are normalised by one small table a cell instead of one logarithm a value."""


@njit(parallel=True, cache=True, nogil=True)
def row_totals(data: np.ndarray, ends: np.ndarray, logged: bool) -> tuple[np.ndarray, np.ndarray]:
    """Sum of the values of each row (of expm1 where they are `logged`), and what is wrong with them.

    Returns (n,) float64 and (n,) uint8: 0 nothing, 1 not finite, 2 negative, 3 a fraction among counts.
    """
    totals = np.zeros(len(ends) - 1)
    wrong = np.zeros(len(ends) - 1, np.uint8)
    for i in prange(len(totals)):
        total = 0.0
        for j in range(np.uintp(ends[i]), np.uintp(ends[i + 1])):
            x = np.float64(data[j])
            if not math.isfinite(x):
                wrong[i] = 1
            elif x < 0:
                wrong[i] = 2
            elif logged:
                total += math.expm1(x)
            else:
                if x != math.floor(x):
                    wrong[i] = 3
                total += x
        totals[i] = total
    return totals, wrong


@njit(cache=True, nogil=True)
def log_value(x: float, scaling: float) -> np.float32:
    """One stored value as log1p of depth-normalised counts; `scaling` 0 means it is log1p already."""
    if scaling == 0:
        return np.float32(x)
    return np.float32(math.log1p(np.float64(x / scaling)))


@njit(parallel=True, cache=True, nogil=True)
def add_rows(
    data: np.ndarray,
    indices: np.ndarray,
    indptr: np.ndarray,
    scaling: np.ndarray,
    tables: np.ndarray,
    groups: np.ndarray,
    order: np.ndarray,
    edges: np.ndarray,
    moments: np.ndarray,
    halves: np.ndarray,
    genes: np.ndarray,
    nonzero: np.ndarray,
) -> None:
    """Add CSR rows to the accumulator, each thread on its own ranges of genes, so no two write to one place.

    tables : (n_rows, TABLE) float32, log1p values of the counts 0 .. TABLE - 1
    groups : (n_rows, 4) int32: stratum and batch (rows of `moments`), perturbation (row of `halves`, -1 for the cells
    of the other half), 0 for a control and 1 for any other cell
    order : rows sorted so that strata repeat; edges : gene ranges; the other arrays are the accumulator's
    Written out in full: a loop over the two groups would make numba copy them, and unsigned indices skip its check
    for negative ones.
    """
    for part in prange(len(edges) - 1):
        first, last = edges[part], edges[part + 1]
        for i in order:
            start, stop = indptr[i], indptr[i + 1]
            low = np.uintp(start + np.searchsorted(indices[start:stop], first))
            high = np.uintp(start + np.searchsorted(indices[start:stop], last))
            stratum, batch = moments[groups[i, 0]], moments[groups[i, 1]]
            half, kind = groups[i, 2], np.uintp(groups[i, 3])
            scale, table = scaling[i], tables[i]
            for j in range(low, high):
                g = np.uintp(indices[j])
                stored = data[j]
                k = np.uintp(np.uint32(stored))
                if stored < np.float32(TABLE) and np.float32(k) == stored:
                    v = np.float64(table[k])
                else:
                    v = np.float64(log_value(stored, scale))
                x = np.float64(stored)
                y = x / scale if scale != 0 else math.expm1(v)
                stratum[g, 0] += x
                stratum[g, 1] += x * x
                stratum[g, 2] += v
                stratum[g, 3] += v * v
                batch[g, 0] += x
                batch[g, 1] += x * x
                batch[g, 2] += v
                batch[g, 3] += v * v
                if half >= 0:
                    halves[half, g, 0] += x
                    halves[half, g, 1] += v
                genes[g, 0] = max(genes[g, 0], x)
                genes[g, 1] = min(genes[g, 1], x)
                genes[g, 2] += y
                genes[g, 3] += y * y
                nonzero[g, kind] += 1


@njit(parallel=True, cache=True, nogil=True)
def scatter(
    data: np.ndarray,
    indices: np.ndarray,
    indptr: np.ndarray,
    first: int,
    edges: np.ndarray,
    limit: np.float32,
    block: np.ndarray,
) -> None:
    """Write CSR rows into a gene-major block, values above `limit` as `limit`.

    block : (n_genes, block_cells), zero where nothing is written; first : column of the first row
    """
    for part in prange(len(edges) - 1):
        low_gene, high_gene = edges[part], edges[part + 1]
        for i in range(len(indptr) - 1):
            start, stop = indptr[i], indptr[i + 1]
            low = start + np.searchsorted(indices[start:stop], low_gene)
            for j in range(low, stop):
                g = indices[j]
                if g >= high_gene:
                    break
                block[g, first + i] = min(data[j], limit)


@njit(cache=True, nogil=True)
def sort_by_key(
    keys: np.ndarray, groups: np.ndarray, other_keys: np.ndarray, other_groups: np.ndarray, n: int
) -> tuple[np.ndarray, np.ndarray]:
    """Stable radix sort (three passes of 11 bits) of the first `n` keys, groups carried along; result in the inputs.

    Keys are float32 bit patterns of positive numbers, whose order as integers is the order of the numbers.
    """
    counts = np.zeros((3, 2048), np.int64)
    for i in range(n):
        k = keys[i]
        counts[0, k & 2047] += 1
        counts[1, (k >> 11) & 2047] += 1
        counts[2, (k >> 22) & 2047] += 1
    source, source_groups, target, target_groups = keys, groups, other_keys, other_groups
    for digit in range(3):
        shift = 11 * digit
        position = 0
        skip = False
        for b in range(2048):
            c = counts[digit, b]
            if c == n:
                skip = True
            counts[digit, b] = position
            position += c
        if skip:
            continue
        for i in range(n):
            k = source[i]
            b = (k >> shift) & 2047
            p = counts[digit, b]
            counts[digit, b] = p + 1
            target[p] = k
            target_groups[p] = source_groups[i]
        source, source_groups, target, target_groups = target, target_groups, source, source_groups
    return source, source_groups


@njit(cache=True, nogil=True)
def add_ranks(
    keys: np.ndarray,
    groups: np.ndarray,
    n: int,
    zeros: np.ndarray,
    here: np.ndarray,
    present: np.ndarray,
    u: np.ndarray,
    ties: np.ndarray,
) -> None:
    """U of every group against group 0 and its tie term, of one gene, written to the rows `u` and `ties` (n_groups,).

    keys, groups : the first `n` are the sorted non-zero values and their groups; zeros : (n_groups,) cells at zero
    here : (n_groups,) zeros, and zeros again afterwards; present : (n_groups,) room for work
    """
    n_groups = len(zeros)
    below = np.float64(zeros[0])
    control_ties = below**3 - below
    for p in range(1, n_groups):
        z = np.float64(zeros[p])
        u[p] = 0.5 * z * below
        t = below + z
        ties[p] = (t**3 - t) - control_ties
    i = 0
    while i < n:
        key = keys[i]
        n_present = 0
        controls = np.int64(0)
        while i < n and keys[i] == key:
            p = groups[i]
            if p == 0:
                controls += 1
            else:
                if here[p] == 0:
                    present[n_present] = p
                    n_present += 1
                here[p] += 1
            i += 1
        base = np.float64(controls) ** 3 - controls
        control_ties += base
        for q in range(n_present):
            p = present[q]
            m = np.float64(here[p])
            u[p] += m * (below + 0.5 * controls)
            t = controls + m
            ties[p] += (t**3 - t) - base
            here[p] = 0
        below += controls
    for p in range(1, n_groups):
        ties[p] += control_ties


@njit(parallel=True, cache=True, nogil=True)
def rank_sums(
    logs: np.ndarray, linear: np.ndarray, group: np.ndarray, n_groups: int, sizes: np.ndarray, n_threads: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Mann-Whitney U of every group against group 0, for every gene of a block, from one sort a gene.

    logs, linear : (n_block, n_cells) float32 log1p and depth-normalised values, zero where absent, never negative
    group : (n_cells,) int32, 0 is the control, -1 is left out; sizes : (n_groups,) cells of each group
    Returns U of the group (n_block, n_groups) float64, the tie term sum(t^3 - t) over the union of group and control
    (n_block, n_groups) float64, sums of log and of linear values (n_block, n_groups) float64.
    Zeros are one tie at the bottom and are counted, not sorted (Mann & Whitney 1947, doi:10.1214/aoms/1177730491).
    """
    n_block, n_cells = logs.shape
    u = np.zeros((n_block, n_groups), np.float64)
    ties = np.zeros((n_block, n_groups), np.float64)
    log_sum = np.zeros((n_block, n_groups), np.float64)
    linear_sum = np.zeros((n_block, n_groups), np.float64)
    for thread in prange(n_threads):
        present_values = np.empty(n_cells, np.float32)
        keys = present_values.view(np.uint32)
        groups = np.empty(n_cells, np.int32)
        other_keys = np.empty(n_cells, np.uint32)
        other_groups = np.empty(n_cells, np.int32)
        zeros = np.empty(n_groups, np.int64)
        here = np.zeros(n_groups, np.int64)
        present = np.empty(n_groups, np.int32)
        for g in range(thread, n_block, n_threads):
            n = 0
            zeros[:] = sizes
            for c in range(n_cells):
                v = logs[g, c]
                p = group[c]
                if v != 0 and p >= 0:
                    present_values[n] = v
                    groups[n] = p
                    log_sum[g, p] += v
                    linear_sum[g, p] += linear[g, c]
                    zeros[p] -= 1
                    n += 1
            sorted_keys, sorted_groups = sort_by_key(keys, groups, other_keys, other_groups, n)
            add_ranks(sorted_keys, sorted_groups, n, zeros, here, present, u[g], ties[g])
    return u, ties, log_sum, linear_sum


@njit(cache=True, nogil=True)
def p_values(u: np.ndarray, ties: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Two-sided asymptotic p of U with tie correction and continuity 0.5; 1 where there is no variance.

    u, ties : (n_genes, n_groups); sizes : (n_groups,), group 0 the control. Equal to
    `scipy.stats.mannwhitneyu(group, control, method="asymptotic")`.
    """
    n_genes, n_groups = u.shape
    p = np.ones((n_genes, n_groups), np.float64)
    n_control = np.float64(sizes[0])
    for g in range(n_genes):
        for k in range(1, n_groups):
            m = np.float64(sizes[k])
            total = m + n_control
            if m == 0 or n_control == 0 or total < 2:
                continue
            mean = 0.5 * m * n_control
            variance = m * n_control / 12.0 * ((total + 1.0) - ties[g, k] / (total * (total - 1.0)))
            if variance <= 0:
                continue
            z = (abs(u[g, k] - mean) - 0.5) / math.sqrt(variance)
            p[g, k] = min(1.0, math.erfc(z / math.sqrt(2.0)))
    return p
