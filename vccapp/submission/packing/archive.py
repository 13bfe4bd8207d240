"""Reading an archive of any origin: judged by its headers, its declared size and its first bytes before it is unpacked.

unpack_vcc(path, folder / "pred.h5ad", season)     # CheckError for what is no such archive
read_meta(path, season)                            # what it says of its content, where the container has that
"""

import json
import os
import stat
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, BinaryIO

import zstandard

from vccapp.data.atomic import write_file
from vccapp.data.resources import require_disk
from vccapp.errors import CheckError
from vccapp.faults import refuse_shortage
from vccapp.progress import Progress, silent
from vccapp.seasons.base import Season
from vccapp.wording import name_some

BLOCK = 2**22
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"
MAX_HEADERS = 16
"""A .vcc has two, or a few more where the packer wrote long names or times."""
MAX_NAME_BYTES = 2**16
MAX_META_BYTES = 2**16
"""Of meta.json, as the official reader has it."""
CELL_VALUE_BYTES = 16
"""Value and column in the widest types: times cells and genes, more than any submission has."""
SMALL, MAX_RATIO = 2**26, 1000
"""Unpacked bytes from which on a frame may be a bomb, and how much larger than the packed ones it may be: cells of
models came to 3 to 10 times, one cell repeated to some 100."""


def unpack_vcc(path: Path, out_h5ad: Path, season: Season, *, progress: Progress = silent) -> Path:
    """Write the h5ad inside a .vcc to `out_h5ad`, whatever its members are called or point to.

    Raises CheckError when it is no such archive, ResourceError when the disk is too full.
    """
    out_h5ad.parent.mkdir(parents=True, exist_ok=True)
    with write_file(out_h5ad) as beside, beside.open("wb") as out:
        for block in read_h5ad(path, season, progress=progress, folder=out_h5ad.parent):
            out.write(block)
    return out_h5ad


def read_h5ad(path: Path, season: Season, *, progress: Progress, folder: Path | None = None) -> Iterator[bytes]:
    """The bytes of the h5ad inside a package. `folder` is where they will be kept, if they will."""
    size = _size_of(path)
    if not season.container.members:
        with path.open("rb") as file:
            yield from iter(lambda: file.read(BLOCK), b"")
        return
    try:
        with path.open("rb") as file:
            _check_headers(file, path, size)
            with tarfile.open(fileobj=file, mode="r:") as archive:
                yield from _read_frame(
                    *_find_frame(archive, path, season), path, season, progress=progress, folder=folder
                )
    except (tarfile.TarError, EOFError) as error:
        refuse_shortage(error, name=path.name)
        raise _not_tar(path) from error
    except zstandard.ZstdError as error:
        refuse_shortage(error, name=path.name)
        raise CheckError(
            "archive_damaged",
            f"{season.container.frame} in {name_some([path.name])} is damaged",
            fix="package it again",
        ) from error


def _size_of(path: Path) -> int:
    """Raises CheckError for what is no plain file that may be read: a FIFO would be waited for, for ever."""
    name = name_some([path.name])
    try:
        about = path.stat()
    except FileNotFoundError:
        raise CheckError("file_missing", f"{name} does not exist", fix="use a .vcc file") from None
    except (OSError, ValueError) as error:
        reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else "its name has a NUL"
        raise CheckError("file_unreadable", f"{name} cannot be opened ({reason})", fix="use a .vcc file") from None
    if not stat.S_ISREG(about.st_mode):
        kind = "a folder" if stat.S_ISDIR(about.st_mode) else "a device or pipe"
        raise CheckError("not_a_file", f"{name} is {kind}, not a file", fix="use a .vcc file")
    if not os.access(path, os.R_OK):
        raise CheckError("permission", f"you are not allowed to read {name}", fix="change its permissions")
    return about.st_size


