"""Our own computations of both seasons' metrics: of pseudobulks, and of cells."""

from pathlib import Path

import vccapp
from vccapp.data.schema import CONTROL, Columns
from vccapp.evaluation.scorers.base import PERT_COL, SCORERS, CellScorer, Scorer, ScorerResult
from vccapp.progress import Progress, silent
from vccapp.seasons.base import MetricRules, Space

PSEUDOBULKS = "pseudobulks"


@SCORERS.register(PSEUDOBULKS)
class OwnOfPseudobulks(Scorer):
    """What every training stores at its end."""

    name = PSEUDOBULKS
    label = "ours, on pseudobulks"
    official = False


@SCORERS.register("vccapp")
class OwnOfCells(CellScorer):
    name = "vccapp"
    label = "ours, on cells"
    official = False

    def space(self, season: MetricRules) -> Space:
        return "counts" if season == "2026" else "log1p"

    def score(
        self,
        predicted: Path,
        real: Path,
        folder: Path,
        *,
        season: MetricRules,
        threads: int,
        memory_bytes: int,
        progress: Progress = silent,
    ) -> ScorerResult:
        from vccapp.data.reading.opening import open_dataset
        from vccapp.evaluation.scoring.score import summarise
        from vccapp.evaluation.scoring.score_files import score_files

        columns = Columns(perturbation=PERT_COL, control=CONTROL)
        table = score_files(
            open_dataset(real, columns=columns),
            open_dataset(predicted, columns=columns),
            season=season,
            memory_bytes=memory_bytes // 2,
            progress=progress,
        )
        return ScorerResult(vccapp.__version__, {"metrics": season}, table, summarise(table), {}, {})
