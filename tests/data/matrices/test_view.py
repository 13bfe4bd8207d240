"""A part of a file, by whatever layout: its cells, its genes, its values."""

import pickle
from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import csc_matrix, csr_matrix
from toy import make_counts

from vccapp.data.matrices import csc
from vccapp.data.matrices.view import ViewedRows
from vccapp.data.reading.matrix import open_rows
from vccapp.data.values import Log, Multiply, Normalise

LAYOUTS = {"csr": csr_matrix, "csc": csc_matrix, "dense": lambda x: x.toarray()}
CELLS = np.array([0, 1, 7, 8, 9, 50, 51, 118])
COLUMNS = np.array([2, -1, 0, 1, -1, *range(3, 36), 3, -1], dtype=np.int32)


@pytest.fixture(params=list(LAYOUTS))
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    data = make_counts(n_cells=120, n_genes=40)
    data.X = LAYOUTS[request.param](data.X)
    data.write_h5ad(tmp_path / "cells.h5ad")
    return tmp_path / "cells.h5ad"


def expected(*, cells: np.ndarray | None, columns: np.ndarray | None) -> np.ndarray:
    x = make_counts(n_cells=120, n_genes=40).X.toarray()
    x = x if cells is None else x[cells]
    if columns is None:
        return x
    seen = np.zeros((len(x), columns.max() + 1), np.float32)
    for place, column in enumerate(columns):
        if column >= 0:
            seen[:, column] += x[:, place]
    return seen


@pytest.mark.parametrize("cells", [None, CELLS])
@pytest.mark.parametrize("columns", [None, COLUMNS])
def test_every_pass_sees_the_same(
    path: Path, cells: np.ndarray | None, columns: np.ndarray | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(csc, "BUCKET_VALUES", 500)
    rows = pickle.loads(pickle.dumps(ViewedRows(open_rows(path), cells=cells, columns=columns, transform=None)))
    right = expected(cells=cells, columns=columns)
    assert rows.shape == right.shape
    assert rows.is_plain == (cells is None and columns is None)
    n = len(right)
    for first, last in ((0, n), (1, n - 1), (3, 4), (2, 2)):
        blocks = list(rows.iter_rows(300, first=first, last=last))
        found = np.vstack([np.zeros((0, right.shape[1]), np.float32), *(block.toarray() for _, block in blocks)])
        np.testing.assert_array_equal(found, right[first:last])
        assert [start for start, _ in blocks] == [
            first + sum(block.shape[0] for _, block in blocks[:i]) for i in range(len(blocks))
        ]
        sums = [
            values[a:b].sum()
            for _, values, ends in rows.iter_values(300, first=first, last=last)
            for a, b in zip(ends[:-1], ends[1:], strict=True)
        ]
        np.testing.assert_array_equal(sums, right[first:last].sum(axis=1))
    wanted = [5, 0, 5, n - 1]
    np.testing.assert_array_equal(rows.read_rows(wanted).toarray(), right[wanted])
    with pytest.raises(IndexError):
        rows.read_rows([n])
    sampled = np.zeros_like(right)
    for cell, gene, block in rows.sample():
        sampled[cell : cell + block.shape[0], gene : gene + block.shape[1]] += block.toarray()
    np.testing.assert_array_equal(sampled, right)


@pytest.mark.parametrize("transform", [Log(), Multiply(2.0), Normalise(100.0)])
def test_values_are_changed_in_every_pass(path: Path, transform) -> None:
    rows = ViewedRows(open_rows(path), cells=CELLS, columns=COLUMNS, transform=transform)
    right = transform(csr_matrix(expected(cells=CELLS, columns=COLUMNS))).toarray()
    np.testing.assert_allclose(np.vstack([b.toarray() for _, b in rows.iter_rows(300)]), right, rtol=1e-6)
    np.testing.assert_allclose(rows.read_rows([3, 1]).toarray(), right[[3, 1]], rtol=1e-6)
    total = sum(values.sum(dtype=np.float64) for _, values, _ in rows.iter_values(300))
    assert total == pytest.approx(right.sum(dtype=np.float64), rel=1e-5)
