"""A grid of runs in the queue: each an ordinary job, started when there is a slot for it."""

from collections.abc import Sequence
from datetime import UTC, datetime

from vccapp.jobs.local import start_parked
from vccapp.jobs.store import PARKED, JobStore
from vccapp.settings import Settings
from vccapp.training import RunSpec, check_run, make_run_id


def start_grid(specs: Sequence[RunSpec], settings: Settings) -> list[str]:
    """The ids of the runs, in the order of `specs`. Raises what `check_run` does, before anything is started."""
    for spec in specs:
        check_run(spec, settings)
    run_ids: list[str] = []
    with JobStore(settings) as store:
        for spec in specs:
            run_id = make_run_id(spec, now=datetime.now(UTC))
            while run_id in run_ids:  # four digits tell runs of a second apart
                run_id = make_run_id(spec, now=datetime.now(UTC))
            run_ids.append(run_id)
            title = f"Train {spec.model} on {spec.split}: {spec.title or f'seed={spec.seed}'}"
            params = spec.model_dump() | {"run_id": run_id, "devices": settings.devices}
            store.create("train", params, title=title, pid=PARKED)
    start_parked(settings)
    return run_ids
