"""What a challenge asks of a submission, as data: the writer and the checks read the same record.

A season is one file in this package that registers one `Challenge`.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from vccapp.registry import Registry

CHALLENGES = Registry["Challenge"]("challenge", package="vccapp.challenges")


class Challenge(BaseModel):
    """The rules of one season."""

    model_config = ConfigDict(frozen=True)

    name: str
    label: str
    n_genes: int = Field(description="Number of genes, in the order of the official gene list.")
    max_cells: int = Field(description="Maximum number of cells, controls included.")
    pert_col: str = Field(description="Column of obs that names the perturbation of each cell.")
    control_label: str = Field(description="Label of control cells in that column.")
    controls: Literal["required", "forbidden"]
    value_space: Literal["log1p", "counts"]
    max_value: float = Field(description="Upper limit of values (exclusive).")
    members: tuple[str, str] = Field(description="Members of the .vcc archive: the compressed h5ad, the watermark.")
    watermark: bytes = Field(description="Content of the second member.")
    depth: float | None = Field(None, description="What real cells sum to, typically (UMIs).")
    source: str = Field(description="Source of these rules.")
