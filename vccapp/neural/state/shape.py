"""The sizes of an ST network: what decides its weights, and the sizes that have a name. Imports without torch."""

from dataclasses import dataclass
from typing import Any, Literal

from vccapp.records import Format

CONVERTED = Format("converted checkpoint", fix="convert it again (vccapp model convert RUN OUT)")
"""Of what `vccapp.neural.state.convert` writes."""
PRESETS: dict[str, dict[str, Any]] = {
    "xs": {"width": 256, "inner": 1024, "n_layers": 2, "n_heads": 4, "head_width": 64, "depth": 2, "encoder_depth": 2},
    "sm": {"width": 672, "inner": 2688, "n_layers": 4, "n_heads": 8, "head_width": 84, "depth": 4, "encoder_depth": 4},
    "base": {
        "width": 768,
        "inner": 3072,
        "n_layers": 8,
        "n_heads": 12,
        "head_width": 64,
        "depth": 1,
        "encoder_depth": 1,
    },
}
"""xs is ours, for CPUs; sm is the original's `state_sm`, base its default `state`."""
CELLS_AT_ONCE = 512
"""Cells of a share of a step on CPUs, about: of 2,048 cells a step then keeps a quarter of what its gradients need, and
is 4 % slower."""
VALUES_AT_ONCE = 2**23
"""Values of them at most: 32 MB. glibc gives larger blocks back at once, and new pages cost a quarter of the speed."""


def sets_at_once(set_size: int, n_genes: int) -> int:
    """Sets of a share of a step on CPUs."""
    return max(1, min(CELLS_AT_ONCE, VALUES_AT_ONCE // n_genes) // set_size)


@dataclass(frozen=True)
class StateShape:
    """Everything that decides which weights there are and how they are used."""

    n_inputs: int  # values of a control cell
    n_outputs: int  # values of a predicted cell
    n_features: int  # of a perturbation
    width: int
    inner: int  # of the feed-forward layers
    n_layers: int
    n_heads: int
    head_width: int
    depth: int  # layers of the head
    encoder_depth: int  # of the perturbation encoder
    basal_depth: int = 1  # of the cell encoder
    n_batches: int = 0  # 0: no batch encoder
    dropout: float = 0.1  # in encoders and head
    residual: Literal["hidden", "output"] = "output"
    space: Literal["gene", "embedding", "all"] = "gene"
    nonnegative: bool = False  # ReLU on the output
    n_decoded: int = 0  # genes of the gene decoder, 0: none
    causal: bool = False  # attention to earlier cells only, with rotary positions

    def count_weights(self) -> int:
        """Of the matrices that each cell passes: without those of perturbations, batches and the gene decoder."""
        inner, across = self.inner, self.n_heads * self.head_width
        ends = self.width * (self.n_inputs + self.n_outputs)
        between = (self.depth + self.basal_depth - 2) * self.width**2
        return ends + between + self.n_layers * self.width * (4 * across + 3 * inner)

    def count_kept(self) -> int:
        """Numbers a cell that a training step holds at most: layers, outputs, batches of this step and the next.

        Measured, see benchmarks/estimates.py.
        """
        layers = self.n_layers * (10 * self.width + 4 * self.inner)
        return layers + 3 * (self.depth + self.basal_depth) * self.width + 26 * self.n_outputs
