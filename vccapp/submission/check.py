"""Checks of a prediction before it is packaged: one file a check in `vccapp/submission/checks/`.

`run_checks` reads X once, block by block, and gives every check every block. A check is a class:

    @CHECKS.register("finite")
    class Finite(Check):
        label = "Values are finite"
        def start(self): ...                   # optional; self.context is there
        def block(self, start, csr): ...       # optional
        def finish(self) -> CheckResult: ...   # self.ok(...), warning(...), failed(...) or skipped(...)
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import ClassVar, Literal, TypedDict, Unpack

import numpy as np
from pydantic import BaseModel, ConfigDict
from scipy.sparse import csr_matrix

from vccapp.errors import CheckError
from vccapp.evaluation.quality import Depth
from vccapp.evaluation.training_data import TrainingData
from vccapp.progress import Progress, silent
from vccapp.registry import Registry
from vccapp.seasons.base import Season
from vccapp.stats.building.read_ahead import read_ahead
from vccapp.submission.checking.context import Context, make_context
from vccapp.submission.checking.stricter import explain_rule
from vccapp.submission.h5ad import open_cells

CHECKS = Registry[type["Check"]]("check", package="vccapp.submission.checks")

Status = Literal["ok", "warning", "failed", "skipped"]
Row = dict[str, str | int | float]
Table = Iterable[Row]
MAX_ROWS = 12
"""Of a result's table: a report is read, and kept as JSON."""


class CheckResult(BaseModel):
    """What one check found: a sentence with the figure, and a sentence that says how to go on.

    why : why it matters; stricter : where the official packager would let it pass or repair it, and why this does not
    mend : name of a mend that puts it right (`vccapp.submission.mending.mend`), "" where none is safe
    table : a few rows of what was found, worst first; all rows have the same columns
    """

    model_config = ConfigDict(frozen=True)

    name: str
    label: str
    status: Status
    message: str
    fix: str = ""
    why: str = ""
    stricter: str = ""
    mend: str = ""
    table: tuple[Row, ...] = ()


class Check(ABC):
    """One check. `name` is what it is registered as."""

    label: ClassVar[str]
    why: ClassVar[str] = ""
    """Why it matters, in a sentence: told with warnings and failures."""

    def __init__(self, name: str, context: Context) -> None:
        self.name = name
        self.context = context
        self.start()

    @classmethod
    def applies(cls, season: Season) -> bool:
        """Whether it has a meaning in the season; it is left out where it has none."""
        return True

    def start(self) -> None:  # noqa: B027 - most checks keep nothing
        """Set up what `block` fills."""

    def block(self, start: int, csr: csr_matrix) -> None:  # noqa: B027 - some read labels only
        """See cells `start`.. as they are stored."""

    @abstractmethod
    def finish(self) -> CheckResult:
        """Say what was found."""

    def ok(self, message: str, *, table: Table = ()) -> CheckResult:
        return self._result("ok", message, table=table)

    def warning(self, message: str, fix: str, *, mend: str = "", table: Table = ()) -> CheckResult:
        return self._result("warning", message, fix, mend=mend, table=table)

    def failed(self, message: str, fix: str, *, rule: str = "", mend: str = "", table: Table = ()) -> CheckResult:
        """rule : of `vccapp.submission.checking.stricter`, where the official packager would let it pass"""
        return self._result("failed", message, fix, rule=rule, mend=mend, table=table)

    def skipped(self, message: str) -> CheckResult:
        return self._result("skipped", message)

    def _result(
        self, status: Status, message: str, fix: str = "", *, rule: str = "", mend: str = "", table: Table = ()
    ) -> CheckResult:
        return CheckResult(
            name=self.name,
            label=self.label,
            status=status,
            message=message,
            fix=fix,
            why=self.why if status in ("warning", "failed") else "",
            stricter=explain_rule(self.context.season.container.name, rule),
            mend=mend,
            table=tuple(islice(table, MAX_ROWS)),
        )


class Expected(TypedDict, total=False):
    """What a file is held against beside the season; all of it may be left out.

    phase : of the season; None: the one that the file's targets fit best
    genes : the official gene list, where the season does not bring it
    cells : cells per label that a plan promises, controls included; wanted : that a list advises
    practice : let other genes and targets than the season's through
    depth : what cells should sum to
    profiles : by context ("" without), the mean of control cells over `genes`, in the values of the season
    data : what the training data say of depth and controls
    """

    phase: str | None
    genes: Sequence[str] | None
    cells: Mapping[str, int] | None
    wanted: Mapping[str, int] | None
    practice: bool
    depth: Depth | None
    profiles: Mapping[str, np.ndarray] | None
    data: TrainingData | None


def run_checks(
    path: Path, season: Season, *, progress: Progress = silent, **expected: Unpack[Expected]
) -> list[CheckResult]:
    """Run every check of the season on the h5ad in one pass over X.

    Raises SpecError for a phase that the season does not have, DataError or CheckError when the file cannot be read as
    a prediction at all, ResourceError where there is no room to read one that is stored by gene (CSC).
    """
    return examine(path, season, progress=progress, **expected)[1]


def examine(
    path: Path, season: Season, *, progress: Progress = silent, **expected: Unpack[Expected]
) -> tuple[Context, list[CheckResult]]:
    """`run_checks` with all that was seen on the way, which mends go by."""
    context = make_context(open_cells(path, season.pert_col, season.context_col), season, **expected)
    file = context.file
    checks = [check(name, context) for name, check in CHECKS.items() if check.applies(season)]
    for start, block in read_ahead(file.blocks()):
        progress(start / max(file.shape[0], 1), f"Checked {start:,} of {file.shape[0]:,} cells")
        context.add(start, block)
        for check in checks:
            check.block(start, block)
    return context, [check.finish() for check in checks]


def refuse(results: Iterable[CheckResult]) -> None:
    """Raise CheckError naming the first failed checks, if any failed."""
    failed = [result for result in results if result.status == "failed"]
    if failed:
        first = " ".join(f"{result.message} {result.fix}" for result in failed[:2])
        more = f" {len(failed) - 2} more checks failed." if len(failed) > 2 else ""
        raise CheckError(
            "checks_failed",
            f"{len(failed)} of the submission's checks failed, so nothing was packaged. {first}{more}",
        )
