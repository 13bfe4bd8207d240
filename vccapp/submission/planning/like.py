"""The plan of a submission with another run: the same cells, seed and controls, so that a comparison of the two shows
what the run alone changes (a rung of the ladder of losses, another seed).

    plan = plan_like(load_plan("c1", settings), "20261121-142233-state-a1b2", settings, id="c2")
"""

from vccapp.errors import SpecError
from vccapp.settings import Settings
from vccapp.submission.plan import Plan
from vccapp.submission.planning.make import SIMULATED, find_simulated, name_plan
from vccapp.training.record import load_run


def plan_like(plan: Plan, run_id: str, settings: Settings, *, id: str | None = None) -> Plan:
    """Nothing but the run differs, in every context. Raises SpecError for a run that is unknown or not finished."""
    run = load_run(run_id, settings)
    if run.state != "finished":
        raise SpecError("not_finished", f"The run {run_id} is {run.state}", fix="choose a finished run")
    if plan.runs == (run_id,):
        raise SpecError("same_run", f"The submission '{plan.id}' is of the run {run_id} already", fix="choose another")
    sources = {context: source.model_copy(update={"run": run_id}) for context, source in plan.sources.items()}
    simulated = find_simulated(((source.dataset, source.run) for source in sources.values()), settings)
    reasons = (*(reason for reason in plan.reasons if not reason.startswith(SIMULATED)), *simulated)
    changes = {"id": "", "sources": sources, "reasons": reasons, "practice": plan.practice or bool(reasons)}
    return name_plan(plan.model_copy(update=changes), id, settings)
