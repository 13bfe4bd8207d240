"""A reader of gene vectors in word2vec's text format: a line "genes width", then a gene and its numbers on each."""

from pathlib import Path

import numpy as np

from vccapp.data.embeddings.readers.base import READERS, Reader
from vccapp.errors import DataError


@READERS.register("word2vec")
class Word2Vec(Reader):
    label = "word2vec text (.vec)"

    def recognises(self, path: Path, head: bytes) -> bool:
        return path.suffix == ".vec"

    def read(self, path: Path) -> tuple[list[str], np.ndarray]:
        rows = [line.split() for line in path.read_text().splitlines()[1:]]
        try:
            vectors = np.array([[float(value) for value in row[1:]] for row in rows], np.float32)
        except ValueError as error:
            raise DataError("vec_unreadable", f"{path.name}: {error}", fix="write it again") from None
        return [row[0] for row in rows], vectors
