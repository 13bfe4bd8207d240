"""Compiled inner loops of cells as whole counts. Import it inside functions only: it imports numba.

Each cell has a random stream of its own (SplitMix64, Steele et al. 2014) that starts at its key, so what comes out
depends neither on blocks nor on threads. All loops release the GIL. Draws are exact: binomial counts are sums of single
draws, Poisson and logarithmic ones are found by inversion; all take time in proportion to the counts of a cell.
"""

import math

import numpy as np
from numba import njit

_STEP = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_TO_UNIT = 2.0**-53
_MAX_RATE = 16.0  # larger Poisson rates are drawn in parts: exp(-16) leaves the inversion all its digits


@njit(inline="always")
def _mix(state: np.uint64) -> np.uint64:
    state = (state ^ (state >> np.uint64(30))) * _MIX_1
    state = (state ^ (state >> np.uint64(27))) * _MIX_2
    return state ^ (state >> np.uint64(31))


@njit(inline="always")
def _unit(state: np.uint64) -> float:
    return (_mix(state) >> np.uint64(11)) * _TO_UNIT


@njit(nogil=True, cache=True)
def _poisson(state: np.uint64, rate: float) -> tuple[np.uint64, int]:
    count = 0
    while rate > 0.0:
        part = min(rate, _MAX_RATE)
        rate -= part
        state += _STEP
        unit = _unit(state)
        if unit < 1.0 - part:  # exp(-part) is at least that: certainly 0, without an exponential
            continue
        chance = math.exp(-part)
        k = 0
        while unit >= chance and (chance > 1e-17 or k < part):
            unit -= chance
            k += 1
            chance *= part / k
        count += k
    return state, count


@njit(nogil=True, cache=True)
def thin_rows(
    data: np.ndarray,
    indices: np.ndarray,
    ends: np.ndarray,
    rows: np.ndarray,
    totals: np.ndarray,
    keys: np.ndarray,
    tables: np.ndarray,
    keep: np.ndarray,
    own: np.ndarray,
    filled: np.ndarray,
    rates: np.ndarray,
    cluster: np.ndarray,
    out_values: np.ndarray,
    out_indices: np.ndarray,
) -> np.ndarray:
    """New cells from the `rows` of a CSR matrix of counts; returns (cells + 1,) int64 where each begins and ends.

    totals, keys, tables : (cells,) counts of the row, start of the random stream, which row of the tables below
    keep : (tables, genes) chance of each count to stay; own : new counts for each that stayed, in the mean
    filled : (tables, genes) cumulated shares of genes among clusters of new counts; rates : (tables,) clusters for
    each count of the row; cluster : (tables, genes) parameter of the logarithmic size of a cluster, 0: always 1
    out_values, out_indices : room for cells x genes
    """
    n_genes = keep.shape[1]
    counts = np.zeros(n_genes, np.int64)
    out_ends = np.zeros(len(rows) + 1, np.int64)
    guides = np.zeros((len(rates), n_genes + 1), np.int32)
    for table in range(len(rates)):  # where the search for a gene begins, by the drawn number
        gene = 0
        for i in range(n_genes):
            while gene < n_genes - 1 and filled[table, gene] * n_genes <= i:
                gene += 1
            guides[table, i] = gene
    written = 0
    for cell in range(len(rows)):
        table = tables[cell]
        state = keys[cell]
        for j in range(ends[rows[cell]], ends[rows[cell] + 1]):
            gene = indices[j]
            count = int(data[j])
            chance = keep[table, gene]
            if chance < 1.0:
                left = 0
                for _ in range(count):
                    state += _STEP
                    left += _unit(state) < chance
                count = left
            if own[table, gene] > 0.0 and count > 0:
                state, more = _poisson(state, own[table, gene] * count)
                count += more
            counts[gene] = count
        state, clusters = _poisson(state, totals[cell] * rates[table])
        for _ in range(clusters):
            state += _STEP
            unit = _unit(state)
            gene = guides[table, int(unit * n_genes)]
            while gene < n_genes - 1 and filled[table, gene] <= unit:
                gene += 1
            size = 1
            q = cluster[table, gene]
            if q > 0.0:
                state += _STEP
                unit = _unit(state)
                chance = -q / math.log1p(-q)
                while unit >= chance and chance > 1e-17:
                    unit -= chance
                    chance *= q * size / (size + 1)
                    size += 1
            counts[gene] += size
        for gene in range(n_genes):
            if counts[gene] > 0:
                out_values[written] = counts[gene]
                out_indices[written] = gene
                written += 1
                counts[gene] = 0
        out_ends[cell + 1] = written
    return out_ends


@njit(nogil=True, cache=True)
def hash_rows(values: np.ndarray, indices: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """(rows,) uint64: the same for the same cells, and all but certainly only for them."""
    found = np.empty(len(ends) - 1, np.uint64)
    for row in range(len(found)):
        state = np.uint64(0)
        for j in range(ends[row], ends[row + 1]):
            state = _mix(state + _STEP + (np.uint64(indices[j]) << np.uint64(32)) + np.uint64(values[j]))
        found[row] = state
    return found


@njit(nogil=True, cache=True)
def cell_keys(seed: np.uint64, numbers: np.ndarray) -> np.ndarray:
    """(cells,) uint64 starts of random streams, by the seed and the number of the cell."""
    keys = np.empty(len(numbers), np.uint64)
    for i in range(len(numbers)):
        keys[i] = _mix(seed + _mix(np.uint64(numbers[i] + 1) * _STEP))
    return keys


@njit(nogil=True, cache=True)
def invert_means(
    wanted: np.ndarray, column: np.ndarray, table: np.ndarray, first: float, step: float, out: np.ndarray
) -> None:
    """Rates at which genes have the `wanted` mean, into `out`; all (genes,).

    table : (rates, dispersions) means, rising with the rate, whose logarithms are first, first + step, ...
    column : where the dispersion of each gene stands among the table's, with its fraction
    """
    last = table.shape[0] - 1
    for gene in range(len(wanted)):
        low = min(int(column[gene]), table.shape[1] - 2)
        part = column[gene] - low
        if wanted[gene] <= 0.0:
            out[gene] = 0.0
            continue
        below, above = 0, last
        while above - below > 1:
            middle = (below + above) // 2
            if table[middle, low] * (1 - part) + table[middle, low + 1] * part <= wanted[gene]:
                below = middle
            else:
                above = middle
        bottom = table[below, low] * (1 - part) + table[below, low + 1] * part
        top = table[above, low] * (1 - part) + table[above, low + 1] * part
        if wanted[gene] < bottom:  # the mean is proportional to such small rates
            out[gene] = math.exp(first) * wanted[gene] / bottom
        else:
            share = min((wanted[gene] - bottom) / (top - bottom), 1.0)
            out[gene] = math.exp(first + step * (below + share))
