"""Compiled inner loops of scoring two files of cells. Nothing here reads files; every function works on plain arrays.

Columns are stored values gene by gene: of gene g the `values[ends[g] : ends[g + 1]]` of the `cells`, in their order.
Compiled code is cached beside this file.
"""

import math

import numpy as np
from numba import njit, prange

from vccapp.stats.kernels import add_ranks, sort_by_key

FAR = 1 / 8


@njit(cache=True, nogil=True)
def count_genes(indices: np.ndarray, indptr: np.ndarray, groups: np.ndarray, counts: np.ndarray) -> None:
    """Add to counts (2, n_genes) how many values CSR rows store of each gene: of group 0, and of the others."""
    for i in range(len(indptr) - 1):
        own = counts[min(groups[i], 1)]
        for j in range(np.uintp(indptr[i]), np.uintp(indptr[i + 1])):
            own[indices[j]] += 1


@njit(parallel=True, cache=True, nogil=True)
def turn(
    data: np.ndarray,
    indices: np.ndarray,
    indptr: np.ndarray,
    groups: np.ndarray,
    first_cell: int,
    edges: np.ndarray,
    place: np.ndarray,
    cells: np.ndarray,
    values: np.ndarray,
) -> None:
    """Append CSR rows to columns, each thread on its own range of genes.

    groups : of the rows, negative for those that are left out; edges : gene ranges; of them only these genes are taken
    place : (n_genes,) where each gene's next value goes, counted from the first gene taken; moved on
    """
    for part in prange(len(edges) - 1):
        low_gene, high_gene = edges[part], edges[part + 1]
        for i in range(len(indptr) - 1):
            if groups[i] < 0:
                continue
            start, stop = indptr[i], indptr[i + 1]
            low = start + np.searchsorted(indices[start:stop], low_gene)
            for j in range(np.uintp(low), np.uintp(stop)):
                g = indices[j]
                if g >= high_gene:
                    break
                p = place[g]
                place[g] = p + 1
                cells[p] = first_cell + i
                values[p] = data[j]


