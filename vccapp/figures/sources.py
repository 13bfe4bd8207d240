"""One colour and one shape for each thing compared, the same in every figure of the page Compare."""

import altair as alt

from vccapp.figures.style import NEUTRAL, QUIET, UP

RUNS = ["#2A85BD", "#1FA37C", "#CC79A7", "#C79A1B", "#56B4E9", "#8F6BB8"]
SHAPES = ["circle", "square", "triangle-up", "diamond", "cross", "triangle-down"]
REFERENCES = {
    "control": NEUTRAL,
    "real": UP,
    "baseline: control mean": NEUTRAL,
    "baseline: perturbation mean": QUIET,
    "ceiling: half against half": UP,
    "chance": NEUTRAL,
}
"""Colours of what is no run."""
MARKS = {
    "control": "circle",
    "real": "diamond",
    "baseline: control mean": "wedge",
    "baseline: perturbation mean": "triangle-left",
    "ceiling: half against half": "triangle-right",
    "chance": "circle",
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
