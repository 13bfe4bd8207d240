"""What still uses a run: submissions that its predictions are in, official results, and the reference of its data.

for line in list_uses([run_id], settings): ...        # to be read before a run is deleted
"""

from collections.abc import Collection

from vccapp.settings import Settings
from vccapp.submission.plan import list_plans
from vccapp.training.record import list_runs
from vccapp.training.results.entered import list_results


def list_uses(run_ids: Collection[str], settings: Settings) -> list[str]:
    """A sentence each; a submission that was built keeps its package, but can no longer be made again."""
    told = [
        f"The submission {plan.id} is made of {run}, and could not be built or made again without it."
        for plan in list_plans(settings)
        for run in plan.runs
        if run in run_ids
    ]
    told += [
        f"An official result of {result.date} names {result.run}."
        for result in list_results(settings)
        if result.run in run_ids
    ]
    told += [
        f"{run.id} is the reference of its dataset."
        for run in list_runs(settings)
        if run.id in run_ids and run.notes.pinned
    ]
    return told
