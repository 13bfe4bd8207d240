"""`vccapp submit build|package|check|mend`: cells made, checked, mended and packaged, ours and those of others."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vccapp.cli.following import EXIT_FAILED, After, Background, On, end_progress, run_job, show_progress
from vccapp.cli.names import find_dataset, ignored_context, mark_about, open_settings
from vccapp.cli.output import Json, format_fields, format_lines, show, tell
from vccapp.cli.submit.options import Counts, Dataset, GeneList, MendTo, PhaseName, Practice, SeasonName
from vccapp.errors import SpecError

if TYPE_CHECKING:
    from vccapp.settings import Settings
    from vccapp.tasks.mend import Mend


def build(
    plan: Annotated[str, typer.Argument(help="Id of the submission.", show_default=False)],
    on: On = "here",
    background: Background = False,
    after: After = None,
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
    result = run_job(settings, task, on=on, background=background, after=after, as_json=as_json)
    folder = settings.submissions / found.id
    value = result.report | {"folder": str(folder)} | mark_about(ignored)
    show(value, lambda: _format_report(value, folder), as_json=as_json)


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
    dataset: Dataset = None,
    mend: MendTo = None,
    on: On = "here",
    background: Background = False,
    after: After = None,
    as_json: Json = False,
) -> None:
    """Check cells that exist already and package them; of a submission, as its plan says."""
    from vccapp.seasons.opened import find_season
    from vccapp.submission.plan import load_plan
    from vccapp.tasks.mend import Mend
    from vccapp.tasks.package import Package
    from vccapp.tasks.package_file import PackageFile

    settings = open_settings()
    path = Path(file)
    inside = path.name == "pred.h5ad" and path.resolve().parent.parent == settings.submissions
    if mend is not None and (inside or path.suffix != ".h5ad"):
        raise SpecError("cannot_mend", "--mend is of files made elsewhere", fix="build the submission again")
    if path.suffix == ".h5ad" and not inside:
        suffix = find_season(season, settings).container.suffix
        output = path.with_suffix(suffix if suffix != path.suffix else f".packed{suffix}") if output is None else output
        held = _held(dataset, settings, season=season, phase=phase, genes=genes, counts=counts, practice=practice)
        if mend is not None:
            path = _mended(Mend(path=path, output=mend, **held), settings, path)
        own = PackageFile(path=path, output=output, **held)
        value = own.run(settings, show_progress).model_dump()
        end_progress()
        show(value, lambda: _format_package(value["package"], value["checks"]), as_json=as_json)
        return
    found = load_plan(path.resolve().parent.name if inside else file, settings)
    job = Package(dataset=found.datasets[0], plan=found.id)
    result = run_job(settings, job, on=on, background=background, after=after, as_json=as_json)
    folder = settings.submissions / found.id
    report = result.report | {"folder": str(folder)}
    show(report, lambda: _format_report(report, folder), as_json=as_json)


def check(
    file: Annotated[Path, typer.Argument(help="An .h5ad or .vcc file, made here or elsewhere.", show_default=False)],
    season: SeasonName = "vcc2025",
    phase: PhaseName = None,
    genes: GeneList = None,
    counts: Counts = None,
    practice: Practice = False,
    dataset: Dataset = None,
    mend: MendTo = None,
    as_json: Json = False,
) -> None:
    """Check a prediction file by the rules of a season; exit code 1 when a check fails."""
    from vccapp.tasks.check import Check
    from vccapp.tasks.mend import Mend

    settings = open_settings()
    held = _held(dataset, settings, season=season, phase=phase, genes=genes, counts=counts, practice=practice)
    if mend is not None:
        file = _mended(Mend(path=file, output=mend, **held), settings, file)
    task = Check(path=file, **held)
    value = task.run(settings, show_progress).checks
    end_progress()
    show(value, lambda: _format_checks(value), as_json=as_json)
    if any(result["status"] == "failed" for result in value):
        raise typer.Exit(EXIT_FAILED)


def official(
    file: Annotated[Path, typer.Argument(help="An .h5ad or .vcc file, made here or elsewhere.", show_default=False)],
    season: SeasonName = "vcc2025",
    phase: PhaseName = None,
    genes: GeneList = None,
    as_json: Json = False,
) -> None:
    """Ask the season's official packager about a file, where it is installed; exit code 1 when it refuses."""
    from vccapp.tasks.official import Official

    settings, task = open_settings(), Official(path=file, season=season, phase=phase, genes=genes)
    verdict = task.run(settings, show_progress)
    end_progress()
    said = f"{'accepted' if verdict.accepted else 'refused'} by {verdict.tool}: {verdict.said}"
    show(verdict.model_dump(mode="json"), lambda: format_lines([said]), as_json=as_json)
    if not verdict.accepted:
        raise typer.Exit(EXIT_FAILED)


