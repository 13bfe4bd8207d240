"""A grid of runs in the queue: each an ordinary job, started when there is a slot for it."""

from collections.abc import Sequence
from datetime import UTC, datetime

from vccapp.jobs.local import start_job
from vccapp.settings import Settings
from vccapp.tasks.train import Train


def start_grid(tasks: Sequence[Train], settings: Settings) -> list[str]:
    """The ids of the runs, in the order of `tasks`. Raises what `check` does, before anything is started."""
    for task in tasks:
        task.check(settings)
    run_ids: list[str] = []
    for task in tasks:
        named = task.named(datetime.now(UTC))
        while named.run_id in run_ids:  # four digits tell runs of a second apart
            named = task.named(datetime.now(UTC))
        run_ids.append(named.run_id)
        start_job(settings, named)
    return run_ids
