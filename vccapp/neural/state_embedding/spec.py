"""What can be chosen of STATE's state embedding (SE), and what its training takes, told without torch."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import Field

from vccapp.data.resources import PROGRAM_BYTES
from vccapp.errors import SpecError
from vccapp.neural.fitting.estimate import TORCH_BYTES, Estimate, training_speed
from vccapp.parameters import Parameters
from vccapp.registry import make_spec
from vccapp.stats.cells.matrix import matrix_bytes
from vccapp.stats.index import Index
from vccapp.wording import bytes_text

NAME = "X_state"
BIN_WIDTH, N_BINS, DATASET_WIDTH = 512, 10, 10
"""Of the network's soft bins, and of its vector of the dataset."""


SPEED = 0.5
"""Of that of other trainings; measured, 0.43 (xs) to 0.9 (base): small products, and much between them."""


@dataclass(frozen=True)
class Size:
    """width, inner, layers, heads and vector of the network; tokens a cell; genes of each of the three tasks."""

    width: int
    inner: int
    n_layers: int
    n_heads: int
    n_out: int
    n_tokens: int
    n_task: int


SIZES = {
    "xs": Size(64, 128, 2, 4, 64, 256, 64),
    "sm": Size(128, 256, 4, 8, 128, 512, 128),
    "base": Size(512, 1024, 8, 16, 512, 2048, 512),
    "paper": Size(672, 1344, 8, 16, 672, 2048, 512),
}
"""xs and sm are ours, for CPUs; base is the package's default."""


class StateEmbeddingSpec(Parameters):
    """Choices of an SE. A field's description is its help text."""

    preset: Literal["xs", "sm", "base", "paper"] = Field(
        "xs", title="Size", description="Size: xs and sm are for CPUs."
    )
    genes: int = Field(
        2000,
        ge=0,
        title="Genes modelled",
        description="Number of highly variable genes to use, of those with vectors; 0 = all.",
    )
    embedding: str = Field(
        "default", title="Gene embedding", description="Gene vectors: default, a path, or several joined by +."
    )
    steps: int = Field(1000, ge=1, title="Steps", description="Number of training steps.")
    batch_size: int = Field(64, ge=2, title="Batch size", description="Cells per step.")
    learning_rate: float = Field(1e-3, gt=0, title="Learning rate", description="Peak rate of AdamW.")


def estimate_state_embedding(index: Index, spec: StateEmbeddingSpec, *, memory_bytes: int) -> Estimate:
    """Time of training and of embedding all cells, memory at the peak, where a third of `memory_bytes` is for cells."""
    size, n_cells = SIZES[spec.preset], int(index.meta["n_cells"])
    n_genes = min(spec.genes or len(index.genes), len(index.genes))
    tokens, joined = min(size.n_tokens, n_genes) + 2, size.width + size.n_out + DATASET_WIDTH + 1
    layer = 4 * size.width**2 + 2 * size.width * size.inner + 2 * tokens * size.width
    cell = tokens * (size.n_layers * layer + BIN_WIDTH * N_BINS)
    asked = 3 * size.n_task
    products = 3 * spec.steps * spec.batch_size * (cell + asked * 8 * joined**2) + n_cells * cell
    kept = tokens * size.n_layers * (16 * size.width + 3 * size.inner)
    kept += tokens * 2 * BIN_WIDTH + asked * 12 * joined
    stored = min(matrix_bytes(index, n_genes), memory_bytes // 3)
    return Estimate(
        seconds=2 * products / (SPEED * training_speed("float32")),
        memory_bytes=PROGRAM_BYTES + TORCH_BYTES + stored + 4 * spec.batch_size * kept,
        text=f"{spec.steps:,} steps of {spec.batch_size:,} cells, then {n_cells:,} cells embedded",
    )


def check_state_embedding(index: Index, params: Mapping[str, Any], *, memory_bytes: int) -> Estimate:
    """What it takes. Raises SpecError for a wrong parameter, or where it needs more memory than is allowed."""
    spec = make_spec(StateEmbeddingSpec, params, name="the state embedding")
    estimate = estimate_state_embedding(index, spec, memory_bytes=memory_bytes)
    if estimate.memory_bytes > memory_bytes:
        raise SpecError(
            "memory",
            f"The state embedding needs about {bytes_text(estimate.memory_bytes)} of memory, "
            f"{bytes_text(memory_bytes)} are allowed",
            fix="use fewer cells per step or a smaller preset, or raise VCCAPP_MEMORY_GB",
        )
    return estimate
