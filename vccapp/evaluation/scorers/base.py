"""What a scorer is, and the registry that finds them: everything that knows scorers asks it.

    scorer = find_scorer("cell-eval")           # SpecError for an unknown name, or where it is not installed
    result = scorer.score(predicted, real, folder, season="2025", threads=2, memory_bytes=8_000_000_000)
    result.means, result.scaled["mae"].raw, result.table

Both files hold cells in the space that the scorer takes, in the obs column `target_gene`, with the same controls. To
add one, write `vccapp/evaluation/scorers/<name>.py` with a registered subclass; `process` runs the commands of a tool.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import pandas as pd
from pydantic import BaseModel, ConfigDict

from vccapp.errors import ResourceError, SpecError
from vccapp.progress import Progress, silent
from vccapp.registry import Registry
from vccapp.seasons.base import MetricRules, Space

SCORERS = Registry[type["Scorer"]]("scorer", package="vccapp.evaluation.scorers")
PERT_COL = "target_gene"
AVERAGE = "avg_score"
"""What both official scorers call the mean of their scaled scores."""
Season = MetricRules
"""By whose rules is scored, as scorers of other packages import it."""


class Scaled(BaseModel):
    """A metric between the baseline (0) and its best value (1): as it is, and as the judges clip it."""

    model_config = ConfigDict(frozen=True)

    raw: float | None
    clipped: float | None


@dataclass(frozen=True)
class ScorerResult:
    """What a scorer says.

    version : of the scorer; settings : the profile or preset, recorded with every result
    table : a row a perturbation, a column a metric; means : of every metric
    baseline : of the scorer's own mean baseline; scaled : of the scored metrics and AVERAGE; empty where it has none
    """

    version: str
    settings: dict[str, str]
    table: pd.DataFrame
    means: dict[str, float | None]
    baseline: dict[str, float | None]
    scaled: dict[str, Scaled]


class Scorer:
    """Whose scores are stored with a run, and shown.

    label : for people; official : whether its numbers are those of the judges, with a baseline to scale them by
    """

    name: ClassVar[str]
    label: ClassVar[str]
    official: ClassVar[bool] = True


class CellScorer(Scorer, ABC):
    """A scorer that can be asked to score predicted cells against real ones.

    season : whose rules it scores by; "": those that are asked for
    """

    season: ClassVar[MetricRules | Literal[""]] = ""

    def check(self) -> None:  # noqa: B027 - optional
        """Raise SpecError where something that it needs is not installed."""

    @abstractmethod
    def space(self, season: Season) -> Space:
        """Of the values that it takes."""

    def memory_bytes(self, n_cells: int, n_genes: int) -> int | None:
        """What it takes to score `n_cells` on either side, controls included; None: it works within what is allowed."""
        return None

    @abstractmethod
    def score(
        self,
        predicted: Path,
        real: Path,
        folder: Path,
        *,
        season: Season,
        threads: int,
        memory_bytes: int,
        progress: Progress = silent,
    ) -> ScorerResult:
        """Score two h5ad files. What a tool writes stays in `folder`, which is there, until the caller removes it.

        Raises JobError where it fails; when `progress` raises Stopped, what was started is ended first.
        """


def find_scorer(name: str) -> CellScorer:
    """The scorer of cells of this name. Raises SpecError for an unknown one, or where it cannot run."""
    kind = SCORERS[name]
    if not issubclass(kind, CellScorer):
        raise SpecError(
            "not_of_cells",
            f"The scores of {name} are stored at the end of every training and do not use cells",
            fix=f"choose one of {', '.join(cell_scorers())}",
        )
    scorer = kind()
    scorer.check()
    return scorer


def cell_scorers(*, official: bool = False) -> dict[str, CellScorer]:
    """Scorers that can be asked, by name; all, or only the official ones."""
    found = {name: kind() for name, kind in SCORERS.items() if issubclass(kind, CellScorer)}
    return {name: scorer for name, scorer in found.items() if scorer.official or not official}


def official_scorer(season: Season) -> str:
    """The name of the scorer whose numbers are those of the judges by these rules."""
    return next(name for name, scorer in cell_scorers(official=True).items() if scorer.season == season)


def label_scorer(name: str) -> str:
    """For people; the name itself where a plug-in that brought it is gone."""
    return SCORERS[name].label if name in SCORERS else name


def is_official(name: str) -> bool:
    return name in SCORERS and SCORERS[name].official


def order_scorers(names: Iterable[str]) -> list[str]:
    """Ours before the official ones, as they are registered."""
    every = list(SCORERS)
    known = [name for name in every if not is_official(name)] + [name for name in every if is_official(name)]
    wanted = set(names)
    return [name for name in known if name in wanted] + sorted(wanted - set(known))


def refuse_memory(
    scorer: CellScorer, cells: dict[str, int], n_controls: int, n_genes: int, *, memory_bytes: int
) -> None:
    """Raises ResourceError where scoring `cells` of each perturbation and the controls needs more than is allowed.

    The message says how many cells would fit.
    """
    n_cells = sum(cells.values()) + n_controls
    needed = scorer.memory_bytes(n_cells, n_genes)
    if needed is None or needed <= memory_bytes:
        return
    none, one = (scorer.memory_bytes(n, n_genes) or 0 for n in (0, 1))
    fitting = (memory_bytes - none) // max(one - none, 1)
    few = max((fitting // 2) // max(len(cells), 1), 0)
    if few < 2:
        advice = "raise VCCAPP_MEMORY_GB"
    else:
        few_controls = min(n_controls, fitting // 2)
        advice = (
            f"use at most {few:,} cells per perturbation and {few_controls:,} controls (--max-cells {few} "
            f"--max-controls {few_controls}), or raise VCCAPP_MEMORY_GB"
        )
    raise ResourceError(
        "memory",
        f"{scorer.name} makes the cells dense: {n_cells:,} cells x {n_genes:,} genes on each side need about "
        f"{needed / 1e9:.1f} GB of memory, but {memory_bytes / 1e9:.1f} GB are allowed",
        fix=advice,
    )
