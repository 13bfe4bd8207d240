"""`vccapp state`: the official program of STATE: install it, train by it, use what it has trained."""

import shlex
from pathlib import Path
from typing import Annotated, Any

import typer

from vccapp.cli.following import After, Background, run_job
from vccapp.cli.names import absolute_split, ignored_context, open_settings
from vccapp.cli.output import Json, format_fields, format_lines, show, tell
from vccapp.cli.runs.options import format_run
from vccapp.commands import parse_assignments

app = typer.Typer(help="STATE's official program: install, train, predict.", no_args_is_help=True)
SplitName = Annotated[str, typer.Option(help="Name or path of the split, which also determines the dataset.")]
Parameters = Annotated[list[str] | None, typer.Option("--set", help="A parameter, NAME=VALUE; repeatable.")]
Seed = Annotated[int, typer.Option(min=0, max=2**63 - 1, help="Random seed; the same seed gives the same run.")]
Title = Annotated[str, typer.Option(help="A title, shown in lists.")]


@app.command()
def install(background: Background = False, after: After = None, as_json: Json = False) -> None:
    """Install the package arc-state in an environment of its own in the workspace."""
    from vccapp.neural.arc_state.install import TIME, needs_disk, packages
    from vccapp.tasks.install_state import InstallState
    from vccapp.wording import bytes_text

    settings = open_settings()
    task = InstallState()
    task.check(settings)
    tell(f"Installing {' and '.join(packages())}: {bytes_text(needs_disk())} of disk, {TIME}.")
    result = run_job(settings, task, background=background, after=after, as_json=as_json)
    fields = {"folder": result.folder, **result.versions}
    show(result.model_dump(mode="json"), lambda: format_fields(fields), as_json=as_json)


@app.command("show")
def show_(as_json: Json = False) -> None:
    """Show where the official program is, and its versions."""
    from vccapp.neural.arc_state.program import find_program

    program = find_program(open_settings())
    fields = {"program": str(program.command), "installed": program.installed, "versions": dict(program.versions)}
    text = {"program": program.command, **program.versions}
    show(fields, lambda: format_fields(text), as_json=as_json)


@app.command()
def train(
    split: SplitName,
    set_: Parameters = None,
    seed: Seed = 0,
    title: Title = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show the commands that would run.")] = False,
    background: Background = False,
    after: After = None,
    as_json: Json = False,
) -> None:
    """Train by `state tx train` and predict by `state tx infer`: the same as `vccapp train start state_official`."""
    _start(
        split,
        parse_assignments(set_ or []),
        seed,
        title,
        dry_run=dry_run,
        background=background,
        after=after,
        as_json=as_json,
    )


@app.command("open")
def open_(
    folder: Annotated[Path, typer.Argument(help="What `state tx train` wrote: output_dir/name.", show_default=False)],
    split: SplitName,
    yes: Annotated[
        bool, typer.Option("--yes", help="Let the program read the folder's pickles, which may run any code.")
    ] = False,
    set_: Parameters = None,
    seed: Seed = 0,
    title: Title = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show the commands that would run.")] = False,
    background: Background = False,
    after: After = None,
    as_json: Json = False,
) -> None:
    """Predict by a network that the official program has trained before; nothing is trained."""
    from vccapp.errors import SpecError

    if not (yes or dry_run):
        raise SpecError(
            "untrusted_checkpoint",
            f"The files of {folder} are pickles, which the official program reads in full: they may run any code",
            fix="add --yes if you trust who made them",
        )
    params = parse_assignments(set_ or []) | {"folder": str(folder.absolute()), "trusted": True}
    _start(
        split, params, seed, title or folder.name, dry_run=dry_run, background=background, after=after, as_json=as_json
    )


def _start(
    split: str,
    params: dict[str, Any],
    seed: int,
    title: str,
    *,
    dry_run: bool,
    background: bool,
    after: After,
    as_json: bool,
) -> None:
    from vccapp.data.splits.split import load_split
    from vccapp.models.state_official import StateOfficial
    from vccapp.neural.arc_state.program import find_program
    from vccapp.tasks.train import Train
    from vccapp.training import RunSpec, check_run, load_run
    from vccapp.training.fit import estimate_fit

    settings = open_settings()
    spec = RunSpec(
        model=StateOfficial.name,
        params=params,
        dataset=load_split(split, settings).dataset,
        split=absolute_split(split) or split,
        seed=seed,
        title=title,
    )
    task = Train.of(spec)
    index, opened, unfitted = check_run(spec, settings)
    tell(estimate_fit(unfitted, index, opened, settings, ranks=1).describe())
    if dry_run:
        official = StateOfficial(unfitted.spec)
        commands = [shlex.join(words) for words in official.commands(find_program(settings).command, seed=seed)]
        show({"commands": commands, "run": task.command()}, lambda: format_lines(commands), as_json=as_json)
        return
    ignored_context(spec.dataset, settings)
    result = run_job(settings, task, background=background, after=after, as_json=as_json)
    run = load_run(result.run, settings)
    show(run.model_dump(mode="json"), lambda: format_run(run), as_json=as_json)
