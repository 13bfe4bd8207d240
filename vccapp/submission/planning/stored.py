"""Runs that keep their cells, as many as there are: where a plan has more of a target, they are repeated."""

from vccapp.data.schema import is_control, target_of
from vccapp.models.base import MODELS, load_model
from vccapp.models.saving import RECORD
from vccapp.settings import Settings
from vccapp.submission.plan import Plan
from vccapp.training.record import load_run
from vccapp.wording import name_some


def note_repeats(plan: Plan, settings: Settings) -> tuple[str, ...]:
    """A sentence for each run that has fewer cells of some targets than the plan."""
    notes: list[str] = []
    for own in plan.parts:
        folder = settings.checkpoints / own.source.run / "model"
        if not (folder / RECORD).is_file():  # whoever builds will say it
            continue
        if not MODELS[load_run(own.source.run, settings).spec.model].keeps_cells:
            continue
        model = load_model(folder)
        wanted = {label: n for label, n in own.labels.items() if not is_control(label)}
        kept = {label: model.available_cells(label) or 0 for label in wanted}
        if few := [f"{target_of(label)} ({kept[label]:,} of {n:,})" for label, n in wanted.items() if kept[label] < n]:
            notes.append(
                f"The run {own.source.run} has fewer cells than the plan of {len(few):,} of {len(kept):,} targets, "
                f"{name_some(few)}: its cells are repeated. Predict more cells, or plan fewer."
            )
    return tuple(notes)
