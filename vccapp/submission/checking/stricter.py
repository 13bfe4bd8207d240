"""Where the checks are stricter than the official packagers, and why: told in each result, listed in docs/checks.md.

Keyed by the container that a packager writes, then by rule. Anything else that a check fails is refused by the
packager too (tests/submission/test_mutations.py holds hundreds of changed files against both).
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple


class Rule(NamedTuple):
    """what : is refused here; why : in a sentence; repaired : whether the official tool would repair it by itself"""

    what: str
    why: str
    repaired: bool = False


COMMON = {
    "dense": Rule("X dense", "Cells are written as CSR: a dense file is ten times as large.", repaired=True),
    "csc": Rule("X as CSC", "Scorers read cell after cell, and the packager leaves CSC as it is."),
    "explicit_zeros": Rule(
        "explicit zeros", "The scorer's rank test fails on stored zeros, and the packager keeps them."
    ),
    "gene_order": Rule("genes in another order", "A wrong order is better seen than repaired unseen.", repaired=True),
    "gene_count": Rule("another number of genes", "The packager adopts the length of whatever list it is given."),
    "dtype": Rule("whole numbers, booleans or complex numbers in X", "X is float32 in every archive.", repaired=True),
    "damaged": Rule("row pointers or columns that do not fit", "What readers make of such a file is not known."),
    "no_check": Rule(
        "rounded log1p values", "They would be taken for counts: the difference shows in the score alone."
    ),
}
STRICTER: Mapping[str, Mapping[str, Rule]] = MappingProxyType(
    {
        "vcc2025": COMMON
        | {
            "disorder": Rule("columns unsorted or repeated in a cell", "The scorer's rank test takes them for values."),
            "not_finite": Rule("NaN and infinity", "Scoring fails on them, or leaves the metric empty."),
            "negative": Rule("negative values", "The packager looks for them beside decimals alone: logarithms fail."),
            "fractions": Rule("counts with small fractions", "Decimals below 0.001 pass as counts there."),
            "unsigned": Rule("pointers or columns of X without sign", "Other tools fail on such a matrix."),
            "perturbations": Rule(
                "perturbations missing, unknown or spelled otherwise", "The scorer needs the same set."
            ),
            "unlabelled": Rule("cells without a label", "They cannot be scored."),
            "empty": Rule("a perturbation all of whose cells are empty", "There is nothing to score."),
            "cells": Rule("more than 100,000 cells", "So the season's rules say; the tool of today takes 200,000."),
            "planned": Rule("cells other than planned", "The file is not what was decided."),
            "other_scale": Rule(
                "logarithms to another base, taken twice, or none", "The packager cannot see it; every score is wrong."
            ),
        },
        "vcc2026": COMMON
        | {
            "disorder": Rule(
                "columns unsorted or repeated in a cell", "Readers differ in what they do.", repaired=True
            ),
            "empty": Rule("a perturbation empty in one context", "The packager looks over all contexts together."),
            "planned": Rule("cells other than planned", "The file is not what was decided."),
        },
    }
)

PACKAGER_CELLS = MappingProxyType({"vcc2025": 200_000, "vcc2026": 400_000})
"""Cells that the packagers themselves let pass."""


def explain_rule(container: str, rule: str) -> str:
    """A sentence or two for a result; "" where the official packager refuses the same, or there is none."""
    found = STRICTER.get(container, {}).get(rule)
    if found is None:
        return ""
    return f"Stricter than the official packager. {found.why}" + (" It repairs this itself." if found.repaired else "")


def table_of_rules() -> str:
    """All rules as Markdown, for docs/checks.md."""
    lines = ["| season's container | refused here | because | the packager repairs it |", "|---|---|---|---|"]
    for container, rules in STRICTER.items():
        for rule in rules.values():
            lines.append(f"| `{container}` | {rule.what} | {rule.why} | {'yes' if rule.repaired else 'no'} |")
    return "\n".join(lines)
