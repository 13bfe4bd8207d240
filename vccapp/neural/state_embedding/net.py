"""The network of STATE's state embedding (SE): the genes of a cell as tokens in, a vector of the cell out.

Source: Adduri et al. 2025, as the package arc-state 0.11 computes it.

    token    gene vector -> Linear, LayerNorm, SiLU, times sqrt(width); plus the soft bin of its share of the cell
    cell     [CLS], the genes of highest expression, [DS] -> transformer (post-norm, no positions) -> vectors of CLS, DS
    decoder  (gene, cell, depth, dataset vector) -> the gene's log1p count

The package adds the bin of another gene to CLS, a slip; here CLS and DS have none. Nor have attention weights dropout:
it is two thirds of a step's time on a CPU, and keeps tokens x tokens numbers of each head.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from vccapp.neural.state_embedding.spec import BIN_WIDTH, DATASET_WIDTH, N_BINS


@dataclass(frozen=True)
class EmbeddingShape:
    n_features: int  # of a gene vector
    width: int
    inner: int
    n_layers: int
    n_heads: int
    n_out: int  # of the cell's vector
    n_datasets: int = 0  # told apart by the DS token, 0: not
    dropout: float = 0.1


class StateEmbeddingNet(nn.Module):
    """Embeds cells; see the module's text."""

    def __init__(self, shape: EmbeddingShape) -> None:
        super().__init__()
        self.shape, width = shape, shape.width
        self.special = nn.Parameter(torch.randn(2, shape.n_features) / shape.n_features**0.5)  # CLS, DS
        self.gene = nn.Sequential(nn.Linear(shape.n_features, width), nn.LayerNorm(width), nn.SiLU())
        self.bin = nn.Sequential(nn.Linear(1, BIN_WIDTH), nn.LeakyReLU(), nn.Linear(BIN_WIDTH, N_BINS), nn.Softmax(-1))
        self.bins = nn.Parameter(torch.randn(N_BINS, width))
        layers = [
            nn.TransformerEncoderLayer(
                width, shape.n_heads, shape.inner, shape.dropout, activation="gelu", batch_first=True
            )
            for _ in range(shape.n_layers)
        ]
        for layer in layers:
            layer.self_attn.dropout = 0.0
        self.layers = nn.ModuleList(layers)
        self.cell = nn.Sequential(SkipBlock(width), nn.Linear(width, shape.n_out))
        self.dataset = nn.Linear(width, DATASET_WIDTH)
        joined = width + shape.n_out + 1 + DATASET_WIDTH
        self.decoder = nn.Sequential(SkipBlock(joined), SkipBlock(joined), nn.Linear(joined, 1))
        self.classes = None
        if shape.n_datasets:
            self.classes = nn.Sequential(
                nn.Linear(DATASET_WIDTH, width), nn.SiLU(), nn.LayerNorm(width), nn.Linear(width, shape.n_datasets)
            )

    def forward(self, vectors: Tensor, genes: Tensor, share: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Vectors of the cells (cells, n_out) of length 1, of their datasets (cells, 10), and of all genes.

        vectors : (n_genes, n_features) of length 1; genes : (cells, tokens) int64; share : (cells, tokens), percent
        """
        table = self.gene(torch.cat([vectors, self.special]))  # once a step, not once a token
        scaled = table * self.shape.width**0.5
        # Of `scaled[genes]` threads add up the gradient in any order, and no training would be like another.
        tokens = functional.embedding(genes, scaled) + self.bin(share.unsqueeze(-1)) @ self.bins
        special = scaled[-2:].expand(len(genes), -1, -1)
        tokens = torch.cat([special[:, :1], tokens, special[:, 1:]], dim=1)
        for layer in self.layers:
            tokens = layer(tokens)
        return functional.normalize(self.cell(tokens[:, 0]), dim=-1), self.dataset(tokens[:, -1]), table[:-2]

    def decode(self, table: Tensor, genes: Tensor, cell: Tensor, depth: Tensor, dataset: Tensor) -> Tensor:
        """(cells, n) log1p counts of `genes` (cells, n); depth (cells,) is the cell's mean over its expressed genes."""
        told = torch.cat([cell, depth[:, None], dataset], dim=1).unsqueeze(1).expand(-1, genes.shape[1], -1)
        return self.decoder(torch.cat([functional.embedding(genes, table), told], dim=2)).squeeze(-1)


class SkipBlock(nn.Module):
    """LayerNorm(x + W2 ReLU(W1 x)), twice as wide inside."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.inner = nn.Sequential(nn.Linear(width, 2 * width), nn.ReLU(), nn.Linear(2 * width, width))
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(x + self.inner(x))
