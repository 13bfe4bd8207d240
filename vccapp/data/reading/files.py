"""Data files as open groups: HDF5 (.h5ad, .h5) or zarr (v2, v3), read-only, their failures as one sentence."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vccapp.errors import DataError, VccAppError

if TYPE_CHECKING:
    import h5py


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
            f"{path.name}: it may not be read by this user",
            fix="change its permissions",
        ) from None
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:150]
        raise DataError(
            "file_damaged",
            f"{path.name}: it cannot be read, so it may be damaged or cut short ({reason})",
            fix="copy it again",
        ) from error


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
def open_x(path: Path) -> Iterator[Any]:
    """The array X, or where it is sparse its arrays by name, looked up once."""
    with open_store(path) as store:
        x = store["X"]
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
