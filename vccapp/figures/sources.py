"""One colour and one shape for each thing compared, the same in every figure of the page Compare."""

import altair as alt

from vccapp.figures.style import NEUTRAL, QUIET, UP
from vccapp.references import (
    CHANCE,
    CONTROL_CELLS,
    CONTROL_MEAN,
    FULL_NAMES,
    PERFECT,
    PERTURBATION_MEAN,
    REAL_CELLS,
    REPEAT,
)

RUNS = ["#2A85BD", "#1FA37C", "#CC79A7", "#C79A1B", "#56B4E9", "#8F6BB8"]
SHAPES = ["circle", "square", "triangle-up", "diamond", "cross", "triangle-down"]
REFERENCES = {
    CONTROL_CELLS: NEUTRAL,
    REAL_CELLS: UP,
    FULL_NAMES[CONTROL_MEAN]: NEUTRAL,
    FULL_NAMES[PERTURBATION_MEAN]: QUIET,
    FULL_NAMES[REPEAT]: UP,
    FULL_NAMES[PERFECT]: UP,
    CHANCE: NEUTRAL,
}
"""Colours of what is no run."""
MARKS = {
    CONTROL_CELLS: "circle",
    REAL_CELLS: "diamond",
    FULL_NAMES[CONTROL_MEAN]: "wedge",
    FULL_NAMES[PERTURBATION_MEAN]: "triangle-left",
    FULL_NAMES[REPEAT]: "triangle-right",
    FULL_NAMES[PERFECT]: "diamond",
    CHANCE: "circle",
}


def colours(names: list[str]) -> alt.Scale:
    """References keep their colour, runs take theirs in order."""
    return alt.Scale(domain=names, range=_assign(names, REFERENCES, RUNS))


def shapes(names: list[str]) -> alt.Scale:
    """References keep their shape, runs take theirs in order."""
    return alt.Scale(domain=names, range=_assign(names, MARKS, SHAPES))


def _assign(names: list[str], known: dict[str, str], others: list[str]) -> list[str]:
    found, given = [], 0
    for name in names:
        if name in known:
            found.append(known[name])
        else:
            found.append(others[given % len(others)])
            given += 1
    return found
