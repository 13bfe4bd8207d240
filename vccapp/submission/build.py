"""From a plan to a checked .vcc, and checks of files made elsewhere.

report = build_submission(load_plan(id, settings), settings)
report = package_submission(load_plan(id, settings), settings)       # goes on after the cells were made

submissions/<id>/
  plan.json      what was decided
  pred.h5ad      the cells
  made.json      what they were made with
  <id>.vcc       what is uploaded; absent when a check failed
  report.json    plan, run, data, versions, checks, sizes and sha256
"""

import contextlib
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Unpack

from vccapp.data.atomic import require_new, scratch_folder
from vccapp.data.lock import hold_lock
from vccapp.data.resources import require_disk
from vccapp.errors import DataError, JobError, SpecError
from vccapp.evaluation.quality import Depth
from vccapp.models.base import load_model
from vccapp.progress import Progress, part, silent
from vccapp.seasons.base import Season
from vccapp.seasons.opened import find_season
from vccapp.settings import Settings
from vccapp.stats.index import load_index
from vccapp.submission.check import CheckResult, Expected, refuse, run_checks
from vccapp.submission.checking.profiles import control_profiles
from vccapp.submission.making.confidence import plan_confidence
from vccapp.submission.making.generate import Opened, generate, plan_genes
from vccapp.submission.making.made import MADE_FILE, Made, describe_made, find_made, find_versions, write_made
from vccapp.submission.making.unfinished import taken_bytes
from vccapp.submission.packing.archive import read_meta, unpack_vcc
from vccapp.submission.packing.package import CONTENT, Package, describe_content, write_vcc
from vccapp.submission.packing.slim import slimmed
from vccapp.submission.plan import Plan, plan_path, write_plan
from vccapp.submission.report import H5AD, Report, package_places, write_report
from vccapp.training.aligned import align_model
from vccapp.wording import name_some


def now() -> datetime:
    return datetime.now(UTC)


def build_submission(
    plan: Plan, settings: Settings, *, progress: Progress = silent, clock: Callable[[], datetime] = now
) -> dict[str, Any]:
    """Generate, check and package; returns what report.json says.

    Raises ResourceError when the disk is too full, CheckError naming the first failed checks (pred.h5ad and report.json
    are kept then, and no .vcc is written), and what opening the data, the index or the model raises.
    """
    progress(0.0, "Opening the data and the model")
    return build_from(plan, open_sources(plan, settings), settings=settings, progress=progress, clock=clock)


def open_sources(plan: Plan, settings: Settings) -> dict[str, Opened]:
    """Data, index and model of each context. Raises what opening them raises."""
    from vccapp.data.workspace import open_registered

    opened = {}
    for context, source in plan.sources.items():
        index = load_index(settings.index_of(source.dataset))
        model = align_model(load_model(settings.checkpoints / source.run / "model"), index)
        opened[context] = Opened(open_registered(source.dataset, settings), index, model)
    return opened


def build_from(
    plan: Plan,
    sources: Mapping[str, Opened],
    *,
    settings: Settings,
    progress: Progress = silent,
    clock: Callable[[], datetime] = now,
) -> dict[str, Any]:
    """`build_submission` with everything opened."""
    folder, season = plan_path(plan.id, settings).parent, find_season(plan.season, settings)

    def remove_old() -> None:  # what is of an earlier build is not of these cells
        for old in [*_package_files(plan, folder), folder / MADE_FILE]:
            old.unlink(missing_ok=True)

    folder.mkdir(parents=True, exist_ok=True)
    with _alone(plan, settings):
        _take_space(plan, folder)
        write_plan(plan, settings)
        genes = plan_genes(plan, next(iter(sources.values())).index, season)
        made = describe_made(plan, sources, genes=genes, season=season, settings=settings)
        told = part(progress, 0.0, 0.6)
        generate(plan, sources, folder / H5AD, season=season, when_made=remove_old, progress=told)
        write_made(made, folder)
        return _finish(plan, season, genes, folder, settings=settings, progress=part(progress, 0.6, 1.0), clock=clock)


def package_submission(
    plan: Plan, settings: Settings, *, progress: Progress = silent, clock: Callable[[], datetime] = now
) -> dict[str, Any]:
    """Check and package the cells that a build has made already; returns what report.json says.

    Raises DataError where there are none, and else what `build_submission` does.
    """
    folder = plan_path(plan.id, settings).parent
    if not (folder / H5AD).is_file():
        raise DataError("no_cells_made", f"The submission '{plan.id}' has no {H5AD}", fix="build the submission")
    season = find_season(plan.season, settings)
    genes = plan_genes(plan, load_index(settings.index_of(plan.datasets[0])), season)
    with _alone(plan, settings):
        return _finish(plan, season, genes, folder, settings=settings, progress=progress, clock=clock)


def package_file(
    h5ad: Path, out: Path, season: Season, *, progress: Progress = silent, **expected: Unpack[Expected]
) -> tuple[list[CheckResult], Package]:
    """Check a prediction made elsewhere and package it as `out`, which is new.

    Raises CheckError naming the first failed checks, and what `check_submission` and `write_vcc` raise.
    """
    require_new(out, suffix=season.container.suffix, what="Packages")
    results = run_checks(h5ad, season, progress=part(progress, 0.0, 0.5), **expected)
    refuse(results)
    return results, pack(h5ad, out, season, new=True, progress=part(progress, 0.5, 1.0))


