"""The network of STATE's state transition (ST): a set of control cells and one perturbation in, a set of cells out.

    network = StateNet(StateShape(n_inputs=2000, n_outputs=2000, n_features=128, **PRESETS["xs"]))
    cells = network(controls, features)          # (sets, cells, 2000) and (sets, 128) -> (sets, cells, 2000)

Source: Adduri et al., "Predicting cellular responses to perturbation across diverse contexts with STATE" (2025); the
details as the package arc-state 0.11 computes them, equal to it on the same weights (tests/neural/state/test_net.py).

    z = basal(x) + perturbation(u) [+ batch[b]]         the perturbation is encoded once a set
    h = transformer(z)                                  attention over the cells of the set, no positions
    hidden residual   y = head(h + basal(x))                    gene and embedding space
                      y = bottleneck(head(h) + x)               space `all`
    output residual   y = x + shift + head(h + basal(x))        ours: its last layer starts at zero, so y at x + shift
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from vccapp.neural.fitting.speed import attend
from vccapp.neural.layers import linear
from vccapp.neural.state.shape import StateShape

DECODER_WIDTHS = (1024, 1024, 512)
INIT_STD = 0.02
"""Of the attention and feed-forward weights, as LLaMA's; encoders and head start as torch's Linear does."""
NORM_EPS = 1e-6


class StateNet(nn.Module):
    """The set transformer; see the module's text. Without positions, permuting the cells permutes the output."""

    def __init__(self, shape: StateShape) -> None:
        super().__init__()
        self.shape = shape
        self.basal = perceptron(shape.n_inputs, shape.width, shape.width, shape.basal_depth, dropout=shape.dropout)
        self.perturbation = perceptron(
            shape.n_features, shape.width, shape.width, shape.encoder_depth, dropout=shape.dropout
        )
        self.batch = nn.Embedding(shape.n_batches, shape.width) if shape.n_batches else None
        self.blocks = nn.ModuleList(Block(shape) for _ in range(shape.n_layers))
        self.norm = nn.RMSNorm(shape.width, eps=NORM_EPS)
        self.head = perceptron(shape.width, shape.width, shape.n_outputs, shape.depth, dropout=shape.dropout)
        self.bottleneck = None
        if shape.space == "all" and shape.residual == "hidden":
            inner = shape.n_outputs // 8
            self.bottleneck = nn.Sequential(
                nn.Linear(shape.n_outputs, inner), nn.GELU(), nn.Linear(inner, shape.n_outputs)
            )
        self.decoder = GeneDecoder(shape.n_outputs, shape.n_decoded, dropout=shape.dropout) if shape.n_decoded else None
        if shape.residual == "output":
            last = linear(self.head, -1)
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)

    def forward(
        self,
        controls: Tensor,
        features: Tensor,
        batches: Tensor | None = None,
        *,
        shift: Tensor | None = None,
        values: Tensor | None = None,
    ) -> Tensor:
        """Predicted cells (sets, cells, n_outputs).

        controls : (sets, cells, n_inputs)
        features : (sets, n_features), one row a set
        batches : (sets,) or (sets, cells) int64, where there is a batch encoder
        shift : (sets, n_outputs), what an output residual adds to the controls besides
        values : (sets, cells, n_outputs), the controls in output space, where the inputs are not in it
        """
        basal = self.basal(controls).float()  # under autocast too, the sums over layers are float32
        hidden = basal + self.perturbation(features).unsqueeze(1)
        if self.batch is not None:
            added = self.batch(batches)
            hidden = hidden + (added if added.dim() == 3 else added.unsqueeze(1))
        rotation = rotary(controls.shape[1], self.shape.head_width, hidden) if self.shape.causal else None
        for block in self.blocks:
            hidden = block(hidden, rotation)
        hidden = self.norm(hidden)
        cells = self.head(hidden if self.bottleneck is not None else hidden + basal)
        if self.shape.residual == "output":
            cells = (controls if values is None else values) + cells
            cells = cells if shift is None else cells + shift.unsqueeze(1)
        elif self.bottleneck is not None:
            cells = self.bottleneck(cells + controls)
        return cells.relu() if self.shape.nonnegative else cells

    @torch.no_grad()
    def scale_output(self, share: float) -> None:
        """Make what the network adds (output residual) `share` of what it was."""
        for value in self.head[-1].parameters():
            value.mul_(share)


