"""How sure the predictions of a submission are: told once its cells are made, in its report."""

from vccapp.data.schema import is_control, label_in
from vccapp.errors import VccAppError
from vccapp.evaluation.confidence import measure_confidence
from vccapp.models.base import load_model
from vccapp.settings import Settings
from vccapp.stats.index import load_index
from vccapp.submission.plan import Plan
from vccapp.training.record import load_run


def plan_confidence(plan: Plan, settings: Settings) -> dict[str, float | None]:
    """By label of the submission; None where a run, or the data that it was trained on, are gone."""
    found: dict[str, float | None] = {}
    for part in plan.parts:
        own = {label: label_in(target, part.context) for target, label in zip(part.cells, part.labels, strict=True)}
        own = {label: name for label, name in own.items() if not is_control(label)}
        try:
            run = load_run(part.source.run, settings)
            model = load_model(run.folder / "model")
            known = measure_confidence(model, load_index(settings.index_of(run.spec.dataset)), list(own))
        except VccAppError:
            known = dict.fromkeys(own)
        found |= {own[label]: value for label, value in known.items()}
    return found
