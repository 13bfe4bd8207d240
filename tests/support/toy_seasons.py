"""Seasons of few genes and targets with the rules of the real ones: for cells that are made in a moment."""

from collections.abc import Mapping, Sequence
from typing import Any

from vccapp.seasons.base import SEASONS, Phase, Season, Target


def toy_season(
    name: str, *, n_genes: int, targets: Mapping[str, int | None], contexts: Sequence[str] = (), **changes: Any
) -> Season:
    """The season called `name` with one phase of these targets, its genes not known. changes : other fields"""
    base = SEASONS[name]
    fields = {field: getattr(base, field) for field in Season.model_fields}
    phase = Phase(
        name="toy",
        label="Toy phase",
        contexts=tuple(contexts),
        targets=tuple(Target(label=label, n_cells=n) for label, n in targets.items()),
    )
    return Season(**fields | {"n_genes": n_genes, "gene_file": None, "phases": (phase,)} | changes)
