"""From a plan to a checked .vcc, and checks of files made elsewhere.

report = build_submission(load_plan(id, settings), settings)

submissions/<id>/
  plan.json      what was decided
  pred.h5ad      the cells
  <id>.vcc       what is uploaded; absent when a check failed
  report.json    plan, run, data, versions, checks, sizes and sha256
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from vccapp.challenges.base import CHALLENGES, Challenge
from vccapp.data.atomic import scratch_folder, write_file
from vccapp.data.reading.dataset import Dataset
from vccapp.data.resources import require_disk
from vccapp.evaluation.quality import Depth
from vccapp.models.base import Model, load_model
from vccapp.progress import Progress, part, silent
from vccapp.settings import Settings
from vccapp.stats.index import Index, load_index
from vccapp.submission.check import CheckResult, refuse, run_checks
from vccapp.submission.gene_list import read_gene_list
from vccapp.submission.generate import generate
from vccapp.submission.package import unpack_vcc, write_vcc
from vccapp.submission.plan import Plan, plan_path, write_plan
from vccapp.submission.report import Report, write_report

REPORTED = ("vccapp", "numpy", "scipy", "h5py", "anndata", "zstandard")
"""Packages on whose version the bytes of a submission may depend."""


def now() -> datetime:
    return datetime.now(UTC)


def build_submission(
    plan: Plan, settings: Settings, *, progress: Progress = silent, clock: Callable[[], datetime] = now
) -> dict[str, Any]:
    """Generate, check and package; returns what report.json says.

    Raises ResourceError when the disk is too full, CheckError naming the first failed checks (pred.h5ad and report.json
    are kept then, and no .vcc is written), and what opening the data, the index or the model raises.
    """
    from vccapp.data.workspace import open_registered

    progress(0.0, "Opening the data and the model")
    index = load_index(settings.index_of(plan.dataset))
    model = load_model(settings.checkpoints / plan.run / "model", genes=index.genes["gene"].tolist())
    dataset = open_registered(plan.dataset, settings)
    return build_from(plan, dataset, index, model, settings=settings, progress=progress, clock=clock)


def build_from(
    plan: Plan,
    dataset: Dataset,
    index: Index,
    model: Model,
    *,
    settings: Settings,
    progress: Progress = silent,
    clock: Callable[[], datetime] = now,
) -> dict[str, Any]:
    """`build_submission` with everything opened."""
    challenge = CHALLENGES[plan.challenge]
    folder = plan_path(plan.id, settings).parent
    h5ad, vcc = folder / "pred.h5ad", folder / f"{plan.id}.vcc"
    folder.mkdir(parents=True, exist_ok=True)
    require_disk(folder, plan.estimate.disk_bytes, purpose=f"Building the submission '{plan.id}'")
    write_plan(plan, settings)
    with write_file(h5ad) as beside:
        generate(plan, dataset, index, model, beside, progress=part(progress, 0.0, 0.6))
    for old in (vcc, folder / "report.json"):  # those of an earlier build are not of these cells
        old.unlink(missing_ok=True)
    genes = index.genes["gene"].tolist() if plan.genes is None else read_gene_list(plan.genes).genes
    results = run_checks(
        h5ad,
        challenge,
        genes=genes,
        cells=plan.cells_in_order,
        wanted=plan.wanted,
        practice=plan.practice,
        depth=None if plan.depth is None else Depth(plan.depth, "pert_counts says"),
        progress=part(progress, 0.6, 0.75),
    )
    report = _report(plan, results, clock())
    write_report(report, folder)
    refuse(results)
    package = write_vcc(h5ad, vcc, challenge, progress=part(progress, 0.75, 1.0))
    report = report.model_copy(update={"package": package.model_copy(update={"path": Path(vcc.name)})})
    write_report(report, folder)
    progress(1.0, f"{vcc.name} is ready: {package.size / 1e6:,.1f} MB")
    return report.model_dump(mode="json")


def check_submission(
    path: Path,
    challenge: Challenge,
    *,
    genes: Sequence[str] | None = None,
    wanted: Mapping[str, int] | None = None,
    practice: bool = False,
    depth: Depth | None = None,
    progress: Progress = silent,
) -> list[CheckResult]:
    """Check an .h5ad or a .vcc made elsewhere; for a .vcc the first result is about the archive.

    genes : the official gene list; wanted : cells per perturbation that the challenge advises; depth : that cells
    should have
    Raises DataError or CheckError when it cannot be read as a prediction at all, ResourceError when there is no room
    to unpack it.
    """
    check = partial(run_checks, challenge=challenge, genes=genes, wanted=wanted, practice=practice, depth=depth)
    if path.suffix != ".vcc":
        return check(path, progress=progress)
    with scratch_folder() as folder:
        h5ad = unpack_vcc(path, Path(folder) / "pred.h5ad", challenge, progress=part(progress, 0.0, 0.5))
        archive = CheckResult(
            name="archive",
            label="Archive",
            status="ok",
            message=f"{path.name} holds {' and '.join(challenge.members)}, undamaged.",
        )
        return [archive, *check(h5ad, progress=part(progress, 0.5, 1.0))]


def _report(plan: Plan, results: Sequence[CheckResult], built: datetime) -> Report:
    return Report(
        id=plan.id,
        kind="PRACTICE" if plan.practice else "SUBMISSION",
        built=built.isoformat(timespec="seconds"),
        plan=plan,
        challenge=plan.challenge,
        run=plan.run,
        dataset=plan.dataset,
        alpha=plan.alpha,
        cells=plan.cells_in_order,
        checks=tuple(results),
        versions={name: version(name) for name in REPORTED},
    )
