"""The compiled pass over stored values against numpy."""

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from vccapp.evaluation.quality import sign_cells, sum_counts, weigh_genes
from vccapp.submission.checking.scan import LARGEST, add_sums, scan_block

ODD = (0.0, -1.5, np.nan, np.inf, -np.inf, 1e-4, 2.0, 14.999, 15.0, 1e300, 3.0000005)


def block_of(seed, odd, dtype=np.float64):
    rng = np.random.default_rng(seed)
    block = sp.csr_matrix(rng.poisson(1.0, (30, 17)) * rng.choice([1.0, 0.37], (30, 17)))
    where = rng.choice(block.nnz, len(odd), replace=False)
    block.data[where] = odd
    return block.astype(dtype)


def scan(block):
    return scan_block(block, weights=weigh_genes(block.shape[1]), limit=15.0, decimals=1e-3, fraction=1e-6)


@pytest.mark.slow
@settings(deadline=None)  # the first call compiles
@given(st.integers(0, 10_000), st.lists(st.sampled_from(ODD), max_size=12))
def test_counts_are_those_of_numpy(seed, odd):
    block = block_of(seed, odd)
    facts, x = scan(block), block.data
    finite = x[np.isfinite(x)]
    part = finite - np.trunc(finite)
    assert facts.counted == {
        "not_finite": len(x) - len(finite),
        "negative": (finite < 0).sum(),
        "zeros": (x == 0).sum(),
        "disorder": 0,
        "decimals": (part > 1e-3).sum(),
        "fractions": (np.abs(part) > 1e-6).sum(),
        "above": (x >= 15).sum(),
    }
    assert (facts.lowest, facts.highest) == (min(finite.min(), 0), max(finite.max(), 0))
    clean = block.copy()
    clean.data = np.where(np.isfinite(x), x, 0)
    assert np.allclose(facts.totals, np.asarray(clean.sum(axis=1)).ravel(), rtol=1e-12)
    clean.data = np.minimum(clean.data, LARGEST)
    assert np.allclose(facts.logs, sum_counts(clean), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("dtype", [np.float32, np.int16, ">f4", np.float16, np.uint8])
def test_types_of_files_of_others(dtype):
    block = sp.csr_matrix(np.random.default_rng(0).poisson(1.0, (9, 12))).astype(np.float64)
    facts, again = scan(block), block.copy()
    again.data = block.data.astype(dtype)
    assert np.array_equal(scan(again).totals, facts.totals)
    assert np.array_equal(scan(again).signatures, facts.signatures)
    assert np.allclose(facts.signatures, sign_cells(block))


def test_disorder_is_seen():
    block = sp.csr_matrix((np.ones(5), np.array([3, 1, 1, 0, 2]), np.array([0, 3, 5])), shape=(2, 4))
    assert scan(block).counted["disorder"] == 2


@pytest.mark.parametrize("shuffled", [False, True])
def test_sums_of_groups(shuffled):
    block = block_of(3, [np.nan, np.inf, -2.0])
    rng = np.random.default_rng(1)
    if shuffled:
        for start, stop in zip(block.indptr, block.indptr[1:], strict=False):
            order = start + rng.permutation(stop - start)
            block.data[start:stop], block.indices[start:stop] = block.data[order], block.indices[order]
    codes = rng.integers(-1, 3, block.shape[0])
    sums = np.zeros((3, block.shape[1]))
    add_sums(sums, block, codes, in_order=not shuffled)
    dense = np.where(np.isfinite(block.toarray()), block.toarray(), 0)
    assert np.allclose(sums, np.stack([dense[codes == code].sum(axis=0) for code in range(3)]), rtol=1e-12)
