"""The scale of a file's values as its own cells tell it, with nothing known from outside.

    tell_scale(blocks, n_genes)        # Told(name, evidence), or None where they tell nothing

Real control cells do: before the logarithm their sums are equal, or their values multiples of one count
(`vccapp.data.values`). Predicted cells seldom do, and are then taken for natural logarithms.
"""

from collections.abc import Sequence
from typing import NamedTuple

from scipy.sparse import csr_matrix

from vccapp.data.values import BASES, Scale, detect_scale
from vccapp.errors import DataError
from vccapp.evaluation.quality import SCALES

NATURAL, LOG2, LOG10, TWICE, _, UNLOGGED = SCALES


class Told(NamedTuple):
    """name : of `SCALES`; evidence : a clause for the user"""

    name: str
    evidence: str


def tell_scale(blocks: Sequence[csr_matrix], n_genes: int) -> Told | None:
    """blocks : cells as they are stored. None for values that are no logarithms and tell no scale, such as counts."""
    cells = [block.copy() for block in blocks]
    for block in cells:
        block.eliminate_zeros()  # which data that are opened have none of
    try:
        scale = detect_scale(((0, 0, block) for block in cells), n_genes)
    except DataError as error:
        return Told(TWICE, "sums of cells are equal only after two expm1") if error.code == "logged_twice" else None
    name = _name(scale)
    return None if name is None else Told(name, scale.evidence)


def _name(scale: Scale) -> str | None:
    if scale.kind == "normalised":
        return UNLOGGED
    names = {BASES["e"]: NATURAL, BASES["2"]: LOG2, BASES["10"]: LOG10}
    return names.get(scale.base) if scale.base is not None else None