def _check_headers(file: BinaryIO, path: Path, size: int) -> None:
    """Walk the headers without what they are of: each must lie in the file, and those of names be short."""
    place = 0
    for _ in range(MAX_HEADERS):
        file.seek(place)
        header = file.read(tarfile.BLOCKSIZE)
        if len(header) < tarfile.BLOCKSIZE or header == bytes(tarfile.BLOCKSIZE):
            break
        try:
            about = tarfile.TarInfo.frombuf(header, "utf-8", "surrogateescape")
        except tarfile.HeaderError:
            raise _not_tar(path) from None
        place += tarfile.BLOCKSIZE
        of_name = about.type not in (tarfile.REGTYPE, tarfile.AREGTYPE)
        if not 0 <= about.size <= size - place or (of_name and about.size > MAX_NAME_BYTES):
            raise CheckError(
                "archive_header",
                f"{name_some([path.name])} is not a complete archive: a header declares {about.size:,} bytes",
                fix="package it again",
            )
        place += -(-about.size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
    file.seek(0)


def _not_tar(path: Path) -> CheckError:
    return CheckError(
        "not_tar", f"{name_some([path.name])} is not a complete, uncompressed tar archive", fix="package it again"
    )


def read_meta(path: Path, season: Season) -> dict[str, Any] | None:
    """What an archive says of its content; None where its container, or an older packer, says nothing.

    Raises CheckError where it says it in a way that nobody reads. The archive was judged before (`unpack_vcc`).
    """
    if season.container.watermark is not None or not season.container.members:
        return None
    name = next(name for name in season.container.members if name != season.container.frame)
    with tarfile.open(path, mode="r:") as archive:
        if name not in archive.getnames():
            return None
        member = archive.extractfile(name)
        content = b"" if member is None else member.read(MAX_META_BYTES + 1)
    try:
        meta = json.loads(content) if len(content) <= MAX_META_BYTES else None
    except (ValueError, RecursionError):
        meta = None
    if not isinstance(meta, dict):
        raise CheckError(
            "archive_meta",
            f"{name} in {name_some([path.name])} is no JSON object of at most {MAX_META_BYTES:,} bytes",
            fix="package it again",
        )
    return meta


def _find_frame(archive: tarfile.TarFile, path: Path, season: Season) -> tuple[IO[bytes], int]:
    """The compressed member and its size, once all members are what they should be."""
    container, members = season.container, []
    for member in archive:
        members.append(member)
        if len(members) > len(container.members):
            break
    found, name = [member.name for member in members], name_some([path.name])
    # The member beside the h5ad is fixed in one container, and left out by older packers of the other.
    needed = set(container.members) if container.watermark is not None else {container.frame}
    complete = needed <= set(found) <= set(container.members) and len(set(found)) == len(found)
    if not complete or not all(member.isreg() for member in members):
        raise CheckError(
            "archive_members",
            f"{name} holds {name_some(found, 3) if found else 'nothing'}",
            fix=f"a .vcc holds the two plain files {' and '.join(container.members)} and nothing else. "
            "Package it again",
        )
    if container.watermark is not None:
        _check_watermark(archive, season, name)
    frame = archive.extractfile(container.frame)
    if frame is None:  # which is a plain file
        raise tarfile.ReadError
    if frame.read(4) != ZSTD_MAGIC:
        raise CheckError(
            "not_zstd",
            f"{container.frame} in {name} is not compressed with zstd",
            fix="package it again",
        )
    frame.seek(0)
    return frame, archive.getmember(container.frame).size


def _check_watermark(archive: tarfile.TarFile, season: Season, name: str) -> None:
    member = next(member for member in season.container.members if member != season.container.frame)
    watermark = archive.extractfile(member)
    content = b"" if watermark is None else watermark.read(100)
    if content != season.container.watermark:
        raise CheckError(
            "watermark",
            f"{member} in {name} is {name_some([repr(content)])}, not {season.container.watermark!r}",
            fix="package it again",
        )


def _read_frame(
    frame: IO[bytes], compressed: int, path: Path, season: Season, *, progress: Progress, folder: Path | None
) -> Iterator[bytes]:
    """Decompress in bounded blocks what is an HDF5 file of the size that the frame declares, and of a size that may be.

    A frame of unknown size is refused where the official packer declares it: where it was cut short, or where it ends,
    could not be told. Elsewhere it is read as far as a submission may reach; HDF5 tells a cut file.
    """
    size, done, name = zstandard.frame_content_size(frame.read(64)), 0, name_some([path.name])
    frame.seek(0)
    if size < 0 and season.container.watermark is not None:
        raise CheckError(
            "frame_size",
            f"{season.container.frame} in {name} unpacks to an unknown number of bytes",
            fix="compress it with `zstd FILE`, not through a pipe, or package it again",
        )
    largest = max(SMALL, min(season.max_cells * season.n_genes * CELL_VALUE_BYTES, MAX_RATIO * compressed))
    if size > largest:
        raise _too_large(season, name, compressed, size)
    if folder is not None:
        require_disk(folder, max(size, compressed), purpose=f"Unpacking {name}")
    with zstandard.ZstdDecompressor().stream_reader(frame) as source:
        while block := source.read(BLOCK):
            if done == 0 and not block.startswith(HDF5_MAGIC):
                raise CheckError(
                    "not_hdf5",
                    f"{season.container.frame} in {name} holds no HDF5 file: it is damaged or another",
                    fix="package it again",
                )
            done += len(block)
            if size < 0 and done > largest:
                raise _too_large(season, name, compressed, done)
            if 0 <= size < done:
                break
            yield block
            share = done / size if size > 0 else frame.tell() / compressed
            progress(min(share, 1.0), f"Read {done / 1e6:,.0f} MB of {name}")
    if done != size >= 0 or done == 0:
        raise CheckError(
            "archive_damaged",
            f"The h5ad in {name} ends after {done:,} of {max(size, 0):,} bytes",
            fix="package it again",
        )


def _too_large(season: Season, name: str, compressed: int, size: int) -> CheckError:
    return CheckError(
        "frame_size",
        f"{season.container.frame} in {name} would unpack {compressed:,} bytes to {size:,}, as no submission does",
        fix="package it again",
    )
