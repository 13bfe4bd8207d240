"""Models that read a gene embedding: what they share."""

from collections.abc import Sequence

import numpy as np

from vccapp.data.splits.split import Split
from vccapp.errors import SpecError
from vccapp.models.parts.effects import EffectModel
from vccapp.models.parts.features import EMBEDDING_PATHS, EmbeddingSpec, Features, embedding_sources
from vccapp.models.saving import ModelState
from vccapp.stats.index import Index
from vccapp.stats.knowledge import Knowledge


class EmbeddedModel(EffectModel):
    """Deviations from the mean effect as a function of the targets' vectors."""

    Spec = EmbeddingSpec
    takes_embedding = True
    paths = EMBEDDING_PATHS

    spec: EmbeddingSpec
    features: Features

    def sources(self, index: Index, split: Split) -> list[Knowledge]:
        return embedding_sources(self.spec.embedding)

    def prepare(self, index: Index) -> None:
        self.features = Features.open(self.spec.embedding, index)

    def check_inputs(self, index: Index, split: Split, *, device: str) -> None:
        super().check_inputs(index, split, device=device)
        self.vectors([*split.train, *split.val, *split.test])

    def count_known(self, perturbations: Sequence[str]) -> list[int]:
        return self.features.count_known(perturbations)

    def vectors(self, perturbations: Sequence[str]) -> np.ndarray:
        """(n, d) float32; what the spec says of missing ones."""
        return self.features.rows(perturbations, missing=self.spec.missing)

    def lack(self, labels: Sequence[str], used: Sequence[str]) -> SpecError:
        return SpecError(
            "nothing_to_learn",
            f"The embedding {self.spec.embedding} has vectors for {len(used)} of the {len(labels)} training "
            "perturbations, which is too few to learn from",
            found=len(used),
            fix="choose an embedding that covers their genes",
        )

    def state(self) -> ModelState:
        return super().state() | self.features.state()

    def restore(self, state: ModelState) -> None:
        super().restore(state)
        self.features = Features.restore(state)
