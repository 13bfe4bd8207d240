"""`vccapp submit plan|show|compare|list|delete`: submissions before and after they are built."""

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vccapp.cli.following import EXIT_FAILED
from vccapp.cli.names import find_dataset, find_finished_run, open_index, open_settings
from vccapp.cli.output import Json, format_fields, format_lines, format_table, show, show_list
from vccapp.cli.submit.options import Counts, GeneList, PhaseName, Practice, SeasonName
from vccapp.errors import SpecError, VccAppError
from vccapp.wording import bytes_text, duration_text

if TYPE_CHECKING:
    from vccapp.settings import Settings
    from vccapp.submission.plan import Plan
    from vccapp.submission.planning.choice import SourceChoice


class TargetsName(StrEnum):
    season = "season"
    heldout = "heldout"


class SpaceName(StrEnum):
    log1p = "log1p"
    counts = "counts"


class CellsByName(StrEnum):
    thin = "thin"
    negative_binomial = "negative_binomial"


class SharingName(StrEnum):
    advised = "advised"
    equal = "equal"
    effect = "effect"


def plan(
    context_of_command: typer.Context,
    run: Annotated[
        str, typer.Option(help="Id of the run that predicts, or 'latest' for the newest finished one.")
    ] = "latest",
    season: SeasonName = "vcc2025",
    phase: PhaseName = None,
    targets: Annotated[
        TargetsName | None,
        typer.Option(
            help="Whose targets: the season's own, or those that the run holds out (practice). Default: the season's "
            "where the data have its genes."
        ),
    ] = None,
    counts: Counts = None,
    space: Annotated[SpaceName | None, typer.Option(help="Values of the cells; default: the season's first.")] = None,
    context: Annotated[
        str | None, typer.Option(help="Context of the data that it is of, where there are several.")
    ] = None,
    source: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CONTEXT=DATASET[@THEIRS]:RUN",
            help="Data whose controls a context of the season is made from, and the run that predicts it. Repeat it; "
            "a context without one takes --run and its data.",
        ),
    ] = None,
    controls: Annotated[
        int | None, typer.Option(help="Control cells to copy; default: all that fit, else 5 to 10 % of the budget.")
    ] = None,
    predict_controls: Annotated[
        bool,
        typer.Option("--predict-controls", help="Controls that the model makes, not copies: this changes the scores."),
    ] = False,
    cells_by: Annotated[
        CellsByName, typer.Option(help="How counts are made: real control cells thinned, or drawn.")
    ] = CellsByName.thin,
    sharing: Annotated[
        SharingName,
        typer.Option(help="How cells are shared out: as advised, equally, or by the run's predicted effects."),
    ] = SharingName.advised,
    cells_of: Annotated[
        list[str] | None, typer.Option(metavar="TARGET=N", help="Cells of one target. Repeat it for several.")
    ] = None,
    genes: GeneList = None,
    practice: Practice = False,
    seed: Annotated[int, typer.Option(min=0, max=2**63 - 1, help="Random seed for drawing control cells.")] = 0,
    name: Annotated[str | None, typer.Option(help="Id of the submission; generated if not given.")] = None,
    like: Annotated[
        str | None,
        typer.Option(help="Id of a submission whose plan is taken, but for --run; no other option than --name then."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Decide the cells of a submission and what building it takes; by default of the season's own targets."""
    from vccapp.submission.plan import write_plan
    from vccapp.submission.planning.choice import PlanChoice

    settings = open_settings()
    if like is not None:
        made = _plan_like(like, run, name, settings, given=_given_options(context_of_command))
        path = write_plan(made, settings)
        value = describe_plan(made, settings) | {"path": str(path)}
        show(value, lambda: _format_plan(made, value), as_json=as_json)
        return
    choice = PlanChoice(
        run=find_finished_run(run, settings).id,
        season=season,
        phase=phase,
        targets=None if targets is None else targets.value,
        counts=counts,
        space=None if space is None else space.value,
        context=context,
        sources=dict(_parse_source(text, settings) for text in source or ()),
        controls=controls,
        predict_controls=predict_controls,
        cells_by=cells_by.value,
        sharing=sharing.value,
        cells_of=dict(map(_parse_cells, cells_of or ())),
        genes=genes,
        practice=practice,
        seed=seed,
        name=name or "",
    )
    made = choice.make(settings)
    path = write_plan(made, settings)
    value = describe_plan(made, settings) | {"path": str(path)}
    show(value, lambda: _format_plan(made, value), as_json=as_json)


def _given_options(command: typer.Context) -> set[str]:
    """Names of the parameters that the command line gives."""
    sources = {name: command.get_parameter_source(name) for name in command.params}
    return {name for name, source in sources.items() if source is not None and source.name == "COMMANDLINE"}


def _plan_like(like: str, run: str, name: str | None, settings: "Settings", *, given: set[str]) -> "Plan":
    """given : options of the command; those that would change more than the run are refused"""
    from vccapp.submission.plan import load_plan
    from vccapp.submission.planning.like import plan_like

    if given - {"like", "run", "name", "as_json"}:
        raise SpecError("like_alone", "With --like nothing but the run may differ", fix="give --run and --name alone")
    return plan_like(load_plan(like, settings), find_finished_run(run, settings).id, settings, id=name)


def describe_plan(plan: "Plan", settings: "Settings") -> dict[str, Any]:
    """For JSON: its fields, and what they mean before a cell exists."""
    from vccapp.seasons.opened import find_season
    from vccapp.submission.planning.numbers import list_limits
    from vccapp.submission.planning.times import estimate_build, estimate_scoring

    limits = [
        {"what": limit.what, "planned": limit.planned, "allowed": limit.allowed, "kept": limit.kept}
        for limit in list_limits(plan, find_season(plan.season, settings))
    ]
    season = find_season(plan.season, settings)
    meaning = {
        "estimate": plan.estimate.model_dump(),
        "limits": limits,
        "seconds": {"build": round(estimate_build(plan)), "score": round(estimate_scoring(plan, season))},
        "power": _power_of(plan, settings),
    }
    return plan.model_dump(mode="json") | meaning


def _power_of(plan: "Plan", settings: "Settings") -> dict[str, float] | None:
    """By label, rounded; None where the data are gone or hold no counts."""
    from vccapp.submission.planning.power import plan_power

    try:
        found = plan_power(plan, lambda dataset: open_index(dataset, settings))
    except VccAppError:  # whoever builds will say it
        return None
    return {label: round(value, 3) for label, value in found.items()} or None


def _parse_source(text: str, settings: "Settings") -> tuple[str, "SourceChoice"]:
    """`CONTEXT=DATASET[@THEIRS]:RUN`. Raises SpecError."""
    from vccapp.submission.planning.choice import SourceChoice

    context, equals, rest = text.partition("=")
    data, colon, run = rest.rpartition(":")
    if not (equals and colon and data and run):
        raise SpecError("bad_source", f"'{text}' is no source", fix="write CONTEXT=DATASET:RUN")
    dataset, _, own = data.partition("@")
    record = find_finished_run(run, settings)
    found = find_dataset(dataset, settings)
    return context, SourceChoice(dataset=found.fingerprint, data_context=own or None, run=record.id)


def _parse_cells(text: str) -> tuple[str, int]:
    """`TARGET=N`. Raises SpecError."""
    target, _, number = text.rpartition("=")
    if not target or not number.isdecimal() or len(number) > 9:
        raise SpecError("bad_cells", f"'{text}' gives no number of cells", fix="write TARGET=N, as MYC=250")
    return target, int(number)


def show_(
    id: Annotated[str, typer.Argument(help="Id of the submission.", show_default=False)], as_json: Json = False
) -> None:
    """Show a planned submission: its cells, limits and what building it takes."""
    from vccapp.submission.plan import load_plan

    settings = open_settings()
    found = load_plan(id, settings)
    value = describe_plan(found, settings)
    show(value, lambda: _format_plan(found, value), as_json=as_json)


def compare(
    ids: Annotated[list[str], typer.Argument(help="Ids of two submissions or more.", show_default=False)],
    as_json: Json = False,
) -> None:
    """Compare plans: what differs in their choices, then in their cells."""
    from vccapp.submission.plan import load_plan
    from vccapp.submission.planning.compare import compare_cells, compare_plans

    settings = open_settings()
    plans = [load_plan(id, settings) for id in dict.fromkeys(ids)]
    if len(plans) < 2:
        raise SpecError("one_plan", "There is one plan to compare", fix="name two different ones")
    tables = {"choices": compare_plans(plans), "cells": compare_cells(plans)}
    value = {name: table.astype(object).where(table.notna(), None) for name, table in tables.items()}
    rows = {name: table.to_dict("records") for name, table in value.items()}
    text = "\n\n".join(format_table(rows[name], [str(c) for c in table]) for name, table in value.items())
    show(rows, lambda: text, as_json=as_json)


def delete(
    id: Annotated[str, typer.Argument(help="Id of the submission.", show_default=False)],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: Json = False,
) -> None:
    """Delete a submission: its plan, cells, checks and package. The ledger keeps what made it."""
    from vccapp.submission.ledger.entry import delete_kept

    settings = open_settings()
    if not yes and not typer.confirm(f"Delete '{id}' and its files?", err=True):
        raise typer.Exit(EXIT_FAILED)
    freed = delete_kept(id, settings)
    show(
        {"deleted": id, "freed_bytes": freed},
        lambda: f"{id} is deleted; {bytes_text(freed)} are free again.",
        as_json=as_json,
    )


def list_(as_json: Json = False) -> None:
    """List the submissions, planned and built."""
    from vccapp.submission.plan import list_plans
    from vccapp.submission.report import list_reports

    settings = open_settings()
    plans, reports = list_plans(settings), list_reports(settings)
    built = {report.folder.name: report for report in reports}

    def row(plan: "Plan") -> dict[str, Any]:
        report = built.get(plan.id)
        package = None if report is None else report.package
        return {
            "id": plan.id,
            "run": ", ".join(plan.runs),
            "season": plan.season,
            "practice": plan.practice,
            "cells": plan.estimate.n_cells,
            "built": None if report is None else report.built,
            "package": None if package is None else str(settings.submissions / plan.id / package.path),
        }

    rows = [row(plan) for plan in plans]
    unreadable = [*plans.unreadable, *reports.unreadable]
    columns = ("id", "run", "season", "practice", "cells", "built", "package")
    show_list("submissions", rows, unreadable, lambda: format_table(rows, columns), as_json=as_json)


def _format_plan(plan: "Plan", described: dict[str, Any]) -> str:
    estimate, power = plan.estimate, described["power"] or {}
    fields = {
        "submission": plan.id,
        "run": ", ".join(plan.runs),
        "season": f"{plan.season}, {plan.phase or 'no phase'}" + (" (practice)" if plan.practice else ""),
        "values": plan.space,
        "genes": plan.n_genes,
        "controls": plan.n_controls,
        "predicted": sum(plan.cells.values()),
        "of wanted": f"{plan.alpha:.1%}",
        "h5ad": f"{estimate.h5ad_bytes / 1e6:,.1f} MB",
        "vcc": f"about {estimate.vcc_bytes / 1e6:,.1f} MB",
        "memory": f"about {estimate.memory_bytes / 1e9:,.2f} GB",
        "time": f"about {duration_text(described['seconds']['build'])} to build, "
        f"{duration_text(described['seconds']['score'])} to score",
    }
    rows = [
        {"perturbation": label, "cells": n, "wanted": plan.wanted[label], "power": power.get(label)}
        for label, n in plan.cells.items()
    ]
    lines = [f"practice: {reason}" for reason in plan.reasons] + [f"note: {note}" for note in plan.notes]
    parts = [format_fields(fields), *([format_lines(lines)] if lines else [])]
    return "\n".join(parts) + "\n\n" + format_table(rows, ("perturbation", "cells", "wanted", "power"))
