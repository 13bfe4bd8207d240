"""Expressions of losses: `energy + pseudobulk_mae + 0.5*de`, or the name of a preset; read without torch.

    parse_loss("C1 + 0.1*mmd")                  # {"energy": 1.0, "mmd": 0.1}
    normalise_loss("energy+1.0*mmd")            # "energy + mmd"
    losses = describe_losses()                  # name -> label, of all that an expression may name

A term is `name` or `weight*name`; a preset may be a term. The file of a loss has its name, and a docstring that begins
"Label: what it compares", so that a form can list the losses without importing them.
"""

import ast
import re
from collections.abc import Mapping
from functools import cache
from math import inf
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator

from vccapp.errors import SpecError
from vccapp.plugins import add_fault, plugins_of

PRESETS = {
    "C1": "energy",
    "C2": "energy + pseudobulk_mae",
    "C3": "energy + pseudobulk_mae + 0.5*de",
    "C4": "energy + pseudobulk_mae + 0.5*de + 0.5*rank",
}
"""A ladder from a distance of distributions to a loss that also ranks: each step adds one term."""
NO_LOSSES = {"__init__", "base", "expression"}

_PLUS = re.compile(r"(?<![\d.][eE])\+")
_TERM = re.compile(r"(?:(\d+\.?\d*(?:e[+-]?\d+)?|\.\d+(?:e[+-]?\d+)?)\s*\*\s*)?([a-z_]\w*)", re.IGNORECASE | re.ASCII)


def parse_loss(text: str) -> dict[str, float]:
    """The weight of each loss, in the order of the terms. Raises SpecError for a term that cannot be read."""
    weights: dict[str, float] = {}
    for term in _PLUS.split(text):
        found = _TERM.fullmatch(term.strip())
        weight = float(found[1] or 1) if found else 0.0
        if found is None or not 0 < weight < inf:
            raise SpecError(
                "loss_syntax",
                f"The loss '{text}' cannot be read at '{term.strip()}'",
                found=text,
                fix="join losses by +, each as name or weight*name with a weight above 0, such as " + PRESETS["C3"],
            )
        name = found[2]
        if name not in PRESETS and name not in describe_losses():
            raise SpecError(
                "unknown_loss",
                f"There is no loss called '{name}'",
                found=name,
                fix=f"choose of {', '.join(describe_losses())}, or a preset: {', '.join(PRESETS)}",
            )
        for part, factor in parse_loss(PRESETS[name]).items() if name in PRESETS else [(name, 1.0)]:
            weights[part] = weights.get(part, 0.0) + weight * factor
    return weights


def normalise_loss(text: str) -> str:
    """The one way to write an expression; a preset alone keeps its name. Raises SpecError as `parse_loss`."""
    text = text.strip()
    if text in PRESETS:
        return text
    terms = parse_loss(text).items()
    return " + ".join(name if weight == 1 else f"{weight:.12g}*{name}" for name, weight in terms)


def refuse_set_losses(weights: Mapping[str, float]) -> None:
    """Raises SpecError for a loss that compares sets of cells, where a network learns from single ones."""
    from vccapp.losses.base import LOSSES, SET_LOSSES

    if wrong := [name for name in weights if LOSSES[name] in SET_LOSSES]:
        raise SpecError(
            "loss_of_sets",
            f"The loss {wrong[0]} compares sets of cells, but this network learns from single cells",
            found=wrong,
            fix=f"choose of {', '.join(name for name, loss in LOSSES.items() if loss not in SET_LOSSES)}",
        )


LossText = Annotated[str, AfterValidator(normalise_loss)]
"""An expression as a field of a model's parameters."""


@cache
def describe_losses() -> dict[str, str]:
    """The label of each loss by its name, from the docstrings of the files."""
    files = {path.stem: path for path in sorted(Path(__file__).parent.glob("*.py")) if path.stem not in NO_LOSSES}
    labels = {name: _read_label(path) for name, path in files.items()}
    for plugin in plugins_of("loss"):
        try:
            labels.setdefault(plugin.name, _read_label(plugin.source))
        except Exception as error:  # whatever a stranger's package does
            add_fault(plugin, error)
    return labels


def _read_label(path: Path) -> str:
    first = (ast.get_docstring(ast.parse(path.read_text())) or path.stem).splitlines()[0]
    return first.partition(":")[0]
