"""Scores of a file of predicted cells against a file of real ones, as a season's official scorer takes them.

    frame = score_files(open_dataset(real), open_dataset(predicted), season="2025")

Both files hold control cells and the same perturbations and genes. Everything is computed in float64, so the result is
that of the official scorer on X in float64. On X in float32, as most files have it, the official scorer of 2025 rounds
means to float32: its MAE and fold changes then differ by about 1e-7 of their size, and where two fold changes or two
distances are nearly equal, a rank may differ. That of 2026 computes in float64 whatever X is.
"""

import numpy as np
import pandas as pd

from vccapp.data.reading.dataset import Dataset
from vccapp.data.reading.within import aligned, within
from vccapp.data.schema import label_in
from vccapp.errors import DataError
from vccapp.evaluation.metrics import METRICS
from vccapp.evaluation.scoring.cell_space import CellSpace, place_cells
from vccapp.evaluation.scoring.columns import Cells, open_cells
from vccapp.evaluation.scoring.profiles_2025 import profiles_2025
from vccapp.evaluation.scoring.profiles_2026 import profiles_2026
from vccapp.evaluation.scoring.score import compute_metrics
from vccapp.progress import Progress, part, silent
from vccapp.seasons.base import MetricRules
from vccapp.wording import name_some


def score_files(
    real: Dataset,
    predicted: Dataset,
    *,
    season: MetricRules,
    memory_bytes: int = 10**9,
    space: CellSpace | None = None,
    progress: Progress = silent,
) -> pd.DataFrame:
    """`compute_metrics` of a season's metrics and of those that need means only; a row a perturbation.

    season : whose metrics, see `vccapp.seasons.base.Season.metrics`
    memory_bytes : for values; where there are more, files are read more than twice, some genes at a time.
    space : where to compare cells too, by their energy distance; None leaves it out.

    Where the files tell contexts apart, each is scored for itself, against its own controls.
    Genes may be in another order. Of 2025, perturbations that the prediction lacks are left out of the table.
    Raises DataError when the files differ in genes, perturbations or contexts, or hold other values than the season
    scores.
    """
    names = [context.name for context in real.schema.contexts]
    if names != [context.name for context in predicted.schema.contexts]:
        found = " and ".join(name_some([c.name for c in file.schema.contexts]) or "none" for file in (real, predicted))
        raise DataError(
            "contexts_differ",
            f"{real.path.name} and {predicted.path.name} have the contexts {found}",
            fix="label the cells of both, or give --context-column none",
        )
    frames = []
    for done, context in enumerate(names or [None]):
        report = part(progress, done / max(len(names), 1), (done + 1) / max(len(names), 1))
        frame = _score_context(
            within(real, context),
            aligned(within(predicted, context), real.genes),
            season=season,
            memory_bytes=memory_bytes,
            space=space,
            progress=report,
        )
        frames.append(frame.assign(perturbation=[label_in(label, context) for label in frame["perturbation"]]))
    return pd.concat(frames, ignore_index=True)


def _score_context(
    real: Dataset,
    predicted: Dataset,
    *,
    season: MetricRules,
    memory_bytes: int,
    space: CellSpace | None,
    progress: Progress,
) -> pd.DataFrame:

    def look(dataset: Dataset, done: float) -> Cells:
        cells = open_cells(dataset)
        progress(done, f"{dataset.path.name} read")
        return cells

    opened = look(real, 0.1), look(predicted, 0.2)
    labels = _common(*opened, exactly=season != "2025" or space is not None)
    _check(*opened, season=season)
    if season == "2025":
        pair = (
            profiles_2025(opened[0], memory_bytes=memory_bytes, progress=part(progress, 0.2, 0.55)),
            profiles_2025(opened[1], memory_bytes=memory_bytes, progress=part(progress, 0.55, 0.9)),
        )
        pair = pair[0].only(labels), pair[1].only(labels)
    else:
        pair = profiles_2026(*opened, memory_bytes=memory_bytes, progress=part(progress, 0.2, 0.9))
    if space:
        pair = place_cells(pair, opened, space)
    wanted = {"means", "cells"} if space else {"means"}
    names = [m.name for _, m in METRICS.items() if m.season == season or (m.needs in wanted and not m.season)]
    frame = compute_metrics(pair[0], pair[1], names)
    progress(1.0, f"{len(frame)} perturbations scored")
    return frame


def _common(real: Cells, predicted: Cells, *, exactly: bool) -> list[str]:
    """The perturbations of both. exactly : whether each must have all of the other's

    Raises DataError where the genes differ, or where the prediction has other perturbations, or none of the real ones.
    """
    names = [cells.dataset.path.name for cells in (real, predicted)]
    if not np.array_equal(real.dataset.genes, predicted.dataset.genes):
        raise DataError(
            "genes_differ", f"{names[1]} does not have the genes of {names[0]}", fix="align it to them and score again"
        )
    common = [label for label in real.labels if label in set(predicted.labels)]
    differing = sorted(set(real.labels) ^ set(predicted.labels))
    if not common or set(predicted.labels) - set(common) or (exactly and differing):
        raise DataError(
            "perturbations_differ",
            f"Only one of {names[0]} and {names[1]} has cells of {name_some(differing)}",
            fix="score files of the same perturbations",
        )
    return common


def _check(real: Cells, predicted: Cells, *, season: str) -> None:
    for cells in (real, predicted):
        if season == "2026" and not cells.is_counts:
            raise DataError(
                "needs_counts",
                f"{cells.dataset.path.name} holds log1p values, but 2026 scores counts",
                fix="write counts to X",
            )
