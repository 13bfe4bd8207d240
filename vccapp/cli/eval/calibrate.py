"""`vccapp eval calibrate`: what a prediction would score if it were changed after its fit; a run of what is chosen."""

from typing import TYPE_CHECKING, Annotated

import typer

from vccapp.cli.following import After, Background, On, run_job
from vccapp.cli.names import find_finished_run, find_run, mark_about, open_index, open_settings
from vccapp.cli.output import Json, format_lines, format_table, show
from vccapp.cli.runs.options import format_run

if TYPE_CHECKING:
    from vccapp.evaluation.calibration.curves import Curves
    from vccapp.training import RunRecord

ALL = "all"


def calibrate(
    run: Annotated[str, typer.Option(help="Id of the run, or 'latest' for the newest finished one.")] = "latest",
    with_: Annotated[
        list[str] | None,
        typer.Option(
            "--with",
            help="A run of the same model on another split, whose validation part counts too; repeatable, or 'all'.",
        ),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="What is changed, NAME=VALUE; repeatable: shared, components, shrinkage, amplitude, target_level.",
        ),
    ] = None,
    write: Annotated[bool, typer.Option("--write", help="Make a run of the changed prediction.")] = False,
    title: Annotated[str, typer.Option(help="A title of the new run, shown in lists.")] = "",
    on: On = "here",
    background: Background = False,
    after: After = None,
    as_json: Json = False,
) -> None:
    """Show what a prediction would score on validation perturbations if it were changed after its fit.

    The test part of the run takes no part. With --write the changed prediction becomes a run of its own.
    """
    from vccapp.commands import parse_assignments
    from vccapp.models.calibration.setting import Setting
    from vccapp.registry import make_spec
    from vccapp.tasks.calibrate import Calibrate

    settings = open_settings()
    record = find_finished_run(run, settings)
    fellows = _find_fellows(record, with_ or [])
    setting = make_spec(Setting, parse_assignments(set_ or []), name="calibrate")
    if write:
        task = Calibrate(
            dataset=record.spec.dataset,
            run_id=record.id,
            fellows=[fellow.id for fellow in fellows],
            setting=setting.changed,
            run_title=title,
            on=on,
        )
        task.check(settings)
        result = run_job(settings, task, on=on, background=background, after=after, as_json=as_json)
        made = find_run(result.run, settings)
        show(made.model_dump(mode="json"), lambda: format_run(made), as_json=as_json)
        return
    from vccapp.evaluation.calibration.curves import draw_curves
    from vccapp.training.choosing.calibrate import find_held_out, open_pool

    held_out = find_held_out(record, fellows)
    index = open_index(record.spec.dataset, settings)
    opened = open_pool(index, held_out)
    curves = draw_curves(opened.pool, setting, opened.references)
    value = {
        "run": record.id,
        "with": [fellow.id for fellow in fellows],
        **mark_about(index.meta["context_ignored"]),
        "perturbations": held_out.labels,
        "setting": setting.model_dump(),
        "scores": curves.scores.to_dict("records"),
        "choices": curves.choices.to_dict("records"),
        "curves": curves.values.to_dict("records"),
        "warnings": curves.warnings,
    }
    show(value, lambda: _format(curves, held_out.describe()), as_json=as_json)


def _find_fellows(run: "RunRecord", names: list[str]) -> "list[RunRecord]":
    """Other runs by id, or all that there are."""
    from vccapp.training import list_runs, load_run
    from vccapp.training.choosing.calibrate import find_fellows

    settings = open_settings()
    return find_fellows(run, list_runs(settings)) if names == [ALL] else [load_run(name, settings) for name in names]


def _format(curves: "Curves", about: str) -> str:
    tables = [
        format_table(frame.astype(object).where(frame.notna(), None).to_dict("records"), list(frame.columns))
        for frame in (curves.scores, curves.choices)
    ]
    return "\n\n".join([format_lines([about, *curves.warnings]), *tables])
