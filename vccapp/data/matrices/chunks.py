"""Long one-dimensional arrays, read front to back at the speed of the disk or of all cores.

    with open_reader(array) as reader:                  # h5py.Dataset or zarr.Array
        reader.read(first, out)                         # array[first : first + len(out)] into out, converted

HDF5 inflates one chunk at a time, in one thread for all files. So chunks that are plain, gzip or zstd (with or without
shuffle) are read here by their place in the file and inflated on threads; gzip by ISA-L, which takes half the time of
zlib. Other filters are HDF5's affair, zarr reads on threads of its own. A chunk that one slice ends in is kept for the
next, so that none is inflated twice.
"""

import contextlib
import os
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any, Protocol

import numpy as np

from vccapp.data.stores.files import filter_numbers

TASK_VALUES = 2**18
"""What a thread reads at once at least: less is not worth handing over."""

DEFLATE, SHUFFLE, ZSTD = 1, 2, 32015


class Reader(Protocol):
    def read(self, first: int, out: np.ndarray) -> None:
        """Fill `out` with the values from `first` on, converted to its type. `first` never falls from call to call."""


@contextlib.contextmanager
def open_reader(array: Any) -> Iterator[Reader]:
    """The fastest reader of a one-dimensional array of numbers; the array's file must stay open meanwhile."""
    places = _places(array)
    if places is None:
        yield SliceReader(array)
        return
    file = os.open(array.file.filename, os.O_RDONLY)
    try:
        with ThreadPoolExecutor(os.cpu_count(), "read") as threads:
            yield ChunkReader(file, places, array, threads)
    finally:
        os.close(file)


def _places(array: Any) -> np.ndarray | None:
    """(n chunks, 3) place in the file, size and skipped filters of each; None where HDF5 or zarr must read them."""
    import h5py

    if not isinstance(array, h5py.Dataset) or array.file.userblock_size or array.is_virtual or array.external:
        return None
    if array.id.get_type().get_size() != array.dtype.itemsize or not len(array):
        return None
    size = array.dtype.itemsize
    if array.chunks is None:
        offset = array.id.get_offset()
        first = np.arange(0, len(array), TASK_VALUES)
        sizes = np.minimum(TASK_VALUES, len(array) - first) * size
        return None if offset is None else np.stack([offset + first * size, sizes, 0 * first], axis=1)
    filters = filter_numbers(array)
    if filters[filters[:1] == [SHUFFLE] :] not in ([], [DEFLATE], [ZSTD]):
        return None
    places = np.full((-(-len(array) // array.chunks[0]), 3), -1)

    def note(chunk: Any) -> None:
        places[chunk.chunk_offset[0] // array.chunks[0]] = chunk.byte_offset, chunk.size, chunk.filter_mask

    array.id.chunk_iter(note)
    return places if (places[:, 0] >= 0).all() else None  # a chunk never written holds the fill value


class ChunkReader:
    """Reads and inflates HDF5 chunks on threads, without HDF5."""

    def __init__(self, file: int, places: np.ndarray, array: Any, threads: ThreadPoolExecutor) -> None:
        self.file = file
        self.places = places.tolist()
        self.dtype = array.dtype
        self.filters = filter_numbers(array)
        self.length = array.chunks[0] if array.chunks else TASK_VALUES
        self.threads = threads
        self.kept = (-1, np.zeros(0, self.dtype))  # the chunk in which the slice before ended

    def read(self, first: int, out: np.ndarray) -> None:
        if not len(out):
            return
        chunks = range(first // self.length, (first + len(out) - 1) // self.length + 1)
        step = max(1, TASK_VALUES // self.length)
        edges = [*range(chunks.start, chunks.stop, step), chunks.stop]
        for done in [self.threads.submit(self._read_chunks, range(*edge), first, out) for edge in pairwise(edges)]:
            done.result()

    def _read_chunks(self, chunks: Sequence[int], first: int, out: np.ndarray) -> None:
        for chunk in chunks:
            start = chunk * self.length
            low, high = max(first - start, 0), min(first + len(out) - start, self.length)
            target = out[start + low - first : start + high - first]
            if not self.filters and self.dtype == out.dtype:
                self._fill(self.places[chunk][0] + low * self.dtype.itemsize, target)
                continue
            number, values = self.kept
            if number != chunk:
                values = self._inflate(chunk)
            target[:] = values[low:high]
            if start + self.length > first + len(out):
                self.kept = (chunk, values)

    def _fill(self, offset: int, target: np.ndarray) -> None:
        view = target.data.cast("B")
        while len(view):
            n = os.preadv(self.file, [view], offset)
            if n == 0:
                raise EOFError(offset)
            view, offset = view[n:], offset + n

    def _inflate(self, chunk: int) -> np.ndarray:
        offset, stored, skipped = self.places[chunk]
        raw: bytes | memoryview = os.pread(self.file, stored, offset)
        size = self.dtype.itemsize
        for i in reversed(range(len(self.filters))):
            if skipped >> i & 1:
                continue
            if self.filters[i] == DEFLATE:
                from isal import isal_zlib

                raw = isal_zlib.decompress(raw, bufsize=self.length * size)
            elif self.filters[i] == ZSTD:
                from zstandard import ZstdDecompressor

                raw = ZstdDecompressor().decompress(raw, max_output_size=self.length * size)
            else:
                from vccapp.data.matrices.kernels import unshuffle

                plain = np.empty((self.length, size), np.uint8)
                unshuffle(np.frombuffer(raw, np.uint8).reshape(size, self.length), plain)
                raw = plain.data.cast("B")
        values = np.frombuffer(raw, self.dtype)
        if self.filters and len(values) != self.length:
            msg = f"chunk {chunk:,} holds {len(values):,} values, not {self.length:,}"
            raise ValueError(msg)
        return values


class SliceReader:
    """Reads whole chunks by slicing."""

    def __init__(self, array: Any) -> None:
        self.array = array
        self.chunk = (array.chunks or (1,))[0]
        self.kept = (0, np.zeros(0, array.dtype))  # from which value on, what is left of the chunk read last

    def read(self, first: int, out: np.ndarray) -> None:
        start, values = self.kept
        have = values[first - start :][: len(out)]
        out[: len(have)] = have
        begin, end = first + len(have), first + len(out)
        if begin < end:
            values = self.array[begin : -(-end // self.chunk) * self.chunk]
            out[len(have) :] = values[: end - begin]
            self.kept = (end, values[end - begin :].copy())


class Buffers:
    """Arrays of `length`, used again as soon as nothing else refers to them: to get 64 MB of fresh memory from the
    system takes about as long as to fill it from the disk cache.
    """

    def __init__(self, length: int) -> None:
        self.length = length
        self._arrays: list[np.ndarray] = []

    def take(self, n: int, dtype: str) -> np.ndarray:
        """(n,) values of any content. The array is the caller's for as long as it, or a view of it, is referred to."""
        for array in self._arrays:
            if array.dtype == dtype and sys.getrefcount(array) == _UNUSED:
                return array[:n]
        self._arrays.append(np.empty(self.length, dtype))
        return self._arrays[-1][:n]


def _count_unused() -> int:
    """What getrefcount says in the loop of `take` of an array that only its list holds."""
    for array in [np.empty(1)]:
        return sys.getrefcount(array)
    raise AssertionError


_UNUSED = _count_unused()
