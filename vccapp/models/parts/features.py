"""Gene vectors as a model uses and keeps them: centred, of unit length, at most WIDTH wide, and saved with the model.

A fitted model needs the embedding's file no more: it can be moved, and predicts the same.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field

from vccapp.data.embeddings import Embedding, open_embedding
from vccapp.data.paths import is_there, user_path
from vccapp.errors import SpecError
from vccapp.models.base import ModelSpec, targets
from vccapp.models.saving import ModelState
from vccapp.parameters import Offer
from vccapp.stats.index import Index
from vccapp.stats.knowledge import Knowledge
from vccapp.wording import name_some

EMBEDDING_PATHS = {"embedding": "+"}
MISSING_LABELS = {"mean": "Use the mean effect", "error": "Stop"}
HONEST = ("default", "text", "network", "expression", "self", "one-hot")
"""Embeddings made of texts, gene sets and interactions, of the controls, of the training part, or of names."""
WIDTH = 256
"""Wider embeddings are reduced to so many principal components; the rows kept take 10 MB at 20,000 genes."""


def embedding_sources(source: str) -> list[Knowledge]:
    """What each file among the parts of an embedding has seen, which nobody says."""
    names = [source] if is_there(source, folder=Path()) else [name.strip() for name in source.split("+")]
    return [Knowledge(source=f"The gene embedding {name}") for name in names if name not in HONEST]


class EmbeddingSpec(ModelSpec):
    """The choices of every model that reads a gene embedding."""

    offers: ClassVar[Mapping[str, Offer]] = {"embedding": "embedding"}
    value_labels: ClassVar[Mapping[str, Mapping[Any, str]]] = {"missing": MISSING_LABELS}

    embedding: str = Field(
        "default",
        title="Gene embedding",
        description="default (ships with the app: text and network), text, network, expression (from the controls), "
        "the path of a file (GenePT pickle, .pt, npz, parquet, csv, .gmt), or several joined by +.",
    )
    missing: Literal["mean", "error"] = Field(
        "mean",
        title="Genes without a vector",
        description="Perturbations without a vector: mean predicts the mean effect, error stops.",
    )


class Features:
    """Vectors of genes, and of perturbations as sums of them."""

    def __init__(self, genes: Sequence[str], matrix: np.ndarray, *, name: str) -> None:
        self._embedding = Embedding(tuple(genes), matrix, name, "")
        self._stored = matrix.dtype

    @classmethod
    def open(cls, source: str, index: Index) -> "Features":
        """Of an embedding; the last ones are kept, as fits ask again. What `open_embedding` raises passes."""
        files = (user_path(text) for text in (source, *source.split("+")) if is_there(text, folder=Path()))
        return _open(source, index, tuple((str(file), file.stat().st_mtime_ns) for file in files))

    def count_known(self, perturbations: Sequence[str]) -> list[int]:
        """Targets of each that have a vector."""
        return [sum(self._embedding.find(gene) is not None for gene in targets(label)) for label in perturbations]

    def rows(self, perturbations: Sequence[str], *, missing: Literal["mean", "error"]) -> np.ndarray:
        """(n, d) float32 sums over the targets. Raises SpecError for one without any vector if `missing` is "error".

        A vector that is missing counts as zero, which is the mean of the centred vectors.
        """
        if missing == "error":
            pairs = zip(perturbations, self.count_known(perturbations), strict=True)
            lacking = [label for label, known in pairs if targets(label) and not known]
            if lacking:
                raise SpecError(
                    "no_vector",
                    f"The embedding {self._embedding.name} has no vector for {name_some(lacking)}",
                    fix="choose another embedding, or missing = mean",
                )
        return self._embedding.rows(perturbations, "zero")

    def state(self) -> ModelState:
        meta = {"embedding": self._embedding.name, "feature_genes": self._embedding.genes}
        return ModelState({"features": self._embedding.matrix.astype(self._stored)}, meta)

    @classmethod
    def restore(cls, state: ModelState) -> Self:
        return cls(state.meta["feature_genes"], state.arrays["features"], name=state.meta["embedding"])


@lru_cache(maxsize=4)
def _open(source: str, index: Index, changed: tuple[tuple[str, int], ...]) -> Features:
    """changed : the files of the source, and when; of another time they are other vectors"""
    embedding = open_embedding(source, index).reduced(WIDTH)
    centred = embedding.matrix - embedding.mean
    length = np.linalg.norm(centred, axis=1, keepdims=True)
    unit = np.divide(centred, length, out=np.zeros_like(centred), where=length > 1e-12)
    return Features(embedding.genes, unit.astype(np.float16), name=embedding.name)