def pack(
    h5ad: Path,
    out: Path,
    season: Season,
    *,
    panel_id: str | None = None,
    new: bool = False,
    progress: Progress = silent,
) -> Package:
    """Package checked cells. panel_id, new : see `write_vcc`; raises what `slimmed` and `write_vcc` raise."""
    with slimmed(h5ad, out.parent, season, progress=part(progress, 0.0, 0.2)) as ready:
        return write_vcc(ready, out, season, panel_id=panel_id, new=new, progress=part(progress, 0.2, 1.0))


def _alone(plan: Plan, settings: Settings) -> contextlib.AbstractContextManager[Callable[[], bool]]:
    """Hold the submission's lock. Raises JobError when another process does."""
    problem = f"Another job is building or packaging the submission '{plan.id}'"
    busy = JobError("submission_busy", problem, fix="wait for it or stop it")
    return hold_lock(settings.submissions / f".{plan.id}.lock", busy=busy)


def _take_space(plan: Plan, folder: Path) -> None:
    """Raise ResourceError where there is no room; what an earlier build made goes first where only that makes room."""
    needed = plan.estimate.disk_bytes - taken_bytes(folder / H5AD)
    old = [folder / H5AD, *_package_files(plan, folder)]
    free = shutil.disk_usage(folder).free
    if free < needed <= free + sum(path.stat().st_size for path in old if path.exists()):
        for path in old:
            path.unlink(missing_ok=True)
    require_disk(folder, needed, purpose=f"Building the submission '{plan.id}'")


def _package_files(plan: Plan, folder: Path) -> list[Path]:
    return [*package_places(plan.id, folder), folder / "report.json"]


def _finish(
    plan: Plan,
    season: Season,
    genes: Sequence[str],
    folder: Path,
    *,
    settings: Settings,
    progress: Progress,
    clock: Callable[[], datetime],
) -> dict[str, Any]:
    """Check the cells, package them and write the report."""
    h5ad, vcc = folder / H5AD, folder / f"{plan.id}{season.container.suffix}"
    if vcc == h5ad:
        raise SpecError("bad_name", f"The package cannot be called {H5AD}, as the cells are", fix="plan another name")
    results = run_checks(
        h5ad,
        season,
        phase=plan.phase,
        genes=genes,
        cells=plan.cells_in_order,
        wanted=plan.wanted,
        practice=plan.practice,
        depth=None if plan.depth is None else Depth(plan.depth, "pert_counts says"),
        profiles=control_profiles(season, settings) or None,
        progress=part(progress, 0.0, 0.4),
    )
    made = find_made(folder)
    report = _report(plan, results, clock(), made, plan_confidence(plan, settings))
    if any(result.status == "failed" for result in results):  # else it is written once, with its package
        write_report(report, folder)
    refuse(results)
    panel_id = None if made is None else made.panel
    package = pack(h5ad, vcc, season, panel_id=panel_id, progress=part(progress, 0.4, 1.0))
    report = report.model_copy(update={"package": package.model_copy(update={"path": Path(vcc.name)})})
    write_report(report, folder)
    progress(1.0, f"{vcc.name} is ready: {package.size / 1e6:,.1f} MB")
    return report.model_dump(mode="json")


def check_submission(
    path: Path, season: Season, *, progress: Progress = silent, **expected: Unpack[Expected]
) -> list[CheckResult]:
    """Check an .h5ad or a .vcc made elsewhere; for a .vcc the first result is about the archive.

    Raises DataError or CheckError when it cannot be read as a prediction at all, ResourceError when there is no room
    to unpack it.
    """
    if path.suffix != ".vcc":
        return run_checks(path, season, progress=progress, **expected)
    with scratch_folder() as folder:
        h5ad = unpack_vcc(path, Path(folder) / "pred.h5ad", season, progress=part(progress, 0.0, 0.5))
        return [
            tell_archive(path, h5ad, season),
            *run_checks(h5ad, season, progress=part(progress, 0.5, 1.0), **expected),
        ]


def tell_archive(path: Path, h5ad: Path, season: Season) -> CheckResult:
    """The result about an archive that could be unpacked to `h5ad`: what it says of its content holds."""
    meta = read_meta(path, season)
    holds = json.loads(describe_content(h5ad, season)) if meta is not None else {}
    wrong = [name for name in CONTENT if name in (meta or {}) and (meta or {})[name] != holds[name]]
    if wrong:
        said = {name: (meta or {})[name] for name in wrong}
        return CheckResult(
            name="archive",
            label="Archive",
            status="failed",
            message=f"{path.name} says {name_some(f'{k} {v}' for k, v in said.items())}, but holds "
            f"{name_some(f'{name} {holds[name]}' for name in wrong)}.",
            fix="Package the h5ad again: the organisers size and compare by what the archive says.",
        )
    return CheckResult(
        name="archive",
        label="Archive",
        status="ok",
        message=f"{path.name} holds {' and '.join(season.container.members)}, undamaged.",
    )


def _report(
    plan: Plan,
    results: Sequence[CheckResult],
    built: datetime,
    made: Made | None,
    confidence: dict[str, float | None],
) -> Report:
    return Report(
        id=plan.id,
        kind="PRACTICE" if plan.practice else "SUBMISSION",
        built=built.isoformat(timespec="seconds"),
        plan=plan,
        season=plan.season,
        runs=plan.runs,
        datasets=plan.datasets,
        alpha=plan.alpha,
        cells=plan.cells_in_order,
        checks=tuple(results),
        made=made,
        confidence=confidence,
        versions=find_versions(),
    )
