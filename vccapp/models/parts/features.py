"""Gene vectors as a model uses and keeps them: centred, of unit length, at most WIDTH wide, and saved with the model.

A fitted model needs the embedding's file no more: it can be moved, and predicts the same.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field

from vccapp.data.embeddings import Embedding, join, open_parts
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
        "the path of a file (GenePT pickle, .pt, npz, parquet, csv, an edge list, .gmt), or several joined by +.",
    )
    missing: Literal["mean", "error"] = Field(
        "mean",
        title="Genes without a vector",
        description="Perturbations without a vector: mean predicts the mean effect, error stops.",
    )


class Features:
    """Vectors of genes, and of perturbations as sums of them."""

    def __init__(
        self,
        genes: Sequence[str],
        matrix: np.ndarray,
        *,
        name: str,
        blocks: Mapping[str, int] | None = None,
        absent: Mapping[str, frozenset[str]] | None = None,
        note: str = "",
    ) -> None:
        """blocks : columns of each embedding that was joined, by its name; absent, note : as `Embedding` has them"""
        self._embedding = Embedding(tuple(genes), matrix, name, "", absent or {}, note)
        self._stored = matrix.dtype
        self.blocks = blocks or {name: matrix.shape[1]}
        self.note = note

    @classmethod
    def open(cls, source: str, index: Index, *, apart: bool = False) -> "Features":
        """Of an embedding; the last ones are kept, as fits ask again. What `open_embedding` raises passes.

        apart : whether vectors of embeddings that are joined have unit length each, or all of them together
        """
        files = (user_path(text) for text in (source, *source.split("+")) if is_there(text, folder=Path()))
        return _open(source, index, tuple((str(file), file.stat().st_mtime_ns) for file in files), apart)

    def count_known(self, perturbations: Sequence[str]) -> list[int]:
        """Targets of each that have a vector."""
        return [sum(self._embedding.find(gene) is not None for gene in targets(label)) for label in perturbations]

    def find_partial(self, genes: Sequence[str]) -> list[str]:
        """Those that some of the joined embeddings lack, and others have."""
        partly = self._embedding.coverage(genes)["partly"]
        return [gene for gene, lacking in zip(genes, partly, strict=True) if lacking]

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
def _open(source: str, index: Index, changed: tuple[tuple[str, int], ...], apart: bool) -> Features:  # noqa: FBT001
    """changed : the files of the source, and when; of another time they are other vectors"""
    parts = open_parts(source, index)
    if apart and len(parts) > 1:
        parts = [part.reduced(WIDTH) for part in parts]
        joined = join(parts)
        blocks = np.split(joined.matrix, np.cumsum([part.width for part in parts])[:-1], axis=1)
        matrix = np.hstack([_scale_rows(block) for block in blocks])  # centred by `join`
        names = [
            f"{part.name} ({i})" if part.name in {p.name for p in parts[:i]} else part.name
            for i, part in enumerate(parts)
        ]
        widths = dict(zip(names, (part.width for part in parts), strict=True))
    else:
        joined, widths = join(parts).reduced(WIDTH), None
        matrix = _scale_rows(joined.matrix - joined.mean)
    return Features(
        joined.genes, matrix.astype(np.float16), name=joined.name, blocks=widths, absent=joined.absent, note=joined.note
    )


def _scale_rows(vectors: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.divide(vectors, length, out=np.zeros_like(vectors), where=length > 1e-12)