def mend(
    file: Annotated[Path, typer.Argument(help="An .h5ad or .vcc file, made here or elsewhere.", show_default=False)],
    output: Annotated[Path, typer.Argument(help="The .h5ad to write.", show_default=False)],
    season: SeasonName = "vcc2025",
    phase: PhaseName = None,
    genes: GeneList = None,
    counts: Counts = None,
    practice: Practice = False,
    only: Annotated[
        list[str] | None, typer.Option(help="Do this mend alone, by its name in the checks. Repeat it for several.")
    ] = None,
    dataset: Annotated[
        str | None,
        typer.Option(help="Data whose control cells are added, or fill missing genes: path, fingerprint or title."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, max=2**63 - 1, help="Random seed for drawing cells.")] = 0,
    as_json: Json = False,
) -> None:
    """Write a prediction anew with what its checks ask for put right, if that is safe; exit code 1 when some fail."""
    from vccapp.tasks.mend import Mend

    settings = open_settings()
    task = Mend(
        dataset="" if dataset is None else find_dataset(dataset, settings).fingerprint,
        path=file,
        output=output,
        season=season,
        phase=phase,
        genes=genes,
        counts=counts,
        practice=practice,
        only=tuple(only or ()),
        seed=seed,
    )
    value = task.run(settings, show_progress).model_dump()
    end_progress()
    show(value, lambda: _format_mended(value), as_json=as_json)
    if any(result["status"] == "failed" for result in value["checks"]):
        raise typer.Exit(EXIT_FAILED)


def _held(dataset: str | None, settings: "Settings", **given: Any) -> dict[str, Any]:
    """What a task on a file holds it against (`FileTask`), the training data by their fingerprint."""
    return {"dataset": "" if dataset is None else find_dataset(dataset, settings).fingerprint, **given}


def _mended(task: "Mend", settings: "Settings", file: Path) -> Path:
    """The mended file; the file itself where there is nothing to mend."""
    try:
        found = task.run(settings, show_progress)
    except SpecError as error:
        if error.code != "nothing_to_mend":
            raise
        return file
    end_progress()
    for step in found.steps:
        tell(f"mended  {step['message']}")
    return task.output


def _format_mended(value: dict[str, Any]) -> str:
    lines = [f"mended  {step['label']}: {step['message']}" for step in value["steps"]]
    lines += [f"not     {step['label']}: {step['message']}" for step in value["refused"]]
    return (
        format_fields({"file": value["path"]}) + "\n" + format_lines(lines) + "\n\n" + _format_checks(value["checks"])
    )


def _format_report(report: dict[str, Any], folder: Path) -> str:
    from vccapp.evaluation.confidence import describe_confidence

    fields = {"submission": report["id"], "kind": report["kind"]}
    if told := describe_confidence(report["confidence"]):
        fields["confidence"] = told
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
        lines += [f"{'':8}{found[name]}" for name in ("fix", "stricter") if found.get(name)]
        if found.get("mend"):
            lines.append(f"{'':8}vccapp submit mend does it ({found['mend']}).")
    return format_lines(lines)
