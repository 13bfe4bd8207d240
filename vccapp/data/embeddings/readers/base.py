"""What a reader of gene vectors is, and the registry that finds them.

A file is told by what it is: those of plug-ins are asked first, then ours by name. To add one, write
`vccapp/data/embeddings/readers/<name>.py` with a registered subclass.
"""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar

import numpy as np

from vccapp.registry import Registry

READERS = Registry[type["Reader"]]("embedding", package="vccapp.data.embeddings.readers")


class Reader(ABC):
    """Reads one kind of file. label : the kind, for people."""

    label: ClassVar[str]

    @abstractmethod
    def recognises(self, path: Path, head: bytes) -> bool:
        """Whether it is of this kind, by its name and its first 8 bytes."""

    @abstractmethod
    def read(self, path: Path) -> tuple[list[str], np.ndarray]:
        """Genes, and their vectors (n, d). Raises DataError for a file that cannot be read; runs nothing in it."""


def list_readers() -> list[Reader]:
    """In the order in which they are asked."""
    own = sorted(name for name in READERS if name not in READERS.added)
    return [READERS[name]() for name in (*READERS.added, *own)]
