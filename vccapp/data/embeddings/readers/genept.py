"""GenePT's pickle: a dict of gene symbol to a list of numbers or a numpy array (Chen & Zou 2024, Zenodo 10833191).

A pickle is a program. `load_plain_pickle` runs none: the unpickler admits dict, list, tuple, set, str, numbers and
numpy arrays, and refuses every other class or function before it is looked up.
"""

import codecs
import io
import logging
import pickle
from pathlib import Path
from typing import Any, Literal

import numpy as np

from vccapp.data.embeddings.readers.base import MAX_BYTES, READERS, Reader, check_total
from vccapp.errors import DataError
from vccapp.faults import refuse_shortage
from vccapp.textfiles import read_bytes

LOG = logging.getLogger(__name__)


@READERS.register("genept")
class PlainPickle(Reader):
    label = "pickle of a dict of vectors (GenePT)"

    def recognises(self, path: Path, head: bytes) -> bool:
        return path.suffix in {".pickle", ".pkl"} or (head[:1] == b"\x80" and head[1:2] in b"\x02\x03\x04\x05")

    def read(self, path: Path) -> tuple[list[str], np.ndarray]:
        return stack_vectors(load_plain_pickle(read_bytes(path, limit=MAX_BYTES), name=path.name), name=path.name)


def stack_vectors(vectors: Any, *, name: str) -> tuple[list[str], np.ndarray]:
    """A dict of equally long vectors as genes and matrix. Raises DataError for anything else."""
    if not isinstance(vectors, dict) or not vectors or not all(isinstance(gene, str) for gene in vectors):
        raise DataError(
            "not_vectors",
            f"{name}: it holds a {type(vectors).__name__}, but a dict of gene symbol to vector is needed",
        )
    if any(_nested(vector) for vector in vectors.values()):
        raise DataError(
            "not_vectors",
            f"{name}: some vectors are lists of lists",
            fix="a dict of gene symbol to vector is needed",
        )
    check_total(4 * sum(np.size(vector) for vector in vectors.values()), name)
    try:
        rows = {gene: np.asarray(vector, np.float32).ravel() for gene, vector in vectors.items()}
    except (TypeError, ValueError):
        raise DataError(
            "not_vectors",
            f"{name}: some vectors are not lists of numbers",
            fix="a dict of gene symbol to vector is needed",
        ) from None
    width = len(next(iter(rows.values())))
    odd = next((gene for gene, row in rows.items() if len(row) != width), None)
    if odd is not None:
        raise DataError(
            "ragged_vectors",
            f"{name}: the vector of {odd} has {len(rows[odd]):,} values, earlier ones have {width:,}",
            fix="mend the file",
        )
    return list(rows), np.stack(list(rows.values()))


def _nested(vector: Any) -> bool:
    """Lists in lists: a few bytes of a pickle can be billions of them, as the same list may be there many times."""
    return isinstance(vector, list | tuple | set | dict) and any(
        isinstance(value, list | tuple | set | dict | np.ndarray) for value in vector
    )


def load_plain_pickle(content: bytes, *, name: str) -> Any:
    """What a pickle of plain values holds. Raises DataError for one that asks for anything else, or is damaged."""
    try:
        return _PlainUnpickler(io.BytesIO(content)).load()
    except _Refused as error:
        raise DataError(
            "pickle_refused",
            f"{name}: it uses {error}, which gene vectors do not need; for safety it is not loaded",
            fix="convert it to npz",
        ) from None
    except Exception as error:  # a damaged pickle raises whatever its bytes happen to mean
        refuse_shortage(error, name=name)
        LOG.info("%s is no readable pickle", name, exc_info=error)
        raise DataError(
            "pickle_damaged",
            f"{name}: it is not a readable pickle",
            fix="copy it again or convert it to npz",
        ) from None


class _Refused(Exception):
    """A name that plain values do not need."""


class _PlainUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        """Only what numpy writes of an array; protocol 2 writes its bytes as latin-1 text."""
        if module == "_codecs" and name == "encode":
            return _encode_latin
        admitted = _NUMPY.get(module.replace("numpy._core", "numpy.core"), {}).get(name)
        if admitted is None:
            asked = f"{module}.{name}"
            raise _Refused(asked)
        return admitted

    def persistent_load(self, pid: Any) -> Any:
        asked = "an object outside the file"
        raise _Refused(asked)


def _encode_latin(text: str, encoding: str) -> bytes:
    if encoding != "latin1":
        asked = f"the encoding {encoding}"
        raise _Refused(asked)
    return codecs.encode(text, "latin1")


_ARRAY = object()
"""Stands for numpy.ndarray, so that a file cannot call it with a buffer of its own."""


def _reconstruct(kind: object, shape: tuple[int, ...], code: bytes | str) -> np.ndarray:
    """An empty array, which the pickle then fills."""
    if kind is not _ARRAY or shape != (0,):
        asked = f"an array of {kind!r} and shape {shape}"
        raise _Refused(asked)
    return np.ndarray(shape, code if isinstance(code, str) else code.decode())


def _dtype(code: str, *_: object) -> np.dtype:
    return np.dtype(str(code), copy=True)


def _scalar(dtype: np.dtype, content: bytes) -> np.generic:
    if dtype.hasobject or not isinstance(content, bytes):
        asked = "a numpy scalar of objects"
        raise _Refused(asked)
    return np.frombuffer(content, dtype, count=1)[0]


def _from_buffer(content: bytes, dtype: np.dtype, shape: tuple[int, ...], order: Literal["C", "F"]) -> np.ndarray:
    return np.frombuffer(content, dtype).reshape(shape, order=order)


_NUMPY: dict[str, dict[str, Any]] = {
    "numpy": {"ndarray": _ARRAY, "dtype": _dtype},
    "numpy.core.multiarray": {"_reconstruct": _reconstruct, "scalar": _scalar},
    "numpy.core.numeric": {"_frombuffer": _from_buffer},
}
"""What numpy writes of an array or a number, by module (numpy.core is numpy._core since numpy 2) and name."""
