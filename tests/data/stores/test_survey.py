"""Links that leave a data file are refused with their target wherever it is opened, unless they lead to the roots."""

import os
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from refusals import refusal
from toy import make_counts

from vccapp.data.reading.opening import list_choices, open_dataset
from vccapp.data.reading.predicted import open_predicted
from vccapp.data.stores.access import Access
from vccapp.data.workspace import file_state
from vccapp.errors import DataError
from vccapp.submission.h5ad import open_cells

Change = Callable[[h5py.File, Path], None]


def external_x(file: h5py.File, other: Path) -> None:
    del file["X"]
    file["X"] = h5py.ExternalLink(str(other), "/X")


def external_column(file: h5py.File, other: Path) -> None:
    del file["obs/batch"]
    file["obs/batch"] = h5py.ExternalLink(str(other), "/obs/batch")


def relative_external(file: h5py.File, other: Path) -> None:
    del file["obs"]
    file["obs"] = h5py.ExternalLink(os.path.relpath(other, Path(file.filename).parent), "/obs")


def soft_to_external(file: h5py.File, other: Path) -> None:
    del file["var"]
    file["uns/hidden"] = h5py.ExternalLink(str(other), "/var")
    file["var"] = h5py.SoftLink("/uns/hidden")


def external_storage(file: h5py.File, other: Path) -> None:
    old = file["X/data"]
    size, values = old.shape, dict(old.attrs)
    del file["X/data"]
    file["X"].create_dataset("data", size, "u1", external=[(str(other), 0, size[0])]).attrs.update(values)


def virtual(file: h5py.File, other: Path) -> None:
    shape = file["X/data"].shape
    del file["X/data"]
    layout = h5py.VirtualLayout(shape, "f4")
    layout[:] = h5py.VirtualSource(str(other), "X/data", shape)
    file["X"].create_virtual_dataset("data", layout)


WAYS = [external_x, external_column, relative_external, soft_to_external, external_storage, virtual]


@pytest.fixture
def roots(tmp_path: Path) -> tuple[Path, Path]:
    """A root with cells.h5ad, and another folder with the same file."""
    for name in ("data", "secret"):
        (tmp_path / name).mkdir()
        make_counts(n_cells=120, n_genes=40).write_h5ad(tmp_path / name / "cells.h5ad")
    return tmp_path / "data", tmp_path / "secret"


@pytest.mark.parametrize("way", WAYS)
def test_links_that_leave_the_file(way: Change, roots: tuple[Path, Path]) -> None:
    path, other = (root / "cells.h5ad" for root in roots)
    with h5py.File(path, "r+") as file:
        way(file, other)
    for access in (Access(), Access(roots=(roots[0],))):
        with refusal(DataError, "link_outside") as caught:
            open_dataset(path, access=access)
        assert "secret" in str(caught.value)
        assert len(str(caught.value)) < 300
        with refusal(DataError, "link_outside"):
            list_choices(path, access)
    with refusal(DataError, "link_outside"):
        open_predicted(path, genes=["A"], known=["A"])
    with refusal(DataError, "link_outside"):
        open_cells(path, "target_gene")


@pytest.mark.parametrize("way", WAYS)
def test_links_into_the_roots(way: Change, roots: tuple[Path, Path]) -> None:
    """They are read, and the target counts for what is known of the file's state."""
    path, other = (root / "cells.h5ad" for root in roots)
    with h5py.File(path, "r+") as file:
        way(file, other)
    assert open_dataset(path, access=Access(roots=roots)).n_cells == 120
    before = file_state(path)
    os.utime(other, ns=(1, 10**19 // 5))
    assert file_state(path) != before


def test_a_link_to_a_file_that_links_on(roots: tuple[Path, Path]) -> None:
    """What lies in the roots is looked at too."""
    path, other = (root / "cells.h5ad" for root in roots)
    between = roots[0] / "between.h5"
    with h5py.File(between, "w") as file:
        file["X"] = h5py.ExternalLink(str(other), "/X")
    with h5py.File(path, "r+") as file:
        external_x(file, between)
    with refusal(DataError, "link_outside"):
        open_dataset(path, access=Access(roots=(roots[0],)))


def test_links_inside_of_the_file(roots: tuple[Path, Path]) -> None:
    path = roots[0] / "cells.h5ad"
    with h5py.File(path, "r+") as file:
        file["layers/counts"] = file["X"]
        del file["X"]
        file["X"] = h5py.SoftLink("/layers/counts")
    np.testing.assert_array_equal(
        open_dataset(path).read_rows(range(120)).toarray(), make_counts(n_cells=120, n_genes=40).X.toarray()
    )
