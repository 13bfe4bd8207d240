"""`vccapp submit`: plan, build, check and package a submission."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vccapp.cli.following import EXIT_FAILED, Background, end_progress, run_job, show_progress
from vccapp.cli.names import find_dataset, find_finished_run, ignored_context, mark_about, open_settings
from vccapp.cli.output import Json, format_fields, format_lines, format_table, show, show_list
from vccapp.errors import SpecError

if TYPE_CHECKING:
    from vccapp.settings import Settings
    from vccapp.submission.plan import Plan
    from vccapp.submission.planning.choice import SourceChoice

app = typer.Typer(help="Submissions: plan, build, check and package.", no_args_is_help=True)
SeasonName = Annotated[str, typer.Option(help="Name of the challenge.")]
PhaseName = Annotated[
    str | None, typer.Option(help="Phase of the season; default: its last one, of a file that its targets are of.")
]
GeneList = Annotated[Path | None, typer.Option(help="The challenge's gene list; default: the genes of the dataset.")]
Counts = Annotated[Path | None, typer.Option(help="The challenge's pert_counts CSV: target_gene, n_cells.")]
Practice = Annotated[bool, typer.Option("--practice", help="Practice: allow other genes than the challenge's.")]


class TargetsName(StrEnum):
    season = "season"
    heldout = "heldout"


class SpaceName(StrEnum):
    log1p = "log1p"
    counts = "counts"


class SharingName(StrEnum):
    advised = "advised"
    equal = "equal"
    effect = "effect"


@app.command()
def plan(
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
    as_json: Json = False,
) -> None:
    """Decide the cells of a submission and what building it takes; by default of the season's own targets."""
    from vccapp.submission.plan import write_plan
    from vccapp.submission.planning.choice import PlanChoice

    settings = open_settings()
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
        sharing=sharing.value,
        cells_of=dict(map(_parse_cells, cells_of or ())),
        genes=genes,
        practice=practice,
        seed=seed,
        name=name or "",
    )
    made = choice.make(settings)
    path = write_plan(made, settings)
    show(describe_plan(made, settings) | {"path": str(path)}, lambda: _format_plan(made), as_json=as_json)


def describe_plan(plan: "Plan", settings: "Settings") -> dict[str, Any]:
    """For JSON: its fields, and what they mean before a cell exists."""
    from vccapp.seasons.opened import find_season
    from vccapp.submission.planning.numbers import list_limits

    limits = [
        {"what": limit.what, "planned": limit.planned, "allowed": limit.allowed, "kept": limit.kept}
        for limit in list_limits(plan, find_season(plan.season, settings))
    ]
    return plan.model_dump(mode="json") | {"estimate": plan.estimate.model_dump(), "limits": limits}


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


@app.command()
def build(
    plan: Annotated[str, typer.Argument(help="Id of the submission.", show_default=False)],
    background: Background = False,
    as_json: Json = False,
) -> None:
    """Generate, check and package a planned submission."""
    from vccapp.data.reading.ignored import name_ignored
    from vccapp.submission.plan import load_plan
    from vccapp.tasks.build import Build

    settings = open_settings()
    found = load_plan(plan, settings)
    ignored = name_ignored(ignored_context(dataset, settings) for dataset in found.datasets)
    task = Build(dataset=found.datasets[0], plan=found.id)
    result = run_job(settings, task, background=background, as_json=as_json)
    folder = settings.submissions / found.id
    value = result.report | {"folder": str(folder)} | mark_about(ignored)
    show(value, lambda: _format_report(value, folder), as_json=as_json)


@app.command()
def package(
    file: Annotated[
        str, typer.Argument(help="An .h5ad file, or the id of a submission whose cells are made.", show_default=False)
    ],
    output: Annotated[Path | None, typer.Option(help="The .vcc to write; default: beside the file.")] = None,
    season: SeasonName = "vcc2025",
    phase: PhaseName = None,
    genes: GeneList = None,
    counts: Counts = None,
    practice: Practice = False,
    background: Background = False,
    as_json: Json = False,
) -> None:
    """Check cells that exist already and package them; of a submission, as its plan says."""
    from vccapp.submission.plan import load_plan
    from vccapp.tasks.package import Package
    from vccapp.tasks.package_file import PackageFile

    settings = open_settings()
    path = Path(file)
    inside = path.name == "pred.h5ad" and path.resolve().parent.parent == settings.submissions
    if path.suffix == ".h5ad" and not inside:
        own = PackageFile(
            path=path,
            output=path.with_suffix(".vcc") if output is None else output,
            season=season,
            phase=phase,
            genes=genes,
            counts=counts,
            practice=practice,
        )
        value = own.run(settings, show_progress).model_dump()
        end_progress()
        show(value, lambda: _format_package(value["package"], value["checks"]), as_json=as_json)
        return
    found = load_plan(path.resolve().parent.name if inside else file, settings)
    task = Package(dataset=found.datasets[0], plan=found.id)
    result = run_job(settings, task, background=background, as_json=as_json)
    folder = settings.submissions / found.id
    report = result.report | {"folder": str(folder)}
    show(report, lambda: _format_report(report, folder), as_json=as_json)


@app.command("list")
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


@app.command()
def check(
    file: Annotated[Path, typer.Argument(help="An .h5ad or .vcc file, made here or elsewhere.", show_default=False)],
    season: SeasonName = "vcc2025",
    phase: PhaseName = None,
    genes: GeneList = None,
    counts: Counts = None,
    practice: Practice = False,
    as_json: Json = False,
) -> None:
    """Check a prediction file by the rules of a season; exit code 1 when a check fails."""
    from vccapp.tasks.check import Check

    task = Check(path=file, season=season, phase=phase, genes=genes, counts=counts, practice=practice)
    value = task.run(open_settings(), show_progress).checks
    end_progress()
    show(value, lambda: _format_checks(value), as_json=as_json)
    if any(result["status"] == "failed" for result in value):
        raise typer.Exit(EXIT_FAILED)


def _format_plan(plan: "Plan") -> str:
    estimate = plan.estimate
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
    }
    rows = [{"perturbation": label, "cells": n, "wanted": plan.wanted[label]} for label, n in plan.cells.items()]
    lines = [f"practice: {reason}" for reason in plan.reasons] + [f"note: {note}" for note in plan.notes]
    parts = [format_fields(fields), *([format_lines(lines)] if lines else [])]
    return "\n".join(parts) + "\n\n" + format_table(rows, ("perturbation", "cells", "wanted"))


def _format_report(report: dict[str, Any], folder: Path) -> str:
    fields = {"submission": report["id"], "kind": report["kind"]}
    package = report["package"] | {"path": folder / report["package"]["path"]}
    return format_fields(fields) + "\n" + _format_package(package, report["checks"])


def _format_package(package: dict[str, Any], checks: list[dict[str, str]]) -> str:
    fields = {"file": package["path"], "size": f"{package['size'] / 1e6:,.1f} MB", "sha256": package["sha256"]}
    return format_fields(fields) + "\n\n" + _format_checks(checks)


def _format_checks(checks: list[dict[str, str]]) -> str:
    """One line a check, and how to go on below those that are not well."""
    lines = []
    for found in checks:
        lines.append(f"{found['status']:8}{found['label']}: {found['message']}")
        if found["fix"]:
            lines.append(f"{'':8}{found['fix']}")
    return format_lines(lines)
