"""The gene embeddings that ship: two views of human genes x 128, and `default`, which is both side by side.

tools/build_embedding.py and tools/build_network.py make them; assets/README.md has their origin and licences.
"""

from dataclasses import replace
from functools import lru_cache
from typing import Final

from vccapp.data.embeddings.base import Embedding, join
from vccapp.data.embeddings.readers.table import Table
from vccapp.data.places import ASSETS
from vccapp.errors import DataError

DEFAULT: Final = "default"
VIEWS = {
    "text": (
        "gene_embedding.npz",
        "Gene names of NCBI Gene read by the sentence model all-MiniLM-L6-v2, and pathways of MSigDB 7.5.1.",
    ),
    "network": (
        "gene_network.npz",
        "Protein interactions of BioGRID and IntAct as ANAT 3.0 joins them, from the package scnet, by NetMF.",
    ),
}
"""File in assets/ and provenance of each view, by name."""


@lru_cache(maxsize=4)
def load_shipped(name: str = DEFAULT) -> Embedding:
    """A view, or all of them joined. Raises DataError when its asset is missing from this copy of the project."""
    if name == DEFAULT:
        return replace(join([load_shipped(view) for view in VIEWS]), name=DEFAULT)
    file, provenance = VIEWS[name]
    if not (ASSETS / file).is_file():
        raise DataError(
            "asset_missing",
            f"{ASSETS / file} is missing from this installation",
            fix="install vccapp again",
        )
    genes, matrix = Table().read(ASSETS / file)
    return Embedding(tuple(genes), matrix, name, f"Ships with the app: {provenance}")
