"""The genes of a file by every name they go by.

    names = GeneNames(genes, {"gene_id": ids})
    names.find("stat1")     # Found(gene="STAT1", way="case")

A name is looked up as it is, in further columns of the file, without version and prefix, in any case, and by its
current symbol. What names several genes finds none.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Literal, NamedTuple

from vccapp.data.embeddings.aliases import current_symbol

Way = Literal["name", "column", "part", "case", "alias"]
WAYS: dict[Way, str] = {
    "name": "by name",
    "column": "by another column of var",
    "part": "without prefix or version",
    "case": "in another case",
    "alias": "by a current or earlier symbol",
}
_ENSEMBL = r"ENS[A-Z]*G\d{6,}"
_ENSEMBL_ID = re.compile(_ENSEMBL + r"(?:\.\d+)?(?:_PAR_Y)?", re.IGNORECASE)
_GENOME = re.compile(
    r"^(?:GRCh\d+|GRCm\d+|hg\d+|mm\d+|human|mouse|homo_sapiens|mus_musculus)(?:[_\-.]\d{4}[A-Z]?)?[_\-:|.]+",
    re.IGNORECASE,
)
_SYMBOL_AND_ID = re.compile(rf"^(?P<symbol>.+?)[_|:;,\-/ ](?P<id>{_ENSEMBL}(?:\.\d+)?)$", re.IGNORECASE)
_ID_AND_SYMBOL = re.compile(rf"^(?P<id>{_ENSEMBL}(?:\.\d+)?)[_|:;,\-/ ](?P<symbol>.+)$", re.IGNORECASE)


class Found(NamedTuple):
    """gene : as the file names it; way : how it was found"""

    gene: str
    way: Way


def is_ensembl(name: str) -> bool:
    """Whether a name is an Ensembl id of a gene, with or without version."""
    return _ENSEMBL_ID.fullmatch(name) is not None


def bare_names(name: str) -> tuple[str, ...]:
    """A name without genome prefix and version; of a symbol joined with an id, both."""
    name = _GENOME.sub("", name.strip())
    joined = _SYMBOL_AND_ID.match(name) or _ID_AND_SYMBOL.match(name)
    parts = (joined["symbol"], joined["id"]) if joined else (name,)
    return tuple(re.sub(r"\.\d+(_PAR_Y)?$", "", part) if is_ensembl(part) else part for part in parts)


class GeneNames:
    """Genes of a file, named in its order, with further names of the same genes."""

    def __init__(self, genes: Sequence[str], others: Mapping[str, Sequence[str]] | None = None) -> None:
        """others : by var column, a name of each gene; several names of one gene are joined by '|'"""
        self.genes = list(genes)
        self.others = dict(others or {})
        self._known = dict(zip(self.genes, self.genes, strict=True))
        self._asked: dict[str, Found | None] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._known

    def find(self, name: str) -> Found | None:
        """The gene that a name means, and how it was told; None where there is none, or several."""
        if name in self._known:
            return Found(name, "name")
        if name not in self._asked:
            self._asked[name] = self._search(name)
        return self._asked[name]

    def _search(self, name: str) -> Found | None:
        name = name.strip()
        if name in self._known:
            return Found(name, "part")
        if not name:
            return None
        if gene := self._columns.get(name):
            return Found(gene, "column")
        for part in bare_names(name):
            if gene := self._bare.get(part):
                return Found(gene, "part")
        for part in bare_names(name):
            if gene := self._folded.get(part.casefold()):
                return Found(gene, "case")
        for part in bare_names(name):
            if len(part) > 1 and (gene := self._current.get(current_symbol(part).casefold())):
                return Found(gene, "alias")
        return None

    @cached_property
    def _columns(self) -> dict[str, str]:
        return _unique(pair for pair in self._further())

    @cached_property
    def _bare(self) -> dict[str, str]:
        every = [*zip(self.genes, self.genes, strict=True), *self._further()]
        return _unique((part, gene) for name, gene in every for part in bare_names(name))

    @cached_property
    def _folded(self) -> dict[str, str]:
        return _unique((part.casefold(), gene) for part, gene in self._bare.items())

    @cached_property
    def _current(self) -> dict[str, str]:
        return _unique((current_symbol(part).casefold(), gene) for part, gene in self._bare.items())

    def _further(self) -> Iterable[tuple[str, str]]:
        for column in self.others.values():
            for text, gene in zip(column, self.genes, strict=True):
                for name in text.split("|"):
                    if name.strip() and name != "nan":
                        yield name.strip(), gene


def _unique(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Name to gene, without the names of several genes."""
    found: dict[str, str] = {}
    twice = set()
    for name, gene in pairs:
        if found.setdefault(name, gene) != gene:
            twice.add(name)
    return {name: gene for name, gene in found.items() if name not in twice}
