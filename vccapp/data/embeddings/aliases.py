"""Other names of human genes: earlier and alternative symbols and Ensembl ids, each with the current HGNC symbol.

The table is `assets/gene_aliases.tsv.gz` (alias, symbol); assets/README.md says what it was made from. A name that
means several genes is not in it.
"""

import gzip
from functools import lru_cache

from vccapp.data.places import ASSETS

ALIASES = ASSETS / "gene_aliases.tsv.gz"


@lru_cache(maxsize=1)
def load_aliases() -> dict[str, str]:
    """Alias, in capitals, to current symbol; about 60,000, read in 30 ms. Empty where the asset is absent."""
    if not ALIASES.is_file():
        return {}
    with gzip.open(ALIASES, "rt", encoding="ascii") as lines:
        return dict(line.rstrip("\n").split("\t") for line in lines)


def current_symbol(name: str) -> str:
    """The symbol that a name is an alias of, or the name itself."""
    return load_aliases().get(name.upper(), name)
