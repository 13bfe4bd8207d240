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
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict
from scipy.sparse import csr_matrix

from vccapp.errors import CheckError
from vccapp.evaluation.quality import Depth
from vccapp.progress import Progress, silent
from vccapp.registry import Registry
from vccapp.seasons.base import Season
from vccapp.submission.budget import season_depth
from vccapp.submission.h5ad import Cells, open_cells

CHECKS = Registry[type["Check"]]("check", package="vccapp.submission.checks")

Status = Literal["ok", "warning", "failed", "skipped"]

MAX_LABELS = 1_000
"""Labels for which per-gene sums are kept (8 bytes each): 145 MB at 18,080 genes."""


class CheckResult(BaseModel):
    """What one check found: a sentence with the figure, and a sentence that says how to go on.

    why : why it matters; stricter : where the official packager would let it pass or repair it, and why this does not
    mend : name of a mend that puts it right (`vccapp.submission.mending`), "" where none is safe
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
    table: tuple[dict[str, str | int | float], ...] = ()


@dataclass
class Context:
    """What checks may know. `sums` grow with the blocks and are whole in `finish`.

    genes : the official gene list; None where it is not known
    cells : cells per label that the plan promises, controls included; None for a file made elsewhere
    wanted : cells per perturbation that the challenge advises
    depth : what cells should sum to, from outside the file; None where it is not known
    sums : (n_labels, n_genes) float64, sum of values per label; None where there are too many labels
    """

    file: Cells
    season: Season
    genes: Sequence[str] | None
    cells: Mapping[str, int] | None
    wanted: Mapping[str, int] | None
    practice: bool
    depth: Depth | None = None
    labels: list[str] = field(init=False)
    n_cells: np.ndarray = field(init=False)
    sums: np.ndarray | None = field(init=False)

    def __post_init__(self) -> None:
        codes = self.file.labels.codes
        self.labels = [str(label) for label in self.file.labels.categories]
        self.n_cells = np.bincount(codes[codes >= 0], minlength=len(self.labels))
        few = len(self.labels) <= MAX_LABELS
        self.sums = np.zeros((len(self.labels), self.file.shape[1])) if few else None

    def codes(self, start: int, n: int) -> np.ndarray:
        """Positions in `labels` of `n` rows; -1 for a row without label."""
        return self.file.labels.codes[start : start + n]

    def perturbations(self) -> np.ndarray:
        """Positions in `labels` of all but the control that have cells."""
        is_control = np.array([label == self.season.control_label for label in self.labels], dtype=bool)
        return np.flatnonzero(~is_control & (self.n_cells > 0))

    def control(self) -> int | None:
        """Position in `labels` of the control, None where the file has no control cells."""
        where = [i for i, label in enumerate(self.labels) if label == self.season.control_label and self.n_cells[i]]
        return where[0] if where else None

    def means(self) -> np.ndarray | None:
        """(n_labels, n_genes) pseudobulks."""
        return None if self.sums is None else self.sums / np.maximum(self.n_cells, 1)[:, None]

    def add(self, start: int, block: csr_matrix) -> None:
        """Add a block to `sums`; NaN and infinity, which a check of their own reports, count as zero."""
        if self.sums is None:
            return
        codes = self.codes(start, block.shape[0])
        values = np.where(np.isfinite(block.data), block.data, 0).astype(np.float64)
        lengths = np.diff(block.indptr)
        for code in np.unique(codes[codes >= 0]):
            span = np.repeat(codes == code, lengths)
            data, genes = (values, block.indices) if span.all() else (values[span], block.indices[span])
            self.sums[code] += np.bincount(genes, weights=data, minlength=block.shape[1])


class Check(ABC):
    """One check. `name` is what it is registered as."""

    label: ClassVar[str]
    reads_values: ClassVar[bool] = True
    """False for a check of genes and labels alone, which a file that cannot be streamed gets as well."""

    def __init__(self, name: str, context: Context) -> None:
        self.name = name
        self.context = context
        self.start()

    def start(self) -> None:  # noqa: B027 - most checks keep nothing
        """Set up what `block` fills."""

    def block(self, start: int, csr: csr_matrix) -> None:  # noqa: B027 - some read labels only
        """See cells `start`.. as they are stored."""

    @abstractmethod
    def finish(self) -> CheckResult:
        """Say what was found."""

    def ok(self, message: str) -> CheckResult:
        return self._result("ok", message)

    def warning(self, message: str, fix: str) -> CheckResult:
        return self._result("warning", message, fix)

    def failed(self, message: str, fix: str) -> CheckResult:
        return self._result("failed", message, fix)

    def skipped(self, message: str) -> CheckResult:
        return self._result("skipped", message)

    def _result(self, status: Status, message: str, fix: str = "") -> CheckResult:
        return CheckResult(name=self.name, label=self.label, status=status, message=message, fix=fix)


def run_checks(
    path: Path,
    season: Season,
    *,
    genes: Sequence[str] | None = None,
    cells: Mapping[str, int] | None = None,
    wanted: Mapping[str, int] | None = None,
    practice: bool = False,
    depth: Depth | None = None,
    progress: Progress = silent,
) -> list[CheckResult]:
    """Run every check on the h5ad in one pass over X. Parameters: see `Context`.

    Raises DataError or CheckError when the file cannot be read as a prediction at all.
    """
    file = open_cells(path, season.pert_col)
    context = Context(file, season, genes, cells, wanted, practice, depth or season_depth(season, file.shape[1]))
    checks = [check(name, context) for name, check in CHECKS.items()]
    if file.layout == "csc":  # it cannot be read by cell as it is stored; the layout check says so
        reason = "X is stored by gene (CSC), so its values were not read."
        return [check.skipped(reason) if check.reads_values else check.finish() for check in checks]
    for start, block in file.blocks():
        progress(start / max(file.shape[0], 1), f"Checked {start:,} of {file.shape[0]:,} cells")
        context.add(start, block)
        for check in checks:
            check.block(start, block)
    return [check.finish() for check in checks]


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
