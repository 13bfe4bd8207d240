"""How large the official networks are, and what a training by the official program takes. Told without torch."""

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from typing import Any, Self

from vccapp.neural.fitting.estimate import training_speed

PROGRAM_BYTES = 1_800_000_000
"""Resident with its libraries after a step of one set; measured."""
BYTES_A_WEIGHT = 20
"""Weight, gradient, two moments of Adam, and the copy that a checkpoint is written from."""
CHECKPOINT_BYTES = 12
"""Of a weight in a checkpoint, with the moments of Adam; those that are never trained have none."""
TOKENS = 32_000
"""Rows of a table that the networks carry and nothing reads."""
DECODER = (1024, 1024, 512)
SECONDS_A_CELL = {True: 0.0005, False: 0.004}
"""To load a cell: of the chosen genes, and of all genes; measured."""
ROWS_A_CELL = 2
"""Read for one cell of a step: its own, and a control."""


@dataclass(frozen=True)
class Size:
    """A configuration of the package as far as its weights go. The names are those of its keys."""

    cell_set_len: int
    hidden_dim: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    head_dim: int
    n_encoder_layers: int
    n_decoder_layers: int
    gene_decoder_bool: bool

    def changed(self, overrides: Iterable[str]) -> Self:
        """With what some overrides say of it."""
        known = {field.name for field in fields(self)} - {"gene_decoder_bool", "cell_set_len"}
        found: dict[str, Any] = {}
        for word in overrides:
            key, _, value = word.partition("=")
            name = key.rpartition(".")[2]
            if name in known and value.isdecimal():
                found[name] = int(value)
        return replace(self, **found)

    def count_weights(self, n_genes: int, n_features: int, *, bottleneck: bool) -> tuple[int, int]:
        """Those that are learnt, and all. bottleneck : whether it gives all genes, through an eighth of their number"""
        d = self.hidden_dim
        attention = 4 * d * self.num_attention_heads * self.head_dim
        learnt = n_features * d + (self.n_encoder_layers - 1) * d * d
        learnt += n_genes * d
        learnt += self.num_hidden_layers * (attention + 3 * d * self.intermediate_size)
        learnt += (self.n_decoder_layers - 1) * d * d + d * n_genes
        learnt += 2 * n_genes * (n_genes // 8) if bottleneck else 0
        if self.gene_decoder_bool:
            widths = (n_genes, *DECODER, n_genes)
            learnt += sum(a * b for a, b in zip(widths, widths[1:], strict=False))
        return learnt, learnt + TOKENS * d


SIZES = {
    "state_sm": Size(128, 672, 2688, 4, 8, 84, 4, 4, False),
    "state": Size(512, 768, 3072, 8, 12, 64, 1, 1, True),
    "state_lg": Size(512, 1488, 5952, 6, 12, 124, 4, 4, True),
}
"""Configurations of arc-state 0.11.1 that are offered."""


@dataclass(frozen=True)
class Cost:
    """Of a training: seconds on this machine's CPU, memory at its peak, disk of its checkpoints, weights."""

    seconds: float
    memory_bytes: int
    checkpoint_bytes: int
    weights: int


def estimate_cost(
    size: Size, *, n_genes: int, n_features: int, chosen: bool, steps: int, batch_size: int, workers: int
) -> Cost:
    """chosen : whether the genes are chosen ones, else all"""
    learnt, weights = size.count_weights(n_genes, n_features, bottleneck=not chosen)
    cells = batch_size * size.cell_set_len
    kept = 4 * cells * (8 * n_genes + size.num_hidden_layers * (8 * size.hidden_dim + 3 * size.intermediate_size))
    loading = cells * ROWS_A_CELL * SECONDS_A_CELL[chosen] / max(workers, 1)
    return Cost(
        seconds=30 + steps * (6 * learnt * cells / training_speed("float32") + loading),
        memory_bytes=PROGRAM_BYTES * (1 + workers // 2) + BYTES_A_WEIGHT * weights + kept,
        checkpoint_bytes=CHECKPOINT_BYTES * learnt + 4 * (weights - learnt),
        weights=weights,
    )
