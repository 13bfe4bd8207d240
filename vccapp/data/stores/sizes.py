"""Sizes that a file declares, held against what it stores and against the memory that reading may take.

An array of 180 kB can declare a billion values: nothing is allocated before it is known that they are there.
"""

import math
from typing import Any

from vccapp.errors import DataError, ResourceError
from vccapp.wording import bytes_text

FLOOR = 2**26
"""Bytes up to which an array is not looked at twice."""
MAX_RATIO = 5_000
"""How many times larger an array may be than what is stored of it: gzip reaches 1,030, and zstd more on constants."""
TEXT_BYTES = 80
"""Of a short Python string and its place in an array."""
MAX_TEXT = 1_000
"""Characters of one label, name or barcode."""


def declared_bytes(array: Any) -> int:
    """Memory of an array that is read whole, by its own word. Raises DataError for a type that no array should have."""
    kind = getattr(array.dtype, "kind", "O")
    itemsize = array.dtype.itemsize
    if kind in "SUV" and itemsize > 4 * MAX_TEXT and not array.dtype.names:
        raise DataError(
            "label_too_long",
            f"its labels take {bytes_text(itemsize)} each",
            found=itemsize,
            fix=f"write labels of at most {MAX_TEXT:,} characters",
        )
    return math.prod(map(int, array.shape)) * (TEXT_BYTES if kind in "OT" else max(itemsize, 1))


def stored_bytes(array: Any) -> int:
    """What the file holds of an array (without the heap that HDF5 keeps texts of any length in)."""
    if hasattr(array, "id"):
        return int(array.id.get_storage_size())
    return int(array.nbytes_stored())


def check_array(array: Any, name: str, memory_bytes: int, *, copies: int = 2) -> None:
    """Raise before an array is read whole: DataError where it stores next to nothing of what it declares,
    ResourceError where `copies` of it do not fit the memory. name : begin of the sentence.
    """
    needed = declared_bytes(array)
    if needed <= FLOOR:
        return
    stored = stored_bytes(array)
    if needed > MAX_RATIO * stored:
        raise DataError(
            "size_declared",
            f"{name} says that it holds {array.shape[0]:,} values, but {bytes_text(stored)} are stored of them",
            found=tuple(array.shape),
            fix="write the file again",
        )
    check_memory(needed * copies, name, memory_bytes)


def check_chunk(array: Any, name: str, memory_bytes: int) -> None:
    """Raise ResourceError where one chunk, the least that can be read, does not fit the memory."""
    chunk = getattr(array, "chunks", None)
    if chunk:
        check_memory(2 * math.prod(map(int, chunk)) * array.dtype.itemsize, f"A chunk of {name}", memory_bytes)


def check_memory(needed: int, name: str, memory_bytes: int) -> None:
    """name : what takes it, begin of the sentence."""
    if needed > memory_bytes:
        raise ResourceError(
            "memory",
            f"{name} takes {bytes_text(needed)} of memory, more than the {bytes_text(memory_bytes)} that are allowed",
            found=needed,
            fix="raise VCCAPP_MEMORY_GB",
        )
