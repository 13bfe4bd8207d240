"""The .vcc of a prediction: an uncompressed GNU tar of pred.h5ad.zst and watermark.txt, in pure Python.

The h5ad streams through zstd straight into the archive, whose header is written last, so there is no temporary copy and
memory stays below 0.3 GB at any size. Headers carry no user, group or time: the same h5ad gives the same bytes.
"""

import hashlib
import os
import stat
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, BinaryIO

import zstandard
from pydantic import BaseModel, ConfigDict

from vccapp.data.atomic import write_file
from vccapp.data.resources import require_disk
from vccapp.errors import CheckError
from vccapp.progress import Progress, part, silent
from vccapp.seasons.base import Season
from vccapp.wording import name_some

LEVEL = 3
COMPRESSED = 0.6
"""Of the h5ad that a package takes at most; log values of simulated counts came to 0.2-0.5."""
MAX_THREADS = 4
"""Each holds some 40 MB at level 3; the output does not depend on their number."""
BLOCK = 2**22
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"
MAX_HEADERS = 16
"""A .vcc has two, or a few more where the packer wrote long names or times."""
MAX_NAME_BYTES = 2**16
CELL_VALUE_BYTES = 16
"""Value and column in the widest types: times cells and genes, more than any submission has."""
SMALL, MAX_RATIO = 2**26, 1000
"""Unpacked bytes from which on a frame may be a bomb, and how much larger than the packed ones it may be: cells of
models came to 3 to 10 times, one cell repeated to some 100."""


class Package(BaseModel):
    """A written and verified archive."""

    model_config = ConfigDict(frozen=True)

    path: Path
    size: int
    sha256: str
    h5ad_size: int
    h5ad_sha256: str


def write_vcc(h5ad: Path, out: Path, season: Season, *, progress: Progress = silent) -> Package:
    """Package `h5ad` as `out`; read back and compared before `out` appears.

    Raises ResourceError when the disk is too full, CheckError when what was written does not read back the same.
    """
    size = h5ad.stat().st_size
    out.parent.mkdir(parents=True, exist_ok=True)
    require_disk(out.parent, estimate_package(size), purpose=f"Packaging {h5ad.name}")
    with write_file(out) as beside:
        with beside.open("wb+") as archive:
            sha256 = _write_members(h5ad, archive, season, progress=part(progress, 0.0, 0.7))
        found = hashlib.sha256()
        for block in _read_h5ad(beside, season, progress=part(progress, 0.7, 1.0)):
            found.update(block)
        if found.hexdigest() != sha256:
            raise CheckError(
                "read_back",
                f"{out.name} does not read back as {h5ad.name}: the disk or memory may be faulty. Package it again",
            )
        with beside.open("rb") as archive:
            vcc_sha256 = hashlib.file_digest(archive, "sha256").hexdigest()
    progress(1.0, f"{out.name} is written and verified")
    return Package(path=out, size=out.stat().st_size, sha256=vcc_sha256, h5ad_size=size, h5ad_sha256=sha256)


def estimate_package(h5ad_bytes: int) -> int:
    """Bytes of the package of an h5ad: what a plan, a build and packaging ask for."""
    return round(h5ad_bytes * COMPRESSED)


def unpack_vcc(path: Path, out_h5ad: Path, season: Season, *, progress: Progress = silent) -> Path:
    """Write the h5ad inside a .vcc to `out_h5ad`, whatever its members are called or point to.

    Raises CheckError when it is no such archive, ResourceError when the disk is too full.
    """
    out_h5ad.parent.mkdir(parents=True, exist_ok=True)
    with write_file(out_h5ad) as beside, beside.open("wb") as out:
        for block in _read_h5ad(path, season, progress=progress, folder=out_h5ad.parent):
            out.write(block)
    return out_h5ad


def _write_members(h5ad: Path, archive: BinaryIO, season: Season, *, progress: Progress) -> str:
    """Both members and the end of the archive; returns the sha256 of the h5ad."""
    size, done, sha256 = h5ad.stat().st_size, 0, hashlib.sha256()
    archive.seek(tarfile.BLOCKSIZE)  # the header holds the compressed size
    compressor = zstandard.ZstdCompressor(
        level=LEVEL, write_checksum=True, write_content_size=True, threads=min(MAX_THREADS, os.cpu_count() or 1)
    )
    with h5ad.open("rb") as source, compressor.stream_writer(archive, size=size, closefd=False) as frame:
        while block := source.read(BLOCK):
            sha256.update(block)
            frame.write(block)
            done += len(block)
            progress(done / size, f"Compressed {done / 1e6:,.0f} of {size / 1e6:,.0f} MB")
    compressed = archive.tell() - tarfile.BLOCKSIZE
    archive.write(_padding(compressed))
    watermark = season.container.watermark or b""
    archive.write(_header(season.container.members[1], len(watermark)))
    archive.write(watermark + _padding(len(watermark)))
    archive.write(bytes(2 * tarfile.BLOCKSIZE))
    archive.write(bytes(-archive.tell() % tarfile.RECORDSIZE))
    archive.seek(0)
    archive.write(_header(season.container.members[0], compressed))
    return sha256.hexdigest()


