"""A prediction in its season's container: an uncompressed tar of the zstd-compressed h5ad and a small member beside it.

The h5ad streams through zstd straight into the archive, whose header is written last, so there is no temporary copy and
memory stays below 0.3 GB at any size. Headers carry no user, group or time: the same h5ad gives the same bytes.
"""

import hashlib
import json
import os
import shutil
import tarfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO

import zstandard
from pydantic import BaseModel, ConfigDict

from vccapp.data.atomic import write_file
from vccapp.data.resources import require_disk
from vccapp.errors import CheckError
from vccapp.progress import Progress, part, silent
from vccapp.seasons.base import Season
from vccapp.stats.building.read_ahead import read_ahead
from vccapp.submission.h5ad import open_cells
from vccapp.submission.packing.archive import BLOCK, read_h5ad

LEVEL, WINDOW, TABLES = 3, 19, (16, 15)
"""Of zstd: its default with tables that stay in the cache of a processor: a quarter quicker for 4 % of the size."""
COMPRESSED = 0.6
"""Of the h5ad that a package takes at most; log values of simulated counts came to 0.2-0.5."""
MAX_THREADS = 4
"""Each holds some 40 MB at level 3; the output does not depend on their number."""
META_LAYOUT = {"schema": 1, "cli_version": "0.3.0"}
"""Of meta.json: its schema, and the version of vcc-cli that writes it so."""

CONTENT = ("contexts", "n_obs", "n_vars", "nnz", "perts_fingerprint")
"""What meta.json says that can be held against the cells."""


class Package(BaseModel):
    """A written and verified archive."""

    model_config = ConfigDict(frozen=True)

    path: Path
    size: int
    sha256: str
    h5ad_size: int
    h5ad_sha256: str


def write_vcc(
    h5ad: Path,
    out: Path,
    season: Season,
    *,
    panel_id: str | None = None,
    new: bool = False,
    progress: Progress = silent,
) -> Package:
    """Package `h5ad` as `out`; read back and compared before `out` appears.

    panel_id : of the organisers' bundle, recorded where the container describes its content; new : see `write_file`
    Raises ResourceError when the disk is too full, CheckError when what was written does not read back the same.
    """
    size = h5ad.stat().st_size
    out.parent.mkdir(parents=True, exist_ok=True)
    bare = not season.container.members
    require_disk(out.parent, size if bare else estimate_package(size), purpose=f"Packaging {h5ad.name}")
    members = {} if bare else _small_members(h5ad, season, panel_id)
    with write_file(out, new=new) as beside:
        with beside.open("wb+") as archive:
            sha256 = _write_archive(h5ad, archive, season, members, progress=part(progress, 0.0, 0.7))
        with ThreadPoolExecutor(1) as thread:
            vcc_sha256 = thread.submit(_hash_file, beside)
            found = hashlib.sha256()
            for block in read_ahead(read_h5ad(beside, season, progress=part(progress, 0.7, 1.0))):
                found.update(block)
        if found.hexdigest() != sha256:
            raise CheckError(
                "read_back",
                f"{out.name} does not read back as {h5ad.name}: the disk or memory may be faulty. Package it again",
            )
    progress(1.0, f"{out.name} is written and verified")
    return Package(path=out, size=out.stat().st_size, sha256=vcc_sha256.result(), h5ad_size=size, h5ad_sha256=sha256)


def _hash_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def estimate_package(h5ad_bytes: int) -> int:
    """Bytes of the package of an h5ad: what a plan, a build and packaging ask for."""
    return round(h5ad_bytes * COMPRESSED)


def describe_content(h5ad: Path, season: Season, panel_id: str | None = None) -> bytes:
    """meta.json of the container of 2026: what the organisers' server sizes and compares by, without reading the cells.

    Source: vcc-cli 0.3.0. The fingerprint is that of the sorted targets, a line each.
    """
    cells = open_cells(h5ad, season.pert_col, season.context_col)
    targets = sorted({str(label) for label in cells.labels.categories} - {season.control_label})
    found = set() if cells.contexts is None else {str(context) for context in cells.contexts.categories}
    known = [context for phase in season.phases for context in phase.contexts]
    about = META_LAYOUT | {
        "contexts": [context for context in known if context in found] or sorted(found),
        "n_obs": cells.shape[0],
        "n_vars": cells.shape[1],
        "nnz": cells.n_values,
        "perts_fingerprint": f"sha256:{hashlib.sha256(chr(10).join(targets).encode()).hexdigest()}",
    }
    return json.dumps(about | ({"panel_id": panel_id} if panel_id else {}), sort_keys=True).encode()


def _small_members(h5ad: Path, season: Season, panel_id: str | None) -> dict[str, bytes]:
    """All members but the h5ad."""
    container = season.container
    content = container.watermark if container.watermark is not None else describe_content(h5ad, season, panel_id)
    return {name: content for name in container.members if name != container.frame}


def _write_archive(
    h5ad: Path, archive: BinaryIO, season: Season, members: dict[str, bytes], *, progress: Progress
) -> str:
    """All members in order and the end of the archive, or the h5ad alone; returns the sha256 of the h5ad."""
    if not season.container.members:
        with h5ad.open("rb") as source:
            shutil.copyfileobj(source, archive, BLOCK)
            source.seek(0)
            return hashlib.file_digest(source, "sha256").hexdigest()
    sha256 = ""
    for name in season.container.members:
        if name == season.container.frame:
            sha256 = _write_frame(h5ad, archive, name, progress=progress)
        else:
            archive.write(_header(name, len(members[name])) + members[name] + _padding(len(members[name])))
    archive.write(bytes(2 * tarfile.BLOCKSIZE))
    archive.write(bytes(-archive.tell() % tarfile.RECORDSIZE))
    return sha256


def _write_frame(h5ad: Path, archive: BinaryIO, name: str, *, progress: Progress) -> str:
    """The compressed h5ad as a member; its header, which holds the compressed size, is written last."""
    size, done, sha256, start = h5ad.stat().st_size, 0, hashlib.sha256(), archive.tell()
    archive.seek(start + tarfile.BLOCKSIZE)
    params = zstandard.ZstdCompressionParameters.from_level(
        LEVEL,
        source_size=size,
        window_log=WINDOW,
        hash_log=TABLES[0],
        chain_log=TABLES[1],
        write_checksum=True,
        write_content_size=True,
        threads=min(MAX_THREADS, os.cpu_count() or 1),
    )
    compressor = zstandard.ZstdCompressor(compression_params=params)

    def read() -> Iterator[bytes]:
        with h5ad.open("rb") as source:
            while block := source.read(BLOCK):
                sha256.update(block)
                yield block

    with compressor.stream_writer(archive, size=size, closefd=False) as frame:
        for block in read_ahead(read()):
            frame.write(block)
            done += len(block)
            progress(done / size, f"Compressed {done / 1e6:,.0f} of {size / 1e6:,.0f} MB")
    compressed = archive.tell() - start - tarfile.BLOCKSIZE
    archive.write(_padding(compressed))
    end = archive.tell()
    archive.seek(start)
    archive.write(_header(name, compressed))
    archive.seek(end)
    return sha256.hexdigest()


def _header(name: str, size: int) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.mode = size, 0o644
    return info.tobuf(tarfile.GNU_FORMAT)


def _padding(size: int) -> bytes:
    return bytes(-size % tarfile.BLOCKSIZE)
