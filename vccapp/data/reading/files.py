"""Data files as open groups: HDF5 (.h5ad, .h5) or zarr (v2, v3), read-only, their failures as one sentence."""

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vccapp.errors import DataError, VccAppError
from vccapp.wording import reason_text

if TYPE_CHECKING:
    import h5py

SUFFIXES = (".h5ad", ".h5", ".zarr")


@contextlib.contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn what the format libraries raise on a damaged file into a DataError of one sentence that names the file."""
    try:
        yield
    except DataError as error:
        if error.problem.startswith(path.name):
            raise
        raise DataError(error.code, f"{path.name}: {error.problem}", found=error.found, fix=error.fix) from error
    except (VccAppError, MemoryError):
        raise
    except PermissionError:
        raise DataError(
            "permission",
            f"{path.name}: you are not allowed to read it",
            fix="change its permissions",
        ) from None
    except Exception as error:
        reason = f"{type(error).__name__}: {reason_text(error)}"
        raise DataError(
            "file_damaged",
            f"{path.name}: it cannot be read, so it may be damaged or incomplete ({reason})",
            fix="copy it again",
        ) from error


def check_path(path: Path, *, suffixes: Sequence[str] = SUFFIXES) -> None:
    """Raises DataError for a path that names no data file. suffixes : its name must have; none: any name will do."""
    if not os.path.lexists(path):
        raise DataError("file_missing", f"it does not exist in {path.parent}", fix="check the path")
    if not path.exists():
        raise DataError("broken_link", "it is a broken link", fix="repair the link")
    if suffixes and path.suffix not in suffixes:
        raise DataError(
            "suffix", f"its name does not end in {', '.join(suffixes)}", fix="convert it to .h5ad and open that"
        )
    if path.suffix == ".zarr":
        if not path.is_dir():
            raise DataError("not_zarr", "it is a file, but a .zarr is a folder", fix="unpack it or write it again")
    elif path.is_dir():
        raise DataError("not_hdf5", "it is a folder, not an HDF5 file", fix="choose a file in it")
    elif path.stat().st_size == 0:
        raise DataError("empty_file", "it is empty (0 bytes)", fix="copy or write it again")
    elif os.access(path, os.R_OK) and not _is_hdf5(path):
        raise DataError("not_hdf5", "it is not an HDF5 file despite its name", fix="choose an .h5ad written by anndata")


def _is_hdf5(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(8) == b"\x89HDF\r\n\x1a\n"


@contextlib.contextmanager
def open_store(path: Path) -> Iterator[Any]:
    """The root group of a file, read-only. Locks are taken where the file system has them."""
    if path.suffix == ".zarr":
        import zarr

        yield zarr.open_group(path, mode="r")
    else:
        import h5py

        with h5py.File(path, "r", locking="best-effort") as file:
            _load_filters(file)
            yield file


@contextlib.contextmanager
def open_matrix(path: Path, matrix: str) -> Iterator[Any]:
    """The array of that name, or where it is sparse its arrays by name, looked up once."""
    with open_store(path) as store:
        x = store[matrix]
        yield x if hasattr(x, "shape") else {name: x[name] for name in ("data", "indices")}


def filter_numbers(dataset: "h5py.Dataset") -> list[int]:
    """The HDF5 filters that the chunks of an array passed, in order (https://github.com/HDFGroup/hdf5_plugins)."""
    plist = dataset.id.get_create_plist()
    return [plist.get_filter(i)[0] for i in range(plist.get_nfilters())]


def _load_filters(file: "h5py.File") -> None:
    """Load the package of further compressions (zstd, blosc, ...) where the file needs one that HDF5 lacks."""
    import h5py

    for name in ("X", "obs", "var"):
        group = file.get(name)
        members = group.values() if isinstance(group, h5py.Group) else [group]
        for dataset in members:
            if isinstance(dataset, h5py.Dataset) and not all(map(h5py.h5z.filter_avail, filter_numbers(dataset))):
                import hdf5plugin  # noqa: F401  (importing it registers the filters)

                return
