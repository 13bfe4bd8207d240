"""`vccapp train`: start, watch and stop the training of models."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vccapp.cli.following import After, Background, On, run_job
from vccapp.cli.names import absolute_split, ignored_context, open_index, open_settings
from vccapp.cli.output import Json, format_lines, show, tell
from vccapp.cli.runs import listing, steering
from vccapp.cli.runs.options import Devices, format_run, parse_devices
from vccapp.commands import parse_assignments

if TYPE_CHECKING:
    from vccapp.settings import Settings
    from vccapp.training import RunSpec

app = typer.Typer(help="Training: start, watch, stop and resume runs.", no_args_is_help=True)
PresetName = Annotated[
    str,
    typer.Option(help="Parameters that go together: quick, paper or strong; --set counts more.", show_default=False),
]
Loss = Annotated[
    str, typer.Option(help="C1, C2, C3 or C4, each with one term more, or an expression of losses.", show_default=False)
]


@app.command()
def start(
    model: Annotated[str, typer.Argument(help="Name of the model; see `vccapp train models`.", show_default=False)],
    split: Annotated[str, typer.Option(help="Name or path of the split, which also determines the dataset.")],
    set_: Annotated[list[str] | None, typer.Option("--set", help="A model parameter, NAME=VALUE; repeatable.")] = None,
    preset: PresetName = "",
    loss: Loss = "",
    seed: Annotated[int, typer.Option(min=0, max=2**63 - 1, help="Random seed; the same seed gives the same run.")] = 0,
    title: Annotated[str, typer.Option(help="A title, shown in lists.")] = "",
    devices: Devices = None,
    on: On = "here",
    background: Background = False,
    after: After = None,
    as_json: Json = False,
) -> None:
    """Train a model on a split."""
    from vccapp.tasks.train import Train
    from vccapp.training import check_run, load_run
    from vccapp.training.choosing.presets import choose_params
    from vccapp.training.fit import count_ranks, estimate_fit

    settings = open_settings()
    params = choose_params(model, preset=preset, loss=loss, own=parse_assignments(set_ or []))
    spec = make_run_spec(model, split, params, seed=seed, title=title, settings=settings, devices=devices)
    task = Train.of(spec, devices=parse_devices(devices))
    shared = task.shared_by(settings)
    index, opened, unfitted = check_run(spec, shared)  # refuses here what the job would refuse
    estimate = estimate_fit(unfitted, index, opened, shared, ranks=count_ranks(unfitted, shared))
    tell(estimate.describe())
    ignored_context(spec.dataset, settings)
    result = run_job(settings, task, on=on, background=background, after=after, as_json=as_json)
    run = load_run(result.run, settings)
    show(run.model_dump(mode="json"), lambda: format_run(run), as_json=as_json)


# The older words for what `vccapp runs` does.
app.command()(steering.resume)
app.command()(steering.stop)
app.command("status")(listing.show_)
app.command()(listing.logs)
app.command("list")(listing.list_)


@app.command()
def models(
    split: Annotated[
        str, typer.Option(help="Also say which to try first on this split, and how each did.", show_default=False)
    ] = "",
    as_json: Json = False,
) -> None:
    """List the models in the order of their use, with their presets and parameters."""
    from vccapp.models.base import MODELS, list_trainable
    from vccapp.training.choosing.measured import describe_measured, load_measured

    here, first = _look_here(split) if split else ({}, None)
    value = [
        {
            "name": name,
            "label": model.label,
            "use": model.use,
            "purpose": model.purpose,
            "description": model.description,
            "measured": describe_measured(name, load_measured()),
            "presets": {key: asdict(preset) for key, preset in model.presets.items()},
            "parameters": model.Spec.model_json_schema().get("properties", {}),
        }
        | ({"here": here.get(name, ""), "first": first == name} if split else {})
        for name, model in ((name, MODELS[name]) for name in list_trainable())
    ]
    show(value, lambda: format_lines(line for model in value for line in _model_lines(model)), as_json=as_json)


def _look_here(split: str) -> "tuple[dict[str, str], str]":
    """How the best run of each model did on a split, and the model to try first there, which is told."""
    from vccapp.data.splits.split import load_split
    from vccapp.models.base import MODELS, list_trainable
    from vccapp.training import list_runs
    from vccapp.training.choosing.advice import advise
    from vccapp.training.choosing.coverage import measure_coverage
    from vccapp.training.choosing.here import describe_best, find_best

    settings = open_settings()
    opened, runs = load_split(split, settings), list_runs(settings)
    found = {name: find_best(name, runs, opened) for name in list_trainable()}
    coverage = measure_coverage("default", open_index(opened.dataset, settings), opened)
    advice = advise(opened, coverage)
    tell(f"Try first: {MODELS[advice.model].label}. {advice.reason}")
    return {name: describe_best(best) for name, best in found.items() if best}, advice.model


def _model_lines(model: dict[str, Any]) -> list[str]:
    from vccapp.models.base import MODELS
    from vccapp.parameters import describe_limits, groups_of

    spec = MODELS[model["name"]].Spec
    said = (model["purpose"], model["description"], model["measured"], model.get("here", ""))
    lines = [f"{model['name']}: {' '.join(text for text in said if text)}"]
    for name, preset in model["presets"].items():
        values = ", ".join(f"{field}={value}" for field, value in preset["values"].items()) or "the defaults"
        lines.append(f"    --preset {name}: {values}. {preset['purpose']} Source: {preset['source']}.")
    for heading, names in groups_of(spec).items():
        lines += [f"  {heading}"] if heading and names else []
        for name in names:
            schema = model["parameters"][name]
            limits = f" {describe_limits(spec, name)}." if describe_limits(spec, name) else ""
            lines.append(f"    {name} (default {schema.get('default')}): {schema.get('description', '')}{limits}")
    return lines


def make_run_spec(
    model: str,
    split: str,
    params: dict[str, Any],
    *,
    settings: "Settings",
    title: str,
    devices: str | None,
    seed: int = 0,
) -> "RunSpec":
    """Raises SpecError for a model that is not trained, or not by several processes where they are asked for."""
    from vccapp.data.splits.split import load_split
    from vccapp.errors import SpecError
    from vccapp.models.base import MODELS
    from vccapp.training import RunSpec

    if not MODELS[model].trainable:
        raise SpecError(
            "not_trainable",
            f"'{model}' is not trained",
            fix="runs of it are made by `vccapp eval import` or `vccapp eval calibrate`",
        )
    if devices not in (None, "1") and not MODELS[model].shared:
        raise SpecError(
            "one_process_only",
            f"'{model}' uses a single process",
            fix="leave out --devices",
        )
    return RunSpec(
        model=model,
        params=params,
        dataset=load_split(split, settings).dataset,
        split=absolute_split(split),
        seed=seed,
        title=title,
    )
