"""Negative binomial counts of single cells, compiled: the inner loop of the simulation.

Each cell has its own random stream (SplitMix64, Steele et al. 2014, keyed by seed and cell number), so the counts
depend neither on blocks nor on threads. The kernel releases the GIL; run it in as many threads as there are cores.
Imports numba: import this module inside functions only.
"""

import math

import numba
import numpy as np

_STEP = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_TO_UNIT = 2.0**-53
_MAX_LOG = 600.0  # exp(-600) is still a normal double


@numba.njit(inline="always")
def _mix(state: np.uint64) -> np.uint64:
    state = (state ^ (state >> np.uint64(30))) * _MIX_1
    state = (state ^ (state >> np.uint64(27))) * _MIX_2
    return state ^ (state >> np.uint64(31))


@numba.njit(
    "int64(uint64, int64, int32[::1], float32[::1], int32[::1], float32[:,::1], float32[:,::1], float32[::1],"
    " float32[::1], int32[::1], float32[::1], int64[::1])",
    nogil=True,
)
def sample_cells(
    seed: np.uint64,
    first: int,
    batch: np.ndarray,
    depth: np.ndarray,
    perturbation: np.ndarray,
    shares: np.ndarray,
    effects: np.ndarray,
    efficacy: np.ndarray,
    dispersion: np.ndarray,
    indices: np.ndarray,
    values: np.ndarray,
    ends: np.ndarray,
) -> int:
    """Sample cells first, first+1, ... into CSR arrays; returns the number of values written.

    batch, depth, perturbation, efficacy : (cells,); shares : (batches, genes); effects : (perturbations, genes) ln
    units; dispersion : (genes,). indices, values : room for cells x genes; ends : (cells,) where each row ends.

    Counts are drawn exactly, by inversion with the recursion P(k+1) = P(k) q (k + r) / (k + 1). A rate so large that
    P(0) would underflow is split into n equal parts: NB(mean, r) is the sum of n draws of NB(mean/n, r/n).
    """
    written = 0
    for cell in range(len(batch)):
        state = _mix(seed + _mix(np.uint64(first + cell + 1) * _STEP))
        share = shares[batch[cell]]
        effect = effects[perturbation[cell]]
        for gene in range(len(share)):
            rate = np.float64(depth[cell]) * share[gene]
            if effect[gene] != 0.0:
                rate *= math.exp(efficacy[cell] * effect[gene])
            state += _STEP
            unit = (_mix(state) >> np.uint64(11)) * _TO_UNIT
            if unit < 1.0 - rate:  # P(0) >= 1 - rate: certainly 0, without a logarithm
                continue
            spread = rate * dispersion[gene]
            log_zero = -math.log1p(spread) / dispersion[gene]
            parts = 1 + int(-log_zero / _MAX_LOG)
            shape = 1.0 / dispersion[gene] / parts
            ratio = spread / (1.0 + spread)
            mean = rate / parts
            count = 0
            for part in range(parts):
                if part > 0:
                    state += _STEP
                    unit = (_mix(state) >> np.uint64(11)) * _TO_UNIT
                chance = math.exp(log_zero / parts)
                k = 0
                while unit >= chance and (chance > 1e-17 or k < mean):
                    unit -= chance
                    chance *= ratio * (k + shape) / (k + 1)
                    k += 1
                count += k
            if count > 0:
                indices[written] = gene
                values[written] = count
                written += 1
        ends[cell] = written
    return written
