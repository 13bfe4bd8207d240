"""An official tool run whole, each of its commands as a process of its own, and its tables read.

Nothing of the tool is imported: what is shown as official is what its commands wrote.
"""

import os
import signal
import subprocess
import sys
import time
from abc import abstractmethod
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import ClassVar

import pandas as pd

from vccapp.errors import JobError, SpecError
from vccapp.evaluation.scorers.base import AVERAGE, CellScorer, Scaled, ScorerResult
from vccapp.faults import find_shortage
from vccapp.progress import Progress, part, silent
from vccapp.seasons.base import MetricRules, Space

POLL_SECONDS = 0.2
GRACE_SECONDS = 3.0
LOG_TAIL = 300
TOLD = 20_000
"""Characters of its output in which a command says why it failed."""

NUMBA_THREADS = "NUMBA_NUM_THREADS"
"""What a tool may ask for, once it is started; more is an error to it. It is told its threads by an option."""

Command = tuple[str, Sequence[str | Path]]
"""What it is, for people, and its words after the tool's name."""


class Tool(CellScorer):
    """A scorer that is the command of a package, both called `name`.

    values : the space that it takes; settings : the profile or preset
    bytes_per_value : of cells of one side x genes at the peak of its most hungry step, beside program_bytes
    errors : scored metrics whose best value is 0; that of all others is 1
    """

    values: ClassVar[Space]
    settings: ClassVar[dict[str, str]]
    bytes_per_value: ClassVar[float]
    program_bytes: ClassVar[float]
    errors: ClassVar[frozenset[str]] = frozenset()

    def check(self) -> None:
        find_command(self.name)

    def space(self, season: MetricRules) -> Space:
        return self.values

    def memory_bytes(self, n_cells: int, n_genes: int) -> int:
        return round(self.program_bytes + self.bytes_per_value * n_cells * n_genes)

    def score(
        self,
        predicted: Path,
        real: Path,
        folder: Path,
        *,
        season: MetricRules,
        threads: int,
        memory_bytes: int,
        progress: Progress = silent,
    ) -> ScorerResult:
        self.check()
        allowed = os.environ.get(NUMBA_THREADS, "")
        if allowed.isdecimal() and int(allowed):
            threads = min(threads, int(allowed))
        return self.run(predicted, real, folder, threads=threads, progress=progress)

    @abstractmethod
    def run(self, predicted: Path, real: Path, folder: Path, *, threads: int, progress: Progress) -> ScorerResult:
        """Run its commands in `folder`, and read what they wrote."""

    def run_all(self, commands: Sequence[Command], folder: Path, progress: Progress) -> None:
        """Raises JobError with the last words of a command that fails."""
        for i, (what, words) in enumerate(commands):
            share = part(progress, i / len(commands), (i + 1) / len(commands))
            _run([str(find_command(self.name)), *map(str, words)], folder / "log.txt", f"{self.name}: {what}", share)

    def read(
        self, table: pd.DataFrame, own: Path, base: Path, scaled: Path, *, settings: dict[str, str]
    ) -> ScorerResult:
        """own, base : tables of means of the prediction and of the mean baseline; scaled : of its scores, if any."""
        means, baseline = _read_means(own), _read_means(base)
        return ScorerResult(
            version=installed_version(self.name),
            settings=self.settings | settings,
            table=table.sort_values("perturbation", ignore_index=True),
            means=means,
            baseline=baseline,
            scaled=self._read_scaled(scaled, means, baseline) if scaled.exists() else {},
        )

    def _read_scaled(
        self, path: Path, means: dict[str, float | None], baseline: dict[str, float | None]
    ) -> dict[str, Scaled]:
        """The tool's scaled scores, which it clips, beside the same not clipped."""
        clipped = read_table(path).set_index("metric")["from_baseline"]
        raw = {
            metric: scale_score(means.get(metric), baseline.get(metric), best=0.0 if metric in self.errors else 1.0)
            for metric in clipped.index.drop(AVERAGE)
        }
        known = [value for value in raw.values() if value is not None]
        raw[AVERAGE] = sum(known) / len(raw) if len(known) == len(raw) else None
        return {name: Scaled(raw=raw[name], clipped=_number(value)) for name, value in clipped.items()}


def find_command(name: str) -> Path:
    """The command beside this Python. Raises SpecError where it is missing."""
    command = Path(sys.executable).parent / name
    if not command.exists():
        raise SpecError(
            "scorer_missing",
            f"The command {name} is not installed next to {sys.executable}",
            fix="reinstall vccapp, which includes it",
        )
    return command


def installed_version(name: str) -> str:
    """Raises SpecError where the package is not installed."""
    try:
        return version(name)
    except PackageNotFoundError:
        raise SpecError(
            "scorer_missing",
            f"The package {name} is not installed",
            fix="reinstall vccapp, which includes it",
        ) from None


def scale_score(value: float | None, baseline: float | None, *, best: float) -> float | None:
    """Where a value lies between the baseline (0) and the best (1), not clipped; None where it is not defined."""
    if value is None or baseline is None or baseline == best:
        return None
    return (value - baseline) / (best - baseline)


def read_table(path: Path) -> pd.DataFrame:
    """A CSV with its numbers to the last digit."""
    return pd.read_csv(path, float_precision="round_trip")


def _read_means(path: Path) -> dict[str, float | None]:
    row = read_table(path).set_index("statistic").loc["mean"]
    return {metric: _number(value) for metric, value in row.items()}


def _number(value: float) -> float | None:
    return float(value) if pd.notna(value) else None


def _run(words: list[str], log: Path, what: str, progress: Progress) -> None:
    """Raises JobError where the command fails, with its last words."""
    code, said = run_logged(words, log, what, progress)
    if code == -signal.SIGKILL:
        raise JobError(
            "scorer_killed",
            f"{what} was killed, most often because memory ran out",
            fix="score fewer cells (--max-cells, --max-controls)",
        )
    if code:
        if (lack := find_shortage(said[-TOLD:])) is not None:
            raise lack
        raise JobError(
            "scorer_failed",
            f"{what} failed with exit code {code}: ...{' '.join(said.split())[-LOG_TAIL:]}",
        )


def run_logged(words: list[str], log: Path, what: str, progress: Progress) -> tuple[int, str]:
    """Run a command in a process group of its own until it ends; kill the group when `progress` raises.

    Returns its exit code and what it wrote, which is added to the log.
    """
    with log.open("ab") as output:
        output.write(f"$ {' '.join(words)}\n".encode())
        output.flush()
        start = output.tell()
        process = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=log.parent,
            env={name: value for name, value in os.environ.items() if name != NUMBA_THREADS},
            start_new_session=True,
        )
        try:
            while process.poll() is None:
                progress(0.0, what)
                time.sleep(POLL_SECONDS)
        except BaseException:
            _kill(process)
            raise
    with log.open("rb") as file:
        file.seek(start)
        return process.returncode, file.read().decode(errors="replace")


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End a process group: politely, then by force."""
    for number, seconds in ((signal.SIGTERM, GRACE_SECONDS), (signal.SIGKILL, None)):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            pass
        try:
            process.wait(seconds)
            return
        except subprocess.TimeoutExpired:
            continue
