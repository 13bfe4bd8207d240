"""Writing an h5ad of any size: X as CSR by blocks of cells, then the tables (encodings of anndata 0.12).

    with CsrWriter(path, genes=genes, pert_col="target_gene") as writer:   # a prediction: cells of one label at a time
        writer.append(block, "non-targeting")

    with create_h5(path) as file:                                          # anything else
        x = GrowingCsr(file, n_genes=n_genes)
        x.append(block.data, block.indices, block.indptr[1:])
        x.close()
        write_tables(file, obs=obs, var=var, uns={})

Unlike anndata's own files, X/data and X/indices are chunked, since they grow; readers do not see it.

HDF5 crashes the process when it cannot write what it still holds (a full disk). It writes through a file of ours here,
which keeps the system's error to itself and hands it to Python.
"""

import contextlib
import io
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import h5py
import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix

CHUNK = 2**18
"""Values in one HDF5 chunk of X: 1 MB."""


class _Disk(io.RawIOBase):
    """A file for HDF5 that never fails to write: the first error is kept, and what comes after it is dropped.

    reserved : bytes that are taken at once; what is not needed of them is given back at the end
    """

    def __init__(self, path: Path, *, reserved: int) -> None:
        super().__init__()
        self.error: OSError | None = None
        self._path, self._at, self._size = path, 0, 0
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o666)
        if reserved and hasattr(os, "posix_fallocate"):
            try:
                os.posix_fallocate(self._file, 0, reserved)
            except OSError as error:
                self.close()
                raise self._named(error) from None

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any) -> int:
        found = os.preadv(self._file, [buffer], self._at)
        self._at += found
        return found

    def write(self, data: Any) -> int:
        with memoryview(data).cast("B") as left:
            done = 0
            while self.error is None and done < len(left):
                try:
                    done += os.pwrite(self._file, left[done:], self._at + done)
                except OSError as error:
                    self.error = self._named(error)
            self._at += len(left)
            self._size = max(self._size, self._at)
            return len(left)

    def truncate(self, size: int | None = None) -> int:
        self._size = self._at if size is None else size
        return self._size

    def flush(self) -> None:
        """What is written is with the system."""

    def close(self) -> None:
        if not self.closed:
            try:
                os.ftruncate(self._file, self._size)
            except OSError as error:
                self.error = self.error or self._named(error)
            os.close(self._file)
        super().close()

    def _named(self, error: OSError) -> OSError:
        return OSError(error.errno, error.strerror, str(self._path))


class NewFile(h5py.File):
    """A new HDF5 file, open to write."""

    def __init__(self, path: Path, *, reserved: int) -> None:
        self._disk = _Disk(path, reserved=reserved)
        super().__init__(self._disk, "w")

    def close(self) -> None:
        super().close()
        self._disk.close()

    def finish(self) -> None:
        """Close it; raises the OSError that writing has met, whatever HDF5 has made of it."""
        try:
            self.close()
        finally:
            self.check()

    def check(self) -> None:
        """Raise the OSError that writing has met."""
        if self._disk.error is not None:
            raise self._disk.error


@contextlib.contextmanager
def create_h5(path: Path, *, reserved: int = 0) -> Iterator[NewFile]:
    """A new file; raises OSError, where `check` is called and at the end, when the disk does not take it.

    reserved : the space of the file as far as it is known, taken before anything is written
    """
    file = NewFile(path, reserved=reserved)
    try:
        yield file
    finally:
        file.finish()


class GrowingCsr:
    """The group X of a new file: float32 values, int32 indices; row pointers are int32 while they suffice."""

    def __init__(self, file: NewFile, *, n_genes: int, compression: Literal["gzip"] | None = None) -> None:
        self._file, self._group, self._n_genes = file, file.create_group("X"), n_genes
        layout = {"shape": (0,), "maxshape": (None,), "chunks": (CHUNK,), "compression": compression}
        self._data = self._group.create_dataset("data", dtype="<f4", **layout)
        self._indices = self._group.create_dataset("indices", dtype="<i4", **layout)
        self._n_values = 0
        self._ends: list[np.ndarray] = [np.zeros(1, np.int64)]

    def append(self, values: np.ndarray, indices: np.ndarray, ends: np.ndarray) -> None:
        """Add cells. ends : (n,) where the values of each cell end in this block."""
        start, stop = self._n_values, self._n_values + len(values)
        for dataset, block in ((self._data, values), (self._indices, indices)):
            dataset.resize((stop,))
            dataset[start:] = block
        self._file.check()
        self._ends.append(start + ends.astype(np.int64))
        self._n_values = stop

    def close(self) -> None:
        """Write the row pointers and the shape."""
        indptr = np.concatenate(self._ends)
        self._group["indptr"] = indptr.astype("<i4" if self._n_values < 2**31 else "<i8")
        self._group.attrs.update({"encoding-type": "csr_matrix", "encoding-version": "0.1.0"})
        self._group.attrs["shape"] = np.array([len(indptr) - 1, self._n_genes], np.int64)


def write_tables(file: h5py.File, *, obs: pd.DataFrame, var: pd.DataFrame, uns: dict[str, Any]) -> None:
    """Write all of an AnnData file but X; groups that the file has already are left as they are, the rest is empty."""
    from anndata.io import write_elem

    file.attrs.update({"encoding-type": "anndata", "encoding-version": "0.1.0"})
    rest: dict[str, dict[str, Any]] = {name: {} for name in ("layers", "obsm", "obsp", "varm", "varp")}
    empty = {name: value for name, value in rest.items() if name not in file}
    for name, value in {"obs": obs, "var": var, "uns": uns, **empty}.items():
        write_elem(file, name, value)


class CsrWriter:
    """Append csr blocks with their label; the file is complete when the `with` block ends well.

    obs has the column `pert_col`, and `context_col` where there is one, both categorical; its index is "0", "1", ...
    """

    def __init__(
        self, path: Path, *, genes: Sequence[str], pert_col: str, context_col: str | None = None, reserved: int = 0
    ) -> None:
        """reserved : of `create_h5`"""
        self._file = NewFile(path, reserved=reserved)
        self._genes = list(genes)
        self._columns: dict[str, list[str]] = {name: [] for name in (pert_col, context_col) if name is not None}
        self._x = GrowingCsr(self._file, n_genes=len(self._genes))

    def append(self, block: csr_matrix, *labels: str) -> None:
        """Add cells of one label, and of one context where the file names them.

        block : (n, n_genes) csr, rows sorted by gene and without explicit zeros
        """
        if block.shape[1] != len(self._genes):
            msg = f"A block of {block.shape[1]} genes does not fit a file of {len(self._genes)}."
            raise ValueError(msg)
        self._x.append(block.data, block.indices, block.indptr[1:])
        for column, label in zip(self._columns.values(), labels, strict=True):
            column += [label] * block.shape[0]

    def _finish(self) -> None:
        self._x.close()
        obs = pd.DataFrame({name: pd.Categorical(column) for name, column in self._columns.items()})
        obs.index = obs.index.astype(str)
        write_tables(self._file, obs=obs, var=pd.DataFrame(index=np.array(self._genes, dtype=object)), uns={})

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._finish()
        finally:
            self._file.finish()
