"""Task `build`: generate, check and package a submission from its plan.

params  plan: the id of a written plan
result  submission: the same id; report: what the build says about itself
"""

from typing import Any

from vccapp.jobs.tasks import TASKS
from vccapp.progress import Progress
from vccapp.settings import Settings


@TASKS.register("build")
def build(params: dict[str, Any], settings: Settings, progress: Progress) -> dict[str, Any]:
    from vccapp.submission.build import build as build_submission
    from vccapp.submission.plan import load_plan

    plan = load_plan(params["plan"], settings)
    return {"submission": plan.id, "report": build_submission(plan, settings, progress=progress)}
