"""Make a submission again, bit for bit, from its record; or say what is no longer there.

found = examine(one, settings)                   # every piece: same, other, changed or gone
again = reproduce("mine", settings)              # raises where a piece is changed or gone
again.same                                       # whether h5ad and package are those that were recorded
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from vccapp.data.atomic import require_new, scratch_folder
from vccapp.data.resources import require_disk
from vccapp.data.workspace import open_registered
from vccapp.errors import DataError, SpecError, VccAppError
from vccapp.progress import Progress, part, silent
from vccapp.seasons.base import Season
from vccapp.seasons.gene_list import read_gene_list
from vccapp.seasons.opened import find_season
from vccapp.settings import Settings
from vccapp.stats.index import load_index
from vccapp.submission.build import open_sources, pack
from vccapp.submission.ledger.listing import Submission, find_submission
from vccapp.submission.making.generate import generate, plan_genes
from vccapp.submission.making.made import digest_index, digest_model, digest_rules, digest_texts, find_versions
from vccapp.submission.packing.package import Package
from vccapp.submission.plan import Plan
from vccapp.submission.report import H5AD, Report
from vccapp.training.record import load_run
from vccapp.wording import name_some

BLOCKING = ("changed", "gone")
"""States of a piece with which the bytes cannot be made again."""
SHOWN = 12
"""Digits of a digest that are shown."""


class Piece(BaseModel):
    """One thing that a submission was made with. status : whether it is as recorded

    other : of another version, which may or may not matter; changed, gone : the bytes cannot be made again
    unknown : an older version of the app did not record it
    """

    model_config = ConfigDict(frozen=True)

    what: str
    status: Literal["same", "other", "changed", "gone", "unknown"]
    recorded: str = ""
    found: str = ""
    fix: str = ""


class Reproduced(BaseModel):
    """What making it again gave. package : its path is where it was written, or was before it was removed"""

    model_config = ConfigDict(frozen=True)

    id: str
    same: bool
    recorded: Package
    package: Package
    pieces: tuple[Piece, ...]
    output: Path | None

    @property
    def told(self) -> str:
        """In a sentence."""
        if self.same:
            return f"'{self.id}' was made again, and every byte is the same (sha256 {self.package.sha256})."
        inside = "the cells are the same" if self.package.h5ad_sha256 == self.recorded.h5ad_sha256 else "the cells too"
        others = [piece.what for piece in self.pieces if piece.status == "other"]
        why = f"; of another version: {name_some(others, 4)}" if others else ""
        return f"'{self.id}' was made again, and its package differs ({inside}){why}."


def examine(one: Submission, settings: Settings) -> list[Piece]:
    """Hold what made a submission against what there is. Raises SpecError where it was never packaged."""
    report, _ = _require_packaged(one)
    pieces = list(_examine_season(report, settings))
    for context, source in report.plan.sources.items():
        where = f" of context {context}" if context else ""
        pieces += [_examine_data(source.dataset, where, settings), *_examine_source(report, context, where, settings)]
    return [*pieces, *_examine_versions(report)]


def require_reproducible(one: Submission, settings: Settings) -> list[Piece]:
    """What `examine` finds. Raises DataError naming every piece that is gone or changed, SpecError as it does."""
    pieces = examine(one, settings)
    lost = [piece for piece in pieces if piece.status in BLOCKING]
    if not lost:
        return pieces
    told = "; ".join(f"the {piece.what} is {piece.status}" for piece in lost[:4])
    more = f"; and {len(lost) - 4} more" if len(lost) > 4 else ""
    raise DataError(
        "not_reproducible",
        f"'{one.id}' cannot be made again: {told}{more}",
        found=[piece.model_dump() for piece in lost],
        fix=lost[0].fix,
    )


def reproduce(id: str, settings: Settings, *, output: Path | None = None, progress: Progress = silent) -> Reproduced:
    """Make a submission again from its record and compare it. output : where its package is kept, a new file

    Raises what `require_reproducible` raises, ResourceError where the disk is too full.
    """
    one = find_submission(id, settings)
    report, recorded = _require_packaged(one)
    if output is not None:
        require_new(output, suffix=recorded.path.suffix, what="Packages")
    pieces = require_reproducible(one, settings)
    plan, season = report.plan, find_season(report.season, settings)
    with scratch_folder(settings.submissions) as name:
        folder = Path(name)
        require_disk(folder, plan.estimate.disk_bytes, purpose=f"Making the submission '{id}' again")
        progress(0.0, "Opening the data and the model")
        cells = folder / H5AD
        generate(plan, open_sources(plan, settings), cells, season=season, progress=part(progress, 0.0, 0.7))
        target = folder / recorded.path.name if output is None else output
        panel_id = None if report.made is None else report.made.panel
        package = pack(cells, target, season, panel_id=panel_id, new=True, progress=part(progress, 0.7, 1.0))
    same = (package.sha256, package.h5ad_sha256) == (recorded.sha256, recorded.h5ad_sha256)
    found = Reproduced(id=id, same=same, recorded=recorded, package=package, pieces=tuple(pieces), output=output)
    progress(1.0, found.told)
    return found


def _require_packaged(one: Submission) -> tuple[Report, Package]:
    if one.report is None or one.report.package is None:
        raise SpecError(
            "not_packaged",
            f"The submission '{one.id}' was never packaged, so there is no checksum to compare with",
            fix="build it",
        )
    return one.report, one.report.package


def _examine_season(report: Report, settings: Settings) -> Iterator[Piece]:
    """Its rules of writing, and the list of genes in order."""
    plan, made = report.plan, report.made
    try:
        season = find_season(report.season, settings)
    except VccAppError as error:
        yield Piece(what="season", status="gone", recorded=report.season, found=error.problem, fix=error.fix)
        return
    recorded = "" if made is None else made.rules
    yield _compare("season", recorded, digest_rules(season), fix=f"open the {season.name} that it was made for")
    try:
        genes = _list_genes(plan, season, settings)
    except VccAppError as error:
        if plan.genes is None and plan.order == "data":
            return  # it is the index's, which is told
        name = "of the season" if plan.genes is None else str(plan.genes)
        yield Piece(what="gene list", status="gone", recorded=name, found=error.problem, fix=error.fix)
        return
    recorded = "" if made is None else made.genes
    yield _compare("gene list", recorded, digest_texts(genes), fix="put back the list that it was made with")


def _list_genes(plan: Plan, season: Season, settings: Settings) -> Sequence[str]:
    """As `plan_genes`, which asks the data where nothing else says it."""
    if plan.genes is not None:
        return read_gene_list(plan.genes).genes
    if plan.order == "season" and season.genes is not None:
        return season.genes
    return plan_genes(plan, load_index(settings.index_of(plan.datasets[0])), season)


def _examine_source(report: Report, context: str, where: str, settings: Settings) -> Iterator[Piece]:
    """Index and model of a context."""
    source = report.plan.sources[context]
    origin = None if report.made is None else report.made.sources.get(context)
    try:
        found = digest_index(load_index(settings.index_of(source.dataset)))
        yield _compare(
            f"index{where}",
            "" if origin is None else origin.index,
            found,
            fix="build the index again with the version that made it",
        )
    except VccAppError as error:
        yield Piece(
            what=f"index{where}",
            status="gone",
            recorded=source.dataset,
            found=error.problem,
            fix="open and index the data again",
        )
    try:
        load_run(source.run, settings)
        found = digest_model(settings.checkpoints / source.run / "model")
    except VccAppError as error:
        yield Piece(
            what=f"run{where}", status="gone", recorded=source.run, found=error.problem, fix="put its folder back"
        )
        return
    if not found:
        yield Piece(what=f"model{where}", status="gone", recorded=source.run, fix="put the run's folder back")
        return
    recorded = "" if origin is None else origin.model
    yield _compare(f"model{where}", recorded, found, fix=f"put back the model of {source.run} as it was")


def _examine_data(dataset: str, where: str, settings: Settings) -> Piece:
    try:
        open_registered(dataset, settings)
    except VccAppError as error:
        status: Literal["changed", "gone"] = "changed" if error.code == "data_changed" else "gone"
        return Piece(what=f"data{where}", status=status, recorded=dataset, found=error.problem, fix=error.fix)
    return Piece(what=f"data{where}", status="same", recorded=dataset, found=dataset)


def _examine_versions(report: Report) -> Iterator[Piece]:
    """Of the packages that made the cells and the package, against those that are installed."""
    installed = find_versions()
    made = {} if report.made is None else report.made.versions
    for name in dict.fromkeys([*made, *report.versions, *installed]):
        recorded = dict.fromkeys(v for v in (made.get(name), report.versions.get(name)) if v)
        found = installed.get(name, "")
        if recorded:
            same = list(recorded) == [found]
            fix = "" if same else f"install {name} {next(iter(recorded))} where the bytes differ"
            told = " and ".join(recorded)
            yield Piece(what=name, status="same" if same else "other", recorded=told, found=found or "none", fix=fix)


def _compare(what: str, recorded: str, found: str, *, fix: str) -> Piece:
    status: Literal["same", "changed", "unknown"] = (
        "same" if recorded == found else "changed" if recorded else "unknown"
    )
    return Piece(
        what=what,
        status=status,
        recorded=recorded[:SHOWN],
        found=found[:SHOWN],
        fix=fix if status == "changed" else "",
    )
