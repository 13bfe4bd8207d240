"""A network: one linear layer from gene vectors to effects, trained by the loop that all networks share."""

from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from vccapp.data.splits.split import Split
from vccapp.models.base import MODELS, Fitting, Model
from vccapp.models.parts.features import EmbeddingSpec, Features
from vccapp.models.saving import ModelState
from vccapp.stats.index import Index

if TYPE_CHECKING:
    from torch import Tensor, nn


class LinearSpec(EmbeddingSpec):
    steps: int = Field(300, ge=1, description="Training steps, of Adam.")


@MODELS.register("linear")
class Linear(Model):
    name = "linear"
    label = "Linear network"
    description = "Maps gene vectors to effects by one layer, trained by gradient descent."
    Spec = LinearSpec
    spec: LinearSpec
    features: Features
    weight: np.ndarray  # (genes, d)

    def learn(self, index: Index, split: Split, fitting: Fitting) -> None:
        import torch

        from vccapp.neural.fitting.device import choose_device
        from vccapp.neural.fitting.loop import LoopSpec, run_loop

        device, labels = choose_device(fitting.device), list(split.train)
        self.features = Features.open(self.spec.embedding, index)
        vectors = torch.from_numpy(self.features.rows(labels, missing="mean")).to(device)
        effects = torch.from_numpy(index.deltas(labels)).to(device)
        torch.manual_seed(fitting.seed)
        network = torch.nn.Linear(vectors.shape[1], effects.shape[1], bias=False).to(device)

        def step_loss(network: "nn.Module", batch: "Tensor") -> dict[str, "Tensor"]:
            return {"loss": (network(batch) - effects).square().mean()}

        spec = LoopSpec(steps=self.spec.steps, learning_rate=0.01)
        run_loop(network, next_batch=lambda _: vectors, step_loss=step_loss, spec=spec, fitting=fitting)
        self.weight = network.weight.detach().cpu().numpy()

    def predict_deltas(self, perturbations: list[str]) -> np.ndarray:
        return self.features.rows(perturbations, missing=self.spec.missing) @ self.weight.T

    def state(self) -> ModelState:
        return self.features.state() | ModelState({"weight": self.weight})

    def restore(self, state: ModelState) -> None:
        self.features = Features.restore(state)
        self.weight = state.arrays["weight"]
