"""Task `score`: score the cells of a run by an official scorer, or by our own computation."""

from typing import Literal

from pydantic import Field

from vccapp.errors import VccAppError
from vccapp.progress import Progress
from vccapp.settings import Settings
from vccapp.tasks.base import TASKS, AbsolutePath, Needs, Result, Task


class Scored(Result):
    """means : of each metric"""

    run: str
    part: str
    scorer: str
    means: dict[str, float | None]


@TASKS.register("score")
class ScoreRun(Task[Scored]):
    name = "score"
    Result = Scored

    run_id: str = Field(description="Id of the run.")
    part: Literal["val", "test"] = Field("test", description="Held-out part of the split.")
    scorer: str = Field("cell-eval", description="Name of the scorer.")
    season: str | None = Field(None, description="Season whose metrics our own computation gives.")
    max_cells: int | None = Field(None, ge=2, description="Maximum number of cells per perturbation.")
    max_controls: int | None = Field(None, ge=2, description="Maximum number of control cells.")
    seed: int = Field(0, ge=0, description="Random seed for drawing cells.")
    keep: AbsolutePath | None = Field(None, description="Folder for the official scorer's own tables and log.")

    @property
    def title(self) -> str:
        return f"Score {self.run_id} by {self.scorer}"

    def command(self) -> list[str]:
        from vccapp.evaluation.scorers.base import cell_scorers
        from vccapp.training.results.scores import official_command

        scorer = cell_scorers().get(self.scorer)
        own = {} if scorer is not None and scorer.season else {"season": "--season"}  # an official one has its own
        return official_command(self.run_id, part=self.part, scorer=self.scorer) + self.changed_options(
            **own,
            max_cells="--max-cells",
            max_controls="--max-controls",
            seed="--seed",
            keep="--keep",
            on="--on",
        )

    def check(self, settings: Settings) -> None:
        from vccapp.data.workspace import require_source
        from vccapp.evaluation.scorers.base import find_scorer
        from vccapp.seasons.opened import find_season
        from vccapp.training import load_run

        require_source(load_run(self.run_id, settings).spec.dataset, settings)
        find_scorer(self.scorer)
        if self.season is not None:
            find_season(self.season, settings)

    def needs(self, settings: Settings) -> Needs:
        from vccapp.evaluation.scorers.base import cell_scorers
        from vccapp.stats.index import load_index
        from vccapp.training import load_run
        from vccapp.training.results.score_run import count_cells

        memory_bytes = None
        try:
            run = load_run(self.run_id, settings)
            index = load_index(settings.index_of(run.spec.dataset))
            cells, n_controls = count_cells(index, run, self.part)
            n_cells = sum(min(n, self.max_cells or n) for n in cells) + min(n_controls, self.max_controls or n_controls)
            if scorer := cell_scorers().get(self.scorer):
                memory_bytes = scorer.memory_bytes(n_cells, len(index.genes))
        except VccAppError:
            pass
        return Needs(memory_bytes=memory_bytes or settings.memory_bytes)

    def run(self, settings: Settings, progress: Progress) -> Scored:
        from vccapp.training.results.score_run import score_run

        choices = self.model_dump(include={"season", "max_cells", "max_controls", "seed", "keep"})
        score = score_run(self.run_id, self.part, self.scorer, settings, progress=progress, **choices)
        return Scored(run=self.run_id, part=self.part, scorer=self.scorer, means=score.means)
