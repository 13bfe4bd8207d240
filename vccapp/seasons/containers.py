"""How a submission is packed: the archive around its h5ad. Writer, reader and checks look at the same record."""

from collections.abc import Mapping
from types import MappingProxyType

from pydantic import BaseModel, ConfigDict, Field


class Container(BaseModel):
    """An uncompressed tar of plain members in this order; without members, the h5ad itself.

    frame : the member with the compressed h5ad; watermark : the content of the other member, where it is always the
    same; where it is None, the other member is a JSON that describes the content (`describe_content`)
    """

    model_config = ConfigDict(frozen=True)

    name: str
    suffix: str = ".vcc"
    members: tuple[str, ...] = ()
    frame: str = "pred.h5ad.zst"
    watermark: bytes | None = None
    normalises: bool = Field(False, description="Counts are packed as log1p at the median depth of the file.")
    source: str = Field(description="Where the layout stands.")


CONTAINERS: Mapping[str, Container] = MappingProxyType(
    {
        container.name: container
        for container in (
            Container(
                name="vcc2025",
                members=("pred.h5ad.zst", "watermark.txt"),
                watermark=b"vcc-prep",
                normalises=True,
                source="cell-eval 0.8.2 (cell-eval prep)",
            ),
            Container(
                name="vcc2026",
                members=("meta.json", "pred.h5ad.zst"),
                source="vcc-cli 0.3.0 (vcc prep)",
            ),
            Container(name="h5ad", suffix=".h5ad", source="the file itself, for contests without an archive"),
        )
    }
)
