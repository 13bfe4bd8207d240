"""Where a data file lies and what it is, told by its content: HDF5, zarr (folder, zip or remote), or a folder of mtx.

place = find_place(Path("papalexi.h5mu/rna"))      # a group inside a file: a modality
place.file, place.kind, place.group
"""

import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vccapp.errors import DataError

Kind = Literal["hdf5", "zarr", "zip", "remote", "mtx"]

HDF5 = b"\x89HDF\r\n\x1a\n"
USER_BLOCKS = (0, 512, 1024, 2048, 4096)
"""Where an HDF5 file may begin."""
ZARR = ("zarr.json", ".zgroup", ".zattrs", ".zmetadata")
"""A folder with one of these is a zarr group."""
SUFFIXES = (".h5ad", ".h5", ".hdf5", ".h5mu", ".loom", ".h5ad.gz", ".zarr", ".zarr.zip")
"""Names under which data files are looked for, in any case of letters."""
OTHERS = {
    b"\x1f\x8b": ("gzipped", "it is compressed with gzip", "unpack it (gunzip) and open what comes out"),
    b"BZ": ("compressed", "it is compressed with bzip2", "unpack it and open what comes out"),
    b"\xfd7": ("compressed", "it is compressed with xz", "unpack it and open what comes out"),
    b"\x28\xb5": ("compressed", "it is compressed with zstd", "unpack it and open what comes out"),
}
REMOTE = re.compile(r"(s3|gs|gcs|https?|memory):/+(.+)", re.DOTALL)


@dataclass(frozen=True)
class Place:
    """path : as it was named; file : what holds it on the disk; group : inside of that, empty for all of it."""

    path: Path
    file: Path
    kind: Kind
    group: str = ""

    @property
    def url(self) -> str:
        """Of a remote store; a Path has lost a slash of it."""
        scheme, rest = REMOTE.fullmatch(str(self.path)).groups()  # type: ignore[union-attr]
        return f"{scheme}://{rest}"


def is_remote(path: Path | str) -> bool:
    """Whether it is an address such as s3://bucket/cells.zarr."""
    return REMOTE.fullmatch(str(path)) is not None


def absolute(path: Path | str) -> Path:
    """The path from the root on, a leading ~ expanded; an address as it is. Raises DataError for no path at all."""
    if is_remote(path):
        return Path(path)
    if "\0" in str(path):
        raise DataError("not_a_path", "A path cannot hold a NUL character", fix="check the path")
    try:
        return Path(path).expanduser().absolute()
    except RuntimeError:
        raise DataError("no_home", f"There is no home folder {Path(path).parts[0]}", fix="check the path") from None


def resolved(path: Path | str) -> Path:
    """The same with links followed."""
    path = absolute(path)
    return path if is_remote(path) else Path(os.path.realpath(path))


def find_place(path: Path) -> Place:
    """Raises DataError for a path that names no data file."""
    if is_remote(path):
        return Place(path, path, "remote")
    file = path
    inside: list[str] = []
    try:
        while not os.path.lexists(file) and file != file.parent:
            inside.insert(0, file.name)
            file = file.parent
        if inside and (file.is_dir() and not _is_zarr(file)):
            raise DataError("file_missing", f"it does not exist in {path.parent}", fix="check the path")
        return Place(path, file, _kind(file), "/".join(inside))
    except PermissionError:
        raise DataError("permission", "you are not allowed to read it", fix="change its permissions") from None
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else "it cannot be reached"
        raise DataError("file_unreadable", f"it cannot be read ({reason})", fix="check the path and the disk") from None


def _is_zarr(folder: Path) -> bool:
    return any((folder / name).is_file() for name in ZARR)


def _kind(file: Path) -> Kind:
    if not file.exists():
        raise DataError("broken_link", "it is a broken link", fix="repair the link")
    if file.is_dir():
        return _kind_of_folder(file)
    state = file.stat()
    if not stat.S_ISREG(state.st_mode):
        raise DataError("not_a_file", "it is a device or a pipe, not a file", fix="choose an .h5ad file")
    if state.st_size == 0:
        raise DataError("empty_file", "it is empty (0 bytes)", fix="copy or write it again")
    if file.suffix.lower() == ".zarr":
        raise DataError("not_zarr", "it is a file, but a .zarr is a folder", fix="unpack it or write it again")
    with file.open("rb") as opened:
        head = opened.read(USER_BLOCKS[-1] + len(HDF5))
    if any(head[start : start + len(HDF5)] == HDF5 for start in USER_BLOCKS):
        return "hdf5"
    if head[:4] == b"PK\x03\x04" and file.name.lower().endswith(".zip"):
        return "zip"
    if head[:2] in OTHERS:
        code, problem, fix = OTHERS[head[:2]]
        raise DataError(code, problem, fix=fix)
    if not file.name.lower().endswith(SUFFIXES):
        raise DataError(
            "suffix",
            f"its name does not end in {', '.join(SUFFIXES)}, and it is not HDF5",
            fix="convert it to .h5ad and open that",
        )
    raise DataError("not_hdf5", "it is not an HDF5 file despite its name", fix="choose an .h5ad written by anndata")


def _kind_of_folder(folder: Path) -> Kind:
    if _is_zarr(folder):
        return "zarr"
    if any((folder / f"matrix.mtx{suffix}").is_file() for suffix in ("", ".gz")):
        return "mtx"
    if folder.suffix.lower() == ".zarr":
        raise DataError(
            "zarr_incomplete", "it has no zarr.json and no .zgroup, so it is incomplete", fix="copy it again"
        )
    if folder.name.lower().endswith(SUFFIXES):
        raise DataError("not_hdf5", "it is a folder, not an HDF5 file", fix="choose a file in it")
    raise DataError(
        "suffix",
        "it is a folder without a zarr store in it, and its name does not end in .h5ad",
        fix="choose a file in it",
    )
