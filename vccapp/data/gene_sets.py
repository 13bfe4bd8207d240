"""Gene sets: named lists of genes, from .gmt files kept in the workspace, and from what people paste.

A .gmt file has a set a line, divided by tabs: its name, a description, then its genes (format of the Broad Institute's
MSigDB). Kept files live in `gene_sets/` of the workspace, so that a link to a set opens for everyone who uses it.
"""

import fnmatch
import re
from collections.abc import Sequence
from pathlib import Path

from vccapp.data.atomic import write_file
from vccapp.errors import DataError
from vccapp.settings import Settings
from vccapp.textfiles import read_text

_NAME = re.compile(r"[^A-Za-z0-9._-]+")


def read_gmt(path: Path) -> dict[str, tuple[str, ...]]:
    """The sets of a file by name. Raises DataError when there is none, or a line is not of the format."""
    try:
        lines = read_text(path).splitlines()
    except DataError as error:
        fix = "add a .gmt file" if error.code == "file_missing" else "use a .gmt file: one set per line, tab-separated"
        raise DataError(error.code, error.problem, found=error.found, fix=fix) from None
    sets: dict[str, tuple[str, ...]] = {}
    for number, line in enumerate(lines, 1):
        name, *rest = (word.strip() for word in line.split("\t"))
        genes = tuple(dict.fromkeys(gene for gene in rest[1:] if gene))
        if line.strip() and (not name or not genes):
            raise DataError(
                "not_a_gene_set",
                f"Line {number} of {path.name} is not a gene set",
                fix="it needs a name, a description and genes, tab-separated",
            )
        if genes:
            sets[name] = genes
    if not sets:
        raise DataError(
            "no_gene_set",
            f"{path.name} contains no gene set",
            fix="use a .gmt file: one set per line, tab-separated",
        )
    return sets


def keep_gmt(name: str, content: bytes, settings: Settings) -> Path:
    """Write a .gmt file into the workspace, once it has been read without an error; where it is."""
    target = _folder(settings) / f"{_NAME.sub('_', Path(name).stem).strip('._') or 'gene_sets'}.gmt"
    with write_file(target) as beside:
        beside.write_bytes(content)
        try:
            read_gmt(beside)
        except DataError as error:
            raise DataError(error.code, error.problem.replace(beside.name, name), fix=error.fix) from None
    return target


def list_gmt(settings: Settings) -> list[Path]:
    """The kept files, by name."""
    return sorted(_folder(settings).glob("[!.]*.gmt"))


def find_genes(text: str, genes: Sequence[str]) -> tuple[list[str], list[str]]:
    """Genes that a text names, in its order and once each, and its words that name none.

    Words are divided by commas, semicolons or blanks; upper and lower case are alike; `*` stands for any letters.
    """
    by_word: dict[str, list[str]] = {}
    for gene in genes:
        by_word.setdefault(gene.upper(), []).append(gene)
    found: dict[str, None] = {}
    unknown = []
    for word in re.split(r"[\s,;]+", text.strip()):
        upper = word.upper()
        if "*" in upper:
            own = [gene for key in fnmatch.filter(by_word, upper) for gene in by_word[key]]
        else:
            own = [word] if word in by_word.get(upper, []) else by_word.get(upper, [])
        found |= dict.fromkeys(own)
        if word and not own:
            unknown.append(word)
    return list(found), unknown


def _folder(settings: Settings) -> Path:
    return settings.home / "gene_sets"