class Block(nn.Module):
    """Pre-norm attention over the cells of a set, then SwiGLU; no biases, and no mask, so the fused kernels apply."""

    def __init__(self, shape: StateShape) -> None:
        super().__init__()
        self.n_heads, self.head_width, self.causal = shape.n_heads, shape.head_width, shape.causal
        across = shape.n_heads * shape.head_width
        self.norm_attention = nn.RMSNorm(shape.width, eps=NORM_EPS)
        self.query_key_value = nn.Linear(shape.width, 3 * across, bias=False)
        self.attended = nn.Linear(across, shape.width, bias=False)
        self.norm_inner = nn.RMSNorm(shape.width, eps=NORM_EPS)
        self.gate_up = nn.Linear(shape.width, 2 * shape.inner, bias=False)
        self.down = nn.Linear(shape.inner, shape.width, bias=False)
        for layer in (self.query_key_value, self.attended, self.gate_up, self.down):
            nn.init.normal_(layer.weight, std=INIT_STD)

    def forward(self, hidden: Tensor, rotation: tuple[Tensor, Tensor] | None) -> Tensor:
        sets, cells, _ = hidden.shape
        projected = self.query_key_value(self.norm_attention(hidden))
        query, key, value = projected.view(sets, cells, 3, self.n_heads, self.head_width).permute(2, 0, 3, 1, 4)
        if rotation is not None:
            query, key = rotate(query, *rotation), rotate(key, *rotation)
        heads = attend(query, key, value, causal=self.causal)
        hidden = hidden + self.attended(heads.transpose(1, 2).reshape(sets, cells, -1))
        gate, up = self.gate_up(self.norm_inner(hidden)).chunk(2, dim=-1)
        return hidden + self.down(functional.silu(gate) * up)


class GeneDecoder(nn.Sequential):
    """Genes from a predicted embedding: Linear, LayerNorm, GELU, dropout for each of DECODER_WIDTHS, Linear, ReLU."""

    def __init__(self, n_inputs: int, n_genes: int, *, dropout: float) -> None:
        layers: list[nn.Module] = []
        for width in DECODER_WIDTHS:
            layers += [nn.Linear(n_inputs, width), nn.LayerNorm(width), nn.GELU(), nn.Dropout(dropout)]
            n_inputs = width
        super().__init__(*layers, nn.Linear(n_inputs, n_genes), nn.ReLU())


def perceptron(n_inputs: int, width: int, n_outputs: int, depth: int, *, dropout: float) -> nn.Sequential:
    """`depth` linear layers, GELU and dropout after all but the last."""
    layers: list[nn.Module] = []
    for _ in range(depth - 1):
        layers += [nn.Linear(n_inputs, width), nn.GELU(), nn.Dropout(dropout)]
        n_inputs = width
    return nn.Sequential(*layers, nn.Linear(n_inputs, n_outputs))


def rotary(n: int, width: int, like: Tensor, *, base: float = 10_000.0) -> tuple[Tensor, Tensor]:
    """Cosines and sines (n, width) of rotary position embedding (Su et al. 2021), halves paired as in LLaMA."""
    frequency = base ** -(torch.arange(0, width, 2, device=like.device, dtype=torch.float32) / width)
    angle = torch.outer(torch.arange(n, device=like.device, dtype=torch.float32), frequency).repeat(1, 2)
    return angle.cos().to(like.dtype), angle.sin().to(like.dtype)


def rotate(heads: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Each pair (i, i + width / 2) of a head turned by its angle; heads (..., n, width)."""
    first, second = heads.chunk(2, dim=-1)
    return heads * cosine + torch.cat((-second, first), dim=-1) * sine
