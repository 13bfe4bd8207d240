"""From a data file to the scores of a model and a submission of it: jobs that start one after another."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from vccapp.data.reading.opening import open_dataset
from vccapp.data.splits.standard import standard_name
from vccapp.data.stores.access import Access
from vccapp.jobs.job import Job
from vccapp.jobs.local import start_job
from vccapp.settings import Settings
from vccapp.stats.index import has_index
from vccapp.tasks.base import Task
from vccapp.tasks.build import Build
from vccapp.tasks.index import Index
from vccapp.tasks.plan import MakePlan
from vccapp.tasks.score import ScoreRun
from vccapp.tasks.split import StandardSplit
from vccapp.tasks.train import Train


def start_chain(
    settings: Settings,
    index: Index,
    model: str,
    params: Mapping[str, Any],
    *,
    seed: int = 0,
    title: str = "",
    scorer: str = "",
    season: str = "",
    practice: bool = False,
) -> list[Job]:
    """Queue index, standard split, training and, with a scorer, scores; the index is left out where it is there.

    season : plan, make, check and package a submission of it at the end; practice : mark that as practice

    Raises VccAppError for a file, a model or a parameter that is wrong, before anything is queued.
    """
    from vccapp.evaluation.scorers.base import find_scorer
    from vccapp.models.base import make_model
    from vccapp.seasons.opened import find_season
    from vccapp.submission.planning.choice import PlanChoice

    make_model(model, dict(params))
    dataset = open_dataset(index.paths, columns=index.columns, access=Access.of(settings)).fingerprint
    train = Train(
        dataset=dataset, model=model, params=dict(params), split=standard_name(dataset), seed=seed, run_title=title
    ).named(datetime.now(UTC))
    tasks: list[Task[Any]] = [] if has_index(settings.index_of(dataset)) else [index]
    tasks += [StandardSplit(dataset=dataset), train]
    if scorer:
        find_scorer(scorer)  # the rest of its check needs the run
        tasks.append(ScoreRun(dataset=dataset, run_id=train.run_id, scorer=scorer))
    if season:
        choice = PlanChoice(run=train.run_id, season=find_season(season, settings).name, practice=practice)
        tasks.append(MakePlan(dataset=dataset, choice=choice.model_dump(mode="json") | {"name": train.run_id}))
        tasks.append(Build(dataset=dataset, plan=train.run_id))
    jobs: list[Job] = []
    for task in tasks:
        jobs.append(start_job(settings, task, after=[job.id for job in jobs[-1:]]))
    return jobs
