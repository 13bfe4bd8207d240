"""`vccapp runs stop`, `resume`, `clone`: what runs do."""

from typing import Annotated

import typer

from vccapp.cli.following import After, Background, On, run_job
from vccapp.cli.names import ignored_context, open_settings
from vccapp.cli.output import Json, show
from vccapp.cli.runs.options import Devices, RunId, format_run, parse_devices
from vccapp.commands import parse_assignments


def stop(
    runs: Annotated[list[str] | None, typer.Argument(help="Ids of runs or jobs.", show_default="latest")] = None,
    force: Annotated[bool, typer.Option("--force", help="Now, without waiting for a checkpoint.")] = False,
    as_json: Json = False,
) -> None:
    """Ask runs to stop: they write a checkpoint from which they can resume."""
    from vccapp.jobs.runs import find_entry, stop_run

    settings = open_settings()
    stopped = [stop_run(find_entry(run, settings), settings, force=force) for run in runs or ["latest"]]
    value = [job.model_dump(mode="json") for job in stopped]
    text = "\n".join(f"Run {job.params['run_id']} is {job.state}." for job in stopped)
    show(value[0] if len(value) == 1 else value, lambda: text, as_json=as_json)


def resume(
    run: RunId = "latest",
    devices: Devices = None,
    on: On = "here",
    background: Background = False,
    after: After = None,
    as_json: Json = False,
) -> None:
    """Resume a run that was stopped, killed or failed, from its last checkpoint; by as many processes as before."""
    from vccapp.jobs.runs import find_entry, plan_resume
    from vccapp.training import load_run

    settings = open_settings()
    entry = find_entry(run, settings)
    task = plan_resume(entry, settings, devices=parse_devices(devices))
    run_job(settings, task, on=on, background=background, after=after, as_json=as_json)
    ended = load_run(entry.id, settings)
    show(ended.model_dump(mode="json"), lambda: format_run(ended), as_json=as_json)


def clone(
    run: RunId,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="A parameter to change, NAME=VALUE; repeatable.")
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, max=2**63 - 1, help="Another random seed.")] = None,
    title: Annotated[str | None, typer.Option(help="Another title.")] = None,
    devices: Devices = None,
    on: On = "here",
    background: Background = False,
    after: After = None,
    as_json: Json = False,
) -> None:
    """Train again what a run trained, with changes."""
    from vccapp.jobs.runs import clone_spec, find_entry
    from vccapp.tasks.train import Train
    from vccapp.training import check_run, load_run

    settings = open_settings()
    changes = parse_assignments(set_ or [])
    spec = clone_spec(find_entry(run, settings), changes=changes, seed=seed, title=title)
    task = Train.of(spec, devices=parse_devices(devices))
    check_run(spec, task.shared_by(settings))  # refuses here what the job would refuse
    ignored_context(spec.dataset, settings)
    result = run_job(settings, task, on=on, background=background, after=after, as_json=as_json)
    made = load_run(result.run, settings)
    show(made.model_dump(mode="json"), lambda: format_run(made), as_json=as_json)
