"""How many cells: the advice for controls, sharing out, numbers changed by hand, and the limits of the season."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from vccapp.data.schema import target_of
from vccapp.errors import SpecError
from vccapp.seasons.base import Season
from vccapp.submission.budget import scale_cells
from vccapp.submission.plan import Plan
from vccapp.wording import name_some

Sharing = Literal["advised", "equal", "effect"]
SHARINGS: Mapping[Sharing, str] = {"advised": "As advised", "equal": "Equally", "effect": "By expected effect"}
CONTROL_SHARE = (0.05, 0.10)
"""Of the cap: controls that are worth their places, where not all of them fit."""
EFFECT_RANGE = (0.5, 2.0)
"""Times its even share that a perturbation gets by its effect, at least and at most."""


def advise_controls(wanted: Mapping[str, int], *, n_available: int, n_contexts: int, season: Season) -> int:
    """Control cells of each context: all, when they fit beside the wanted cells; else 5 to 10 % of the cap, as many as
    leave the wanted cells whole.
    """
    if season.controls == "forbidden":
        return 0
    room = season.max_cells - sum(wanted.values())
    if n_available * n_contexts <= room:
        return n_available
    low, high = (int(share * season.max_cells) for share in CONTROL_SHARE)
    return max(1, min(n_available, int(np.clip(room, low, high)) // n_contexts))


def share_cells(
    wanted: Mapping[str, int],
    *,
    season: Season,
    n_controls: int,
    sharing: Sharing = "advised",
    effects: Mapping[str, float] | None = None,
) -> dict[str, int]:
    """Cells of each label within the cap.

    advised : the wanted numbers, scaled (`scale_cells`); equal : the same total, each alike
    effect : the same total in proportion to `effects` (norms of predicted deltas, by label or target) over their mean,
    within EFFECT_RANGE: where more genes change, cells find more of them
    A season that says exactly how many gets exactly as many. Raises SpecError where that or the cap cannot be met.
    """
    if season.cells_per_target is not None:
        if sharing != "advised":
            raise SpecError(
                "exact_cells",
                f"{season.label} asks for exactly {season.cells_per_target:,} cells of each target",
                fix="share them as advised",
            )
        _check_cap(wanted, season=season, n_controls=n_controls)
        return dict(wanted)
    if sharing == "equal":
        even = max(sum(wanted.values()) // len(wanted), 1)
        wanted = dict.fromkeys(wanted, even)
    if sharing == "effect":
        wanted = _weigh(wanted, effects or {})
    return scale_cells(wanted, n_controls=n_controls, max_cells=season.max_cells)


def edit_cells(
    cells: Mapping[str, int], edits: Mapping[str, int], *, season: Season, n_controls: int
) -> dict[str, int]:
    """Numbers set by hand, by label or, in every context, by target; 0 is refused, and so is more than the cap."""
    if not edits:
        return dict(cells)
    if season.cells_per_target is not None and set(edits.values()) != {season.cells_per_target}:
        raise SpecError(
            "exact_cells",
            f"{season.label} asks for exactly {season.cells_per_target:,} cells of each target",
            fix="leave the numbers as they are",
        )
    if few := [label for label, n in edits.items() if n < 1]:
        raise SpecError("no_cells_wanted", f"{name_some(few)} get no cells", fix="give each at least one cell")
    edited = {label: edits.get(label, edits.get(target_of(label), n)) for label, n in cells.items()}
    _check_cap(edited, season=season, n_controls=n_controls)
    return edited


def _check_cap(cells: Mapping[str, int], *, season: Season, n_controls: int) -> None:
    total = sum(cells.values()) + n_controls
    if total > season.max_cells:
        raise SpecError(
            "over_budget",
            f"{total:,} cells are planned, {n_controls:,} controls among them, and {season.max_cells:,} are allowed",
            fix=f"take {total - season.max_cells:,} fewer",
        )


def _weigh(wanted: Mapping[str, int], effects: Mapping[str, float]) -> dict[str, int]:
    """The same total, in proportion to the effects."""
    if missing := [label for label in wanted if label not in effects and target_of(label) not in effects]:
        raise SpecError(
            "no_effects", f"The expected effect of {name_some(missing)} is not known", fix="share the cells otherwise"
        )
    norms = np.array([effects.get(label, effects.get(target_of(label), 0.0)) for label in wanted], float)
    mean = norms.mean()
    weights = np.clip(norms / mean, *EFFECT_RANGE) if mean > 0 else np.ones(len(norms))
    numbers = np.maximum((weights / weights.sum() * sum(wanted.values())).astype(int), 1)
    return dict(zip(wanted, numbers.tolist(), strict=True))


@dataclass(frozen=True)
class Limit:
    """What a plan takes of something that the season limits. kind : least or most allowed, or exactly asked"""

    what: str
    planned: float
    allowed: float
    kind: Literal["most", "exactly"] = "most"

    @property
    def kept(self) -> bool:
        return self.planned == self.allowed if self.kind == "exactly" else self.planned <= self.allowed


def list_limits(plan: Plan, season: Season) -> list[Limit]:
    """Every limit that a plan can be held against before its cells exist; stored values are an estimate."""
    estimate = plan.estimate
    limits = [Limit("Cells", estimate.n_cells, season.max_cells)]
    if season.max_values is not None:
        limits.append(Limit("Stored values", estimate.n_values, season.max_values))
    if season.max_cell_total is not None and plan.space == "counts" and plan.depths:
        limits.append(Limit("Counts of a cell (median)", max(plan.depths.values()), season.max_cell_total))
    if season.cells_per_target is not None:
        exact = season.cells_per_target
        off = next((n for n in plan.cells.values() if n != exact), exact)
        limits.append(Limit("Cells of each target", off, exact, "exactly"))
    limits.append(Limit("Genes", plan.n_genes, season.n_genes, "exactly"))
    return limits
