"""Data files as open groups: HDF5 or zarr (v2, v3), read-only, their failures as one sentence of ours."""

import contextlib
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vccapp.data.stores.access import CLOSED, Access
from vccapp.data.stores.layouts import choose_group, find_matrix
from vccapp.data.stores.places import Place, find_place, is_remote
from vccapp.data.stores.survey import check_links
from vccapp.errors import DataError, ResourceError, VccAppError
from vccapp.faults import refuse_shortage

if TYPE_CHECKING:
    import h5py

LOG = logging.getLogger(__name__)


@contextlib.contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn what the format libraries raise on a damaged file into an error of one sentence that names the file.

    What the library said goes to the log.
    """
    name = Place(path, path, "remote").url if is_remote(path) else path.name
    name = name if len(name) <= 60 else f"{name[:57]}..."
    try:
        yield
    except (DataError, ResourceError) as error:
        if error.problem.startswith(name):
            raise
        raise type(error)(error.code, f"{name}: {error.problem}", found=error.found, fix=error.fix) from error
    except VccAppError:
        raise
    except MemoryError:
        raise ResourceError(
            "memory",
            f"{name}: reading it takes more memory than is allowed",
            fix="raise VCCAPP_MEMORY_GB, or write smaller chunks",
        ) from None
    except Exception as error:
        refuse_shortage(error, name=name)
        LOG.info("%s cannot be read", path, exc_info=error)
        code, problem, fix = _explain(error)
        raise DataError(code, f"{name}: {problem}", fix=fix) from error


def _explain(error: Exception) -> tuple[str, str, str]:
    """Code, problem and fix of what a library raised."""
    words = str(error).lower()
    if isinstance(error, PermissionError):
        return "permission", "you are not allowed to read it", "change its permissions"
    if isinstance(error, FileNotFoundError):
        return "file_missing", "it, or a part of it, is not there", "check the path"
    if isinstance(error, UnicodeDecodeError):
        return "not_utf8", "its texts are not UTF-8", "write the labels again as UTF-8 text"
    if isinstance(error, RecursionError):
        return "too_deep", "its groups are nested too deep", "write obs, var and X alone"
    if "filter" in words and ("plugin" in words or "not available" in words or "not registered" in words):
        return "unknown_filter", "it is compressed in a way that is not known here", "write it again with gzip or zstd"
    if "truncated" in words or "eof" in words:
        return "file_damaged", "it ends too early, so it is damaged or incomplete", "copy it again"
    if isinstance(error, OSError) and error.errno and "hdf5" not in words and "h5" not in words:
        return "file_unreadable", f"it cannot be read ({os.strerror(error.errno)})", "check the disk"
    return "file_damaged", "a part of it cannot be read, so it is damaged or incomplete", "copy it again"


def check_path(path: Path) -> Place:
    """Where and what a data file is. Raises DataError for a path that names none."""
    return find_place(path)


@contextlib.contextmanager
def open_store(path: Path, access: Access = CLOSED) -> Iterator[Any]:
    """The group of a file that holds obs, var and X, read-only. Locks are taken where the file system has them.

    Raises DataError for what leads out of the file and not into the roots of `access`, and for codecs that run code.
    """
    place = find_place(path)
    if place.kind == "hdf5":
        import h5py

        with h5py.File(place.file, "r", locking="best-effort") as file:
            check_links(file, access)
            yield choose_group(file, place)
    elif place.kind == "mtx":
        raise DataError("not_hdf5", "it is a folder of text files", fix="write it as .h5ad")
    else:
        import zarr

        from vccapp.data.stores.zarr_store import make_store

        store = make_store(place, access)
        try:
            yield choose_group(zarr.open_group(store, mode="r", use_consolidated=False), place)
        finally:
            store.close()


@contextlib.contextmanager
def open_matrix(path: Path, matrix: str, access: Access = CLOSED) -> Iterator[Any]:
    """The array of that name, or where it is sparse its arrays by name, looked up once."""
    with open_store(path, access) as store:
        x = find_matrix(store, matrix)
        if x is None:
            raise DataError("no_x", f"it has no {matrix}", fix="open the file again")
        yield x if hasattr(x, "shape") else {name: x[name] for name in ("data", "indices")}


def filter_numbers(dataset: "h5py.Dataset") -> list[int]:
    """The HDF5 filters that the chunks of an array passed, in order (https://github.com/HDFGroup/hdf5_plugins)."""
    plist = dataset.id.get_create_plist()
    return [plist.get_filter(i)[0] for i in range(plist.get_nfilters())]