def _header(name: str, size: int) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.mode = size, 0o644
    return info.tobuf(tarfile.GNU_FORMAT)


def _padding(size: int) -> bytes:
    return bytes(-size % tarfile.BLOCKSIZE)


def _read_h5ad(path: Path, season: Season, *, progress: Progress, folder: Path | None = None) -> Iterator[bytes]:
    """The bytes of the h5ad inside a .vcc. `folder` is where they will be kept, if they will."""
    size = _size_of(path)
    try:
        with path.open("rb") as file:
            _check_headers(file, path, size)
            with tarfile.open(fileobj=file, mode="r:") as archive:
                yield from _read_frame(
                    *_find_frame(archive, path, season), path, season, progress=progress, folder=folder
                )
    except (tarfile.TarError, EOFError) as error:
        raise _not_tar(path) from error
    except zstandard.ZstdError as error:
        raise CheckError(
            "archive_damaged",
            f"{season.container.members[0]} in {name_some([path.name])} is damaged",
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


def _find_frame(archive: tarfile.TarFile, path: Path, season: Season) -> tuple[IO[bytes], int]:
    """The compressed member and its size, once both members are what they should be."""
    members: list[tarfile.TarInfo] = []
    for member in archive:
        members.append(member)
        if len(members) > len(season.container.members):
            break
    found, name = [member.name for member in members], name_some([path.name])
    if sorted(found) != sorted(season.container.members) or not all(member.isreg() for member in members):
        raise CheckError(
            "archive_members",
            f"{name} holds {name_some(found, 3) if found else 'nothing'}",
            fix=f"a .vcc holds the two plain files {' and '.join(season.container.members)} and nothing else. "
            "Package it again",
        )
    frame, watermark = (
        archive.extractfile(season.container.members[0]),
        archive.extractfile(season.container.members[1]),
    )
    if frame is None or watermark is None:  # which both are plain files
        raise tarfile.ReadError
    if (content := watermark.read(100)) != season.container.watermark:
        raise CheckError(
            "watermark",
            f"{season.container.members[1]} in {name} is {name_some([repr(content)])}, "
            f"not {season.container.watermark!r}",
            fix="package it again",
        )
    if frame.read(4) != ZSTD_MAGIC:
        raise CheckError(
            "not_zstd",
            f"{season.container.members[0]} in {name} is not compressed with zstd",
            fix="package it again",
        )
    frame.seek(0)
    return frame, archive.getmember(season.container.members[0]).size


def _read_frame(
    frame: IO[bytes], compressed: int, path: Path, season: Season, *, progress: Progress, folder: Path | None
) -> Iterator[bytes]:
    """Decompress in bounded blocks what is an HDF5 file of the size that the frame declares, and of a size that may be.

    A frame of unknown size is refused: where it was cut short, or where it ends, could not be told.
    """
    size, done, name = zstandard.frame_content_size(frame.read(64)), 0, name_some([path.name])
    frame.seek(0)
    if size < 0:
        raise CheckError(
            "frame_size",
            f"{season.container.members[0]} in {name} unpacks to an unknown number of bytes",
            fix="compress it with `zstd FILE`, not through a pipe, or package it again",
        )
    largest = season.max_cells * season.n_genes * CELL_VALUE_BYTES
    if size > largest or (size > SMALL and size > MAX_RATIO * compressed):
        raise CheckError(
            "frame_size",
            f"{season.container.members[0]} in {name} would unpack {compressed:,} bytes to {size:,}, "
            "as no submission does",
            fix="package it again",
        )
    if folder is not None:
        require_disk(folder, size, purpose=f"Unpacking {name}")
    with zstandard.ZstdDecompressor().stream_reader(frame) as source:
        while block := source.read(BLOCK):
            if done == 0 and not block.startswith(HDF5_MAGIC):
                raise CheckError(
                    "not_hdf5",
                    f"{season.container.members[0]} in {name} holds no HDF5 file: it is damaged or another",
                    fix="package it again",
                )
            done += len(block)
            if done > size:
                break
            yield block
            progress(min(done / max(size, 1), 1.0), f"Read {done / 1e6:,.0f} MB of {name}")
    if done != size:
        raise CheckError(
            "archive_damaged",
            f"The h5ad in {name} ends after {done:,} of {size:,} bytes",
            fix="package it again",
        )
