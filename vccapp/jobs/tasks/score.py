"""Task `score`: score the cells of a run by an official scorer, or by our own computation.

params  run: its id; part: val or test; scorer: cell-eval, cell-eval2 or vccapp; the rest as in `score_run`:
        season, max_cells, max_controls, seed, keep (all optional)
result  run, part, scorer: as asked; means: of each metric
"""

from typing import Any

from vccapp.jobs.tasks import TASKS
from vccapp.progress import Progress
from vccapp.settings import Settings


@TASKS.register("score")
def score(params: dict[str, Any], settings: Settings, progress: Progress) -> dict[str, Any]:
    from vccapp.training.results.score_run import score_run

    asked = {name: params[name] for name in ("run", "part", "scorer")}
    choices = {name: value for name, value in params.items() if name not in asked}
    stored = score_run(*asked.values(), settings, progress=progress, **choices)
    return asked | {"means": stored.means}