@njit(cache=True, nogil=True)
def scale(
    stored: np.ndarray, cells: np.ndarray, groups: np.ndarray, divisor: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Float64 values, divided by that of their cell, and the group of each. groups, divisor : (n_cells,)."""
    values, members = np.empty(len(stored)), np.empty(len(stored), np.int32)
    for j in range(len(stored)):
        cell = np.uintp(cells[j])
        values[j] = stored[j] / divisor[cell]
        members[j] = groups[cell]
    return values, members


@njit(cache=True, nogil=True)
def sort_values(values: np.ndarray) -> np.ndarray:
    """Positions that sort positive float64 `values`: by radix as float32, which leaves little to put right after it."""
    n = len(values)
    rounded = values.astype(np.float32)
    positions = np.arange(n).astype(np.int32)
    _, order = sort_by_key(rounded.view(np.uint32), positions, np.empty(n, np.uint32), np.empty(n, np.int32), n)
    moves = 0
    for i in range(1, n):
        position, j = order[i], i
        while j > 0 and values[order[j - 1]] > values[position]:
            order[j] = order[j - 1]
            j -= 1
        order[j] = position
        moves += i - j
        if moves > 16 * n:  # many values that differ only beyond float32
            return np.argsort(values).astype(np.int32)
    return order


@njit(cache=True, nogil=True)
def compare_genes(
    values: np.ndarray, groups: np.ndarray, ends: np.ndarray, sizes: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Every group against the controls, gene by gene.

    values, groups : columns, with the group of each value in place of its cell; sizes : (n_groups,) cells
    Returns (n_genes, n_groups) float64 each: Mann-Whitney U, its tie term, and sums.
    """
    n_genes, n_groups = len(ends) - 1, len(sizes)
    u = np.zeros((n_genes, n_groups))
    ties = np.zeros((n_genes, n_groups))
    sums = np.zeros((n_genes, n_groups))
    here = np.zeros(n_groups, np.int64)
    present = np.empty(n_groups, np.int32)
    for g in range(n_genes):
        keys, members = values[ends[g] : ends[g + 1]], groups[ends[g] : ends[g + 1]]
        zeros = sizes.copy()
        for i in range(len(keys)):
            sums[g, members[i]] += keys[i]
            zeros[members[i]] -= 1
        order = sort_values(keys)
        add_ranks(keys[order], members[order], len(keys), zeros, here, present, u[g], ties[g])
    return u, ties, sums


@njit(cache=True, nogil=True)
def add_shares(values: np.ndarray, groups: np.ndarray, ends: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """(n_genes, n_groups) means, as sums of value * (1 / cells of its group).

    scipy.sparse takes means in this way, so what is equal there, to the last bit, is equal here.
    """
    share = 1.0 / sizes
    means = np.zeros((len(ends) - 1, len(sizes)))
    for g in range(len(ends) - 1):
        for j in range(ends[g], ends[g + 1]):
            means[g, groups[j]] += values[j] * share[groups[j]]
    return means


@njit(cache=True, nogil=True)
def fold_changes(means: np.ndarray) -> np.ndarray:
    """log2 of the ratio of expm1(means) (n_genes, n_groups) to that of group 0; 0 / 0 counts as no change.

    Compiled, because numpy's own logarithms differ in the last bit from the official scorer's compiled ones.
    """
    out = np.empty_like(means)
    for g in range(means.shape[0]):
        control = math.expm1(means[g, 0])
        for p in range(means.shape[1]):
            linear = math.expm1(means[g, p])
            if control == 0:
                out[g, p] = 0.0 if linear == 0 else np.inf
            else:
                out[g, p] = np.log2(linear / control)
    return out


@njit(cache=True, nogil=True)
def pool_counts(
    values: np.ndarray, places: np.ndarray, ends: np.ndarray, starts: np.ndarray, totals: np.ndarray, target_sum: float
) -> tuple[np.ndarray, np.ndarray]:
    """Pooled counts of every group, and how they vary when one of its cells is left out.

    Columns of counts; places : of each value's cell, in the order of groups: group p has the places from starts[p] to
    starts[p + 1] - 1; totals : (n_places,) of each cell
    Returns sums (n_genes, n_groups) and, summed over genes, (n_groups,) sum_i (v_i - mean v)^2, where v_i is log1p of
    target_sum times the share of the gene in the group without cell i, 0 where no counts are left.
    """
    n_genes, n_groups = len(ends) - 1, len(starts) - 1
    sums = np.zeros((n_genes, n_groups))
    spread = np.zeros(n_groups)
    here = np.zeros(len(totals))
    whole = np.empty(n_groups)
    odds = np.empty(len(totals))
    for p in range(n_groups):
        own = totals[starts[p] : starts[p + 1]]
        whole[p] = own.sum()
        odds[starts[p] : starts[p + 1]] = own / (whole[p] - own)
    for g in range(n_genes):
        for j in range(ends[g], ends[g + 1]):
            here[places[j]] = values[j]
        for p in range(n_groups):
            cells = slice(starts[p], starts[p + 1])
            counts = here[cells]
            sums[g, p] = counts.sum()
            if sums[g, p] > 0 and len(counts) > 1:
                found, n_far = leave_near_out(counts, odds[cells], sums[g, p], whole[p], target_sum)
                if n_far:
                    found = leave_out(counts, totals[cells], sums[g, p], whole[p], target_sum)
                spread[p] += found
        for j in range(ends[g], ends[g + 1]):
            here[places[j]] = 0
    return sums, spread


@njit(cache=True, nogil=True)
def leave_out(counts: np.ndarray, totals: np.ndarray, pooled: float, whole: float, target_sum: float) -> float:
    """sum_i (v_i - mean v)^2 of `pool_counts` for one gene and group of `whole` counts, `pooled` of the gene.

    Deviations are from the v of the whole group, so that nothing is lost to cancellation.
    """
    middle = math.log1p(target_sum * pooled / whole)
    once = twice = 0.0
    for k in range(len(counts)):
        left = whole - totals[k]
        v = -middle
        if left > 0:
            v += math.log1p(target_sum * (pooled - counts[k]) / left)
        once += v
        twice += v * v
    return twice - once * once / len(counts)


@njit(cache=True, nogil=True, fastmath={"reassoc", "contract"}, error_model="numpy")
def leave_near_out(
    counts: np.ndarray, odds: np.ndarray, pooled: float, whole: float, target_sum: float
) -> tuple[float, int]:
    """`leave_out` where no cell makes much of its group, and the number of cells that do: with any, it is wrong.

    odds : total of the cell over that of the others. With them v_i minus that of the whole group is log1p(z), and up to
    |z| of FAR a series has all its digits; written so that it compiles to vector instructions, several times as quick.
    """
    scaled = whole + target_sum * pooled
    a, b = target_sum * pooled / scaled, target_sum / scaled
    once = twice = 0.0
    n_far = 0
    for k in range(len(counts)):
        z = a * odds[k] - b * (1.0 + odds[k]) * counts[k]
        n_far += not abs(z) <= FAR
        q = z / (2.0 + z)  # log1p(z) = 2 artanh(q)
        s = q * q
        v = 2.0 * q * (1.0 + s * (1 / 3 + s * (1 / 5 + s * (1 / 7 + s * (1 / 9 + s * (1 / 11))))))
        once += v
        twice += v * v
    return twice - once * once / len(counts), n_far
