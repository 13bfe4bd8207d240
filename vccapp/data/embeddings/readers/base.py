"""What a reader of gene vectors is, and the registry that finds them.

A file is told by what it is: those of plug-ins are asked first, then ours by name. To add one, write
`vccapp/data/embeddings/readers/<name>.py` with a registered subclass.
"""

import zipfile
from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar

import numpy as np

from vccapp.errors import DataError
from vccapp.registry import Registry
from vccapp.wording import bytes_text

MAX_BYTES = 2**31
"""Of the vectors of a file: 20 times the largest in use."""

READERS = Registry[type["Reader"]]("embedding", package="vccapp.data.embeddings.readers")


class Reader(ABC):
    """Reads one kind of file. label : the kind, for people; note : of the last file, what was left out or filled."""

    label: ClassVar[str]
    note: str = ""

    @abstractmethod
    def recognises(self, path: Path, head: bytes) -> bool:
        """Whether it is of this kind, by its name and its first 8 bytes."""

    @abstractmethod
    def read(self, path: Path) -> tuple[list[str], np.ndarray]:
        """Genes, and their vectors (n, d). Raises DataError for a file that cannot be read; runs nothing in it."""


def check_total(n_bytes: int, name: str) -> None:
    """Raise DataError where a file unpacks to more than vectors of genes take."""
    if n_bytes > MAX_BYTES:
        raise DataError(
            "too_large",
            f"{name}: it unpacks to {bytes_text(n_bytes)}, more than the {bytes_text(MAX_BYTES)} that are read",
            found=n_bytes,
            fix="keep the genes that are needed",
        )


def check_archive(path: Path) -> None:
    """The same for all that a zip file says that it holds."""
    with zipfile.ZipFile(path) as archive:
        check_total(sum(member.file_size for member in archive.infolist()), path.name)


def list_readers() -> list[Reader]:
    """In the order in which they are asked."""
    own = sorted(name for name in READERS if name not in READERS.added)
    return [READERS[name]() for name in (*READERS.added, *own)]
