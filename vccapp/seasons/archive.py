"""The files that the organisers give, in a folder or in a zip, by their names.

    with open_files(path) as files:
        files.names                             # {"manifest.json", "context_A.h5ad", ...}
        files.fetch("context_A.h5ad", folder)   # a path: in place where it is a folder, else unpacked to `folder`

Of a zip nothing is unpacked but what is asked for, to a name of ours, and never more than it declares.
"""

import contextlib
import os
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TypeVar

from vccapp.data.resources import require_disk
from vccapp.errors import DataError
from vccapp.faults import refuse_shortage
from vccapp.progress import Progress, silent
from vccapp.wording import bytes_text

Holder = TypeVar("Holder", Path, str)

MANIFEST = "manifest.json"
BLOCK = 2**22
MAX_RATIO = 200
"""Bytes out of a byte in, at most; of sparse counts there come 4 to 10, of a file made to fill a disk 1,030."""
MAX_MEMBERS = 10_000
UNREADABLE = (OSError, EOFError, NotImplementedError, RuntimeError, zlib.error, zipfile.BadZipFile)
"""What reading a member raises that is cut short, damaged, encrypted or packed in an unknown way."""


@dataclass(frozen=True)
class Folder:
    """sizes : of its files by name"""

    path: Path
    sizes: Mapping[str, int]

    def fetch(self, name: str, folder: Path, *, limit: int | None = None, progress: Progress = silent) -> Path:
        """Where a file lies: whoever reads it keeps to the limit."""
        return self.path / name


@dataclass(frozen=True)
class Zip:
    """sizes : of its files by name, unpacked; inside : the folder in the zip that holds them"""

    path: Path
    sizes: Mapping[str, int]
    zip: zipfile.ZipFile
    inside: str

    def fetch(self, name: str, folder: Path, *, limit: int | None = None, progress: Progress = silent) -> Path:
        """Unpack a file to `folder`. limit : its bytes at most

        Raises DataError for one that is damaged or too large, ResourceError where there is no room.
        """
        size, target = self.sizes[name], folder / name
        member = self.zip.getinfo(self.inside + name)
        if limit is not None and size > limit:
            raise self._damaged(name, f"it has {bytes_text(size)}, more than the {bytes_text(limit)} that are read")
        if limit is None and size > max(member.compress_size, 1) * MAX_RATIO:
            raise self._damaged(name, "it declares more than can be packed into it")
        require_disk(folder, size, purpose=f"{name} of {self.path.name}")
        with target.open("wb") as out:
            for done, block in self._blocks(name):
                out.write(block)
                progress(done / max(size, 1), f"Unpacking {name}, {bytes_text(done)} of {bytes_text(size)}")
        return target

    def _blocks(self, name: str) -> Iterator[tuple[int, bytes]]:
        """Blocks with what is read after each. What is wrong with the file is told apart from a full disk."""
        size, done = self.sizes[name], 0
        with self._reading(name):
            file: IO[bytes] = self.zip.open(self.inside + name)
        with file:
            while True:
                with self._reading(name):
                    block = file.read(BLOCK)
                done += len(block)
                if done > size:
                    raise self._damaged(name, f"it is longer than the {size:,} bytes that it declares")
                if not block:
                    break
                yield done, block
        if done < size:
            raise self._damaged(name, f"it ends after {done:,} of {size:,} bytes")

    @contextlib.contextmanager
    def _reading(self, name: str) -> Iterator[None]:
        try:
            yield
        except UNREADABLE as error:
            refuse_shortage(error, name=name)
            raise self._damaged(name, "it cannot be unpacked") from None

    def _damaged(self, name: str, why: str) -> DataError:
        return DataError("zip_damaged", f"{name} in {self.path.name} is damaged: {why}", fix="download the zip again")


Files = Folder | Zip


@contextlib.contextmanager
def open_files(path: Path) -> Iterator[Files]:
    """The files of a bundle: of the folder or zip itself, or of the one folder in it that holds a manifest.json.

    Raises DataError where there is none, or more than one.
    """
    if path.is_dir():
        yield _open_folder(path)
        return
    if path.name == MANIFEST and path.is_file():
        yield _open_folder(path.parent)
        return
    if not path.exists():
        raise DataError("file_missing", f"{path} does not exist", fix="check the path")
    if not path.is_file() or not os.access(path, os.R_OK):
        raise DataError("file_unreadable", f"{path} cannot be read", fix="choose the organisers' folder or zip")
    try:
        archive = zipfile.ZipFile(path)
    except UNREADABLE as error:
        refuse_shortage(error, name=path.name)
        raise DataError(
            "not_a_bundle",
            f"{path.name} is no folder and no zip, or the zip is damaged",
            fix="choose the organisers' folder, or download the zip again",
        ) from None
    with archive:
        yield _open_zip(path, archive)


def _open_folder(path: Path) -> Folder:
    try:
        holders = [path] if (path / MANIFEST).is_file() else [p.parent for p in sorted(path.glob(f"*/{MANIFEST}"))]
        folder = _only(holders, path)
        return Folder(folder, {p.name: p.stat().st_size for p in folder.iterdir() if p.is_file()})
    except OSError as error:
        raise DataError("file_unreadable", f"{path} cannot be read ({error.strerror})", fix="check it") from None


def _open_zip(path: Path, archive: zipfile.ZipFile) -> Zip:
    members = archive.infolist()
    if len(members) > MAX_MEMBERS:
        raise DataError("not_a_bundle", f"{path.name} holds {len(members):,} files", fix="choose the organisers' zip")
    named = [info.filename for info in members if not info.filename.startswith("__MACOSX/")]
    holders = [name[: -len(MANIFEST)] for name in named if name.rpartition("/")[2] == MANIFEST]
    inside = _only(holders, path)
    own = [info for info in members if info.filename.rpartition("/")[0] == inside.rstrip("/") and not info.is_dir()]
    sizes = {info.filename[len(inside) :]: info.file_size for info in own}
    if len(sizes) < len(own):
        raise DataError("zip_damaged", f"{path.name} holds two files of one name", fix="download the zip again")
    return Zip(path, sizes, archive, inside)


def _only(holders: list[Holder], path: Path) -> Holder:
    if len(holders) != 1:
        found = f"{len(holders)} of them" if holders else "none"
        raise DataError(
            "not_a_bundle",
            f"A bundle has one {MANIFEST}, and {path.name} has {found}",
            found=[str(holder) for holder in holders],
            fix="choose the folder or zip of controls that the organisers give",
        )
    return holders[0]
