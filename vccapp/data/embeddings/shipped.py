"""The default embedding: human genes x 128, made by tools/build_embedding.py; see assets/README.md."""

from functools import lru_cache

from vccapp.data.embeddings.base import Embedding
from vccapp.data.embeddings.readers.table import Table
from vccapp.data.places import ASSETS
from vccapp.errors import DataError

SHIPPED = ASSETS / "gene_embedding.npz"
PROVENANCE = (
    "Ships with the app: gene names of NCBI Gene read by the sentence model all-MiniLM-L6-v2, and pathways of MSigDB "
    "7.5.1, in 128 components (assets/README.md)."
)


@lru_cache(maxsize=1)
def load_shipped() -> Embedding:
    """Raises DataError when the asset is missing from this copy of the project."""
    if not SHIPPED.is_file():
        raise DataError(
            "asset_missing",
            f"{SHIPPED} is missing from this installation",
            fix="install vccapp again",
        )
    genes, matrix = Table().read(SHIPPED)
    return Embedding(tuple(genes), matrix, "default", PROVENANCE)
