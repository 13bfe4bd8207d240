"""Zarr stores that look at what they give out: no link out of the roots, no codec beyond a list, no bomb of a chunk.

A codec is a program that the file names: `pickle` runs code. So the metadata of every array are read here before zarr
reads them, and chunks are files inside of the store.
"""

import json
import os
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from zarr.abc.store import ByteRequest
from zarr.core.buffer import Buffer, BufferPrototype
from zarr.storage import FsspecStore, LocalStore, ZipStore

from vccapp.data.stores.access import Access
from vccapp.data.stores.places import Place
from vccapp.errors import DataError

METADATA = ("zarr.json", ".zarray", ".zgroup", ".zattrs", ".zmetadata")
MAX_METADATA = 2**26
MAX_CHUNK = 2**31
"""Bytes of one compressed chunk that is read whole."""
PLAIN = ("blosc", "gzip", "zlib", "zstd", "lz4", "bz2", "lzma", "crc32", "crc32c", "adler32", "fletcher32")
FILTERS = ("vlen-utf8", "vlen-bytes", "delta", "shuffle", "fixedscaleoffset", "quantize", "bitround", "packbits")
CODECS = frozenset({*PLAIN, *FILTERS, "astype", "bytes", "endian", "transpose", "sharding_indexed"})
"""Codecs of zarr v2 (compressor, filters) and v3 that turn bytes into numbers or text and do nothing else."""


def check_codecs(content: bytes, key: str) -> None:
    """Raises DataError for metadata that are no JSON, or name a codec that is not on the list."""
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        raise DataError(
            "metadata_damaged", f"its {key} is not JSON, so it is damaged", fix="copy or write it again"
        ) from None
    for name in _codecs(found):
        if name.removeprefix("numcodecs.") not in CODECS:
            raise DataError(
                "codec_refused",
                f"{key} names the codec '{name[:40]}', which numbers and labels do not need; it is not run",
                found=name,
                fix="write it again with zstd, blosc or gzip",
            )


def _codecs(found: Any) -> Iterable[str]:
    """The names of codecs anywhere in the metadata of arrays, consolidated ones included."""
    waiting = [found]
    while waiting:
        value = waiting.pop()
        if isinstance(value, list):
            waiting.extend(value)
        elif isinstance(value, dict):
            for key, inner in value.items():
                if key in ("compressor", "filters", "codecs", "index_codecs"):
                    for codec in inner if isinstance(inner, list) else [inner]:
                        if isinstance(codec, dict):
                            yield str(codec.get("id", codec.get("name")))
                        elif codec is not None:
                            yield str(codec)
                if key != "attributes":
                    waiting.append(inner)


class _Guard:
    """What the stores share. `_check` is asked before a key is read."""

    async def _check(self, key: str) -> None:
        raise NotImplementedError

    async def get(
        self, key: str, prototype: BufferPrototype | None = None, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        await self._check(key)
        value: Buffer | None = await super().get(key, prototype, byte_range)  # type: ignore[misc]
        if value is not None and key.rpartition("/")[2] in METADATA:
            check_codecs(value.to_bytes(), key)
        return value

    async def get_partial_values(
        self, prototype: BufferPrototype, key_ranges: Iterable[tuple[str, ByteRequest | None]]
    ) -> list[Buffer | None]:
        wanted = list(key_ranges)
        for key, _ in wanted:
            await self._check(key)
        return await super().get_partial_values(prototype, wanted)  # type: ignore[misc]


class GuardedFolder(_Guard, LocalStore):
    """A zarr folder, read-only."""

    def __init__(self, root: Path, access: Access) -> None:
        super().__init__(root, read_only=True)
        self.real, self.access = os.path.realpath(root), access

    def with_read_only(self, read_only: bool = False) -> "GuardedFolder":
        return self

    async def _check(self, key: str) -> None:
        path = self.root / key
        real = os.path.realpath(path)
        if real != self.real and not real.startswith(f"{self.real}{os.sep}") and not self.access.admits(Path(real)):
            raise DataError(
                "link_outside",
                f"{key} is a link to another place, {real[-80:]}",
                found=real,
                fix="copy what it leads to, or move the target into VCCAPP_DATA_ROOTS",
            )
        try:
            state = Path(real).stat()
        except OSError:
            return
        if stat.S_ISDIR(state.st_mode):
            return
        if not stat.S_ISREG(state.st_mode):
            raise DataError("not_a_file", f"{key} is a device or a pipe, not a file", fix="write the store again")
        _check_bytes(key, state.st_size)


class GuardedZip(_Guard, ZipStore):
    """A zarr store in a zip file, read-only."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, mode="r", read_only=True)

    def with_read_only(self, read_only: bool = False) -> "GuardedZip":
        return self

    async def _check(self, key: str) -> None:
        if not self._is_open:
            await self._open()
        try:
            info = self._zf.getinfo(key)
        except KeyError:
            return
        _check_bytes(key, info.file_size)
        if info.file_size > 2**20 and info.file_size > 1100 * max(info.compress_size, 1):
            raise DataError("bomb", f"{key} in it unpacks to {info.file_size:,} bytes", fix="write it again")


class GuardedRemote(_Guard, FsspecStore):
    """A zarr store at an address, read-only."""

    async def _check(self, key: str) -> None:
        return


def _check_bytes(key: str, size: int) -> None:
    limit = MAX_METADATA if key.rpartition("/")[2] in METADATA else MAX_CHUNK
    if size > limit:
        raise DataError("chunk_too_large", f"{key} in it has {size:,} bytes", fix="write it again in smaller chunks")


def make_store(place: Place, access: Access) -> GuardedFolder | GuardedZip | GuardedRemote:
    """The guarded store of a place. Raises DataError where its address needs a package that is absent."""
    if place.kind == "zarr":
        return GuardedFolder(place.file, access)
    if place.kind == "zip":
        return GuardedZip(place.file)
    try:
        store = GuardedRemote.from_url(place.url, read_only=True)
    except ImportError:
        scheme = place.url.partition(":")[0]
        package = {"s3": "s3fs", "gs": "gcsfs", "gcs": "gcsfs"}.get(scheme, "aiohttp")
        raise DataError(
            "needs_package", f"{scheme}:// needs the package {package}", fix=f"pip install {package}"
        ) from None
    return store  # type: ignore[return-value]
