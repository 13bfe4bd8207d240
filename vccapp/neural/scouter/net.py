"""Scouter's network: a control cell and the gene vector of a perturbation in, a perturbed cell out.

    code = compressor(x)                              G -> 2048 -> 512 -> 64
    yhat = generator(vector, code)                    64 + d -> 2048 -> G, no activation at the end
    yhat = base + generator(vector, code)             ours, where a base is given; the last layer then starts at zero

Each hidden layer is linear, batch norm, SELU. Source: Zhu & Li (2024); layers, order and names of the weights are those
of scouter-learn 0.1.10, so that its weights can be copied. Vectors are summed over the targets by the caller.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vccapp.neural.layers import linear


@dataclass(frozen=True)
class ScouterShape:
    """What decides which weights there are."""

    n_genes: int
    n_features: int  # of a perturbation's vector
    encoder: tuple[int, ...] = (2048, 512)
    code: int = 64
    generator: tuple[int, ...] = (2048,)
    dropout: float = 0.0  # alpha dropout

    def count_weights(self) -> int:
        """Of all layers, biases and norms included."""
        down = (self.n_genes, *self.encoder, self.code)
        up = (self.n_features + self.code, *self.generator, self.n_genes)
        linear = sum((a + 1) * b for widths in (down, up) for a, b in zip(widths, widths[1:], strict=False))
        return linear + 2 * (sum(self.encoder) + sum(self.generator))


class ScouterNet(nn.Module):
    """See the module's text."""

    def __init__(self, shape: ScouterShape, *, residual: bool) -> None:
        """residual : the last layer starts at zero, for outputs that come on top of a base."""
        super().__init__()
        self.shape = shape
        self.encoder = _layers(shape.n_genes, shape.encoder, shape.code, dropout=shape.dropout)
        self.generator = _layers(shape.n_features + shape.code, shape.generator, shape.n_genes, dropout=shape.dropout)
        if residual:
            last = linear(self.generator, -1)
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)

    def forward(self, controls: Tensor, vectors: Tensor, label: Tensor) -> Tensor:
        """(n, n_genes) cells from controls (n, n_genes); vectors : (labels, n_features), label : (n,) rows of them.

        The vectors' share of the generator's first layer is computed once a label, not once a cell.
        """
        labels, at = label.unique(return_inverse=True)
        code = self.encoder(controls)
        # Of `[at]` threads add up the gradient in any order, and no training would be like another.
        conditions = self._conditions(vectors[labels]).index_select(0, at)
        return self.generator[1:](self._first(code) + conditions)

    def mean_output(self, codes: Tensor, vectors: Tensor) -> Tensor:
        """(labels, n_genes): the mean of the outputs over all `codes`, for each of the vectors (labels, n_features).

        The last layer is linear, so the mean of its outputs is its output for the mean: it is computed once a label.
        """
        first, conditions = self._first(codes), self._conditions(vectors)
        hidden, last = self.generator[1:-1], self.generator[-1]
        return last(torch.stack([hidden(first + condition).mean(0) for condition in conditions]))

    @torch.no_grad()
    def scale_output(self, share: float) -> None:
        """Make the output `share` of what it was."""
        for value in self.generator[-1].parameters():
            value.mul_(share)

    def _first(self, code: Tensor) -> Tensor:
        layer = linear(self.generator, 0)
        return nn.functional.linear(code, layer.weight[:, self.shape.n_features :], layer.bias)

    def _conditions(self, vectors: Tensor) -> Tensor:
        return vectors @ linear(self.generator, 0).weight[:, : self.shape.n_features].T


def _layers(n_in: int, hidden: Sequence[int], n_out: int, *, dropout: float) -> nn.Sequential:
    layers: list[nn.Module] = []
    for width in hidden:
        layers += [nn.Linear(n_in, width), nn.BatchNorm1d(width), nn.SELU()]
        if dropout:
            layers.append(nn.AlphaDropout(dropout))
        n_in = width
    return nn.Sequential(*layers, nn.Linear(n_in, n_out))
