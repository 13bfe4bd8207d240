"""Compiled inner loops of scoring two files of cells. Nothing here reads files; every function works on plain arrays.

Columns are stored values gene by gene: of gene g the `values[ends[g] : ends[g + 1]]` of the `cells`, in their order.
Compiled code is cached beside this file.
"""

import math

import numpy as np
from numba import njit, prange

from vccapp.stats.kernels import add_ranks, sort_by_key


@njit(parallel=True, cache=True, nogil=True)
def turn(data, indices, indptr, first_cell, edges, place, cells, values):
    """Append CSR rows to columns, each thread on its own range of genes.

    edges : gene ranges; of them only these genes are taken; place : (n_genes,) where each gene's next value goes,
    counted from the first gene taken; moved on
    """
    for part in prange(len(edges) - 1):
        low_gene, high_gene = edges[part], edges[part + 1]
        for i in range(len(indptr) - 1):
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
def sort_values(values):
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


@njit(parallel=True, cache=True, nogil=True)
def compare_genes(control_values, control_groups, control_ends, values, groups, ends, sizes):
    """Every group against the controls, gene by gene.

    Columns of the controls (where other groups than 0 are passed over) and of the others (where 0 is), with the group
    of each value in place of its cell; sizes : (n_groups,) cells
    Returns (n_genes, n_groups) float64 each: Mann-Whitney U, its tie term, and sums.
    """
    n_genes, n_groups = len(ends) - 1, len(sizes)
    u = np.zeros((n_genes, n_groups))
    ties = np.zeros((n_genes, n_groups))
    sums = np.zeros((n_genes, n_groups))
    for g in prange(n_genes):
        most = control_ends[g + 1] - control_ends[g] + ends[g + 1] - ends[g]
        keys = np.empty(most)
        members = np.empty(most, np.int32)
        zeros = sizes.copy()
        n = 0
        for j in range(control_ends[g], control_ends[g + 1]):
            if control_groups[j] == 0:
                keys[n], members[n] = control_values[j], 0
                n += 1
        for j in range(ends[g], ends[g + 1]):
            if groups[j] > 0:
                keys[n], members[n] = values[j], groups[j]
                n += 1
        for i in range(n):
            sums[g, members[i]] += keys[i]
            zeros[members[i]] -= 1
        order = sort_values(keys[:n])
        here = np.zeros(n_groups, np.int64)
        present = np.empty(n_groups, np.int32)
        add_ranks(keys[order], members[order], n, zeros, here, present, u[g], ties[g])
    return u, ties, sums


@njit(cache=True, nogil=True)
def add_shares(values, groups, ends, sizes, wanted, means):
    """Add value * (1 / cells of its group) to means (n_genes, n_groups), for the values of `wanted` groups (bools).

    scipy.sparse takes means in this way, so what is equal there, to the last bit, is equal here.
    """
    share = 1.0 / sizes
    for g in range(len(ends) - 1):
        for j in range(ends[g], ends[g + 1]):
            if wanted[groups[j]]:
                means[g, groups[j]] += values[j] * share[groups[j]]


@njit(cache=True, nogil=True)
def fold_changes(means):
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


@njit(parallel=True, cache=True, nogil=True)
def pool_counts(values, cells, ends, order, starts, totals, target_sum):
    """Pooled counts of every group, and how they vary when one of its cells is left out.

    Columns of counts; order : cells by group, group p those from starts[p] to starts[p + 1] - 1; totals : of each cell
    Returns (n_genes, n_groups) float64 each: sums, and sum_i (v_i - mean v)^2 of v_i = log1p(target_sum * share of the
    gene in the group without cell i), 0 where no counts are left. Deviations are from the v of the whole group, so that
    nothing is lost to cancellation.
    """
    n_genes, n_groups = len(ends) - 1, len(starts) - 1
    sums = np.zeros((n_genes, n_groups))
    spread = np.zeros((n_genes, n_groups))
    group_totals = np.zeros(n_groups)
    for p in range(n_groups):
        for k in range(starts[p], starts[p + 1]):
            group_totals[p] += totals[order[k]]
    for g in prange(n_genes):
        here = np.zeros(len(totals))
        for j in range(ends[g], ends[g + 1]):
            here[cells[j]] = values[j]
        for p in range(n_groups):
            pooled = 0.0
            for k in range(starts[p], starts[p + 1]):
                pooled += here[order[k]]
            sums[g, p] = pooled
            n = starts[p + 1] - starts[p]
            if pooled == 0 or n < 2:
                continue
            whole = math.log1p(target_sum * pooled / group_totals[p])
            once = twice = 0.0
            for k in range(starts[p], starts[p + 1]):
                left = group_totals[p] - totals[order[k]]
                v = -whole
                if left > 0:
                    v += math.log1p(target_sum * (pooled - here[order[k]]) / left)
                once += v
                twice += v * v
            spread[g, p] = twice - once * once / n
    return sums, spread
