"""The official scorers, run whole: cell-eval (2025) and cell-eval2 (2026), each as a process of its own.

    result = run_official("cell-eval", predicted, real, folder, threads=2)
    result.means, result.scaled["mae"].raw, result.table

Both files hold log1p values for cell-eval and counts for cell-eval2, in the obs column `target_gene`, with the same
controls. What the tools write stays in `folder` until the caller removes it. Nothing of theirs is imported here: what
is shown as official is what their commands wrote.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

import pandas as pd
from pydantic import BaseModel, ConfigDict

from vccapp.errors import JobError, ResourceError, SpecError
from vccapp.progress import Progress, part, silent

PERT_COL = "target_gene"
ScorerName = Literal["cell-eval", "cell-eval2"]
LOWER_IS_BETTER = {"mae", "de_wilcoxon_lfc_nmae", "expr_mse_unbiased_capped_norm"}
"""Of the scored metrics; their best value is 0, that of all others 1."""
AVERAGE = "avg_score"
POLL_SECONDS = 0.2
GRACE_SECONDS = 3.0
LOG_TAIL = 300


class Scaled(BaseModel):
    """A metric between the baseline (0) and its best value (1): as it is, and as the judges clip it."""

    model_config = ConfigDict(frozen=True)

    raw: float | None
    clipped: float | None


@dataclass(frozen=True)
class Scorer:
    """An official tool.

    space : of the values that it takes; settings : the profile or preset, recorded with every result
    bytes_per_value : of cells of one side x genes at the peak of its most hungry step, beside program_bytes
    """

    name: ScorerName
    label: str
    season: str
    space: Literal["log1p", "counts"]
    settings: dict[str, str]
    bytes_per_value: float
    program_bytes: float

    def memory_bytes(self, n_cells: int, n_genes: int) -> int:
        """What it takes to score `n_cells` on either side, controls included."""
        return round(self.program_bytes + self.bytes_per_value * n_cells * n_genes)


# Bytes from measured peaks at 18,080 genes (docs/scores.md); both tools make the cells dense.
SCORERS: dict[str, Scorer] = {
    scorer.name: scorer
    for scorer in (
        Scorer("cell-eval", "cell-eval (2025)", "2025", "log1p", {"profile": "vcc"}, 28.0, 0.4e9),
        Scorer("cell-eval2", "cell-eval2 (2026)", "2026", "counts", {"preset": "vcc2026"}, 17.0, 0.8e9),
    )
}


@dataclass(frozen=True)
class OfficialResult:
    """What the tool wrote.

    table : a row a perturbation, a column a metric; means : of every metric; baseline : of the official mean baseline
    scaled : of the scored metrics and AVERAGE
    """

    version: str
    settings: dict[str, str]
    table: pd.DataFrame
    means: dict[str, float | None]
    baseline: dict[str, float | None]
    scaled: dict[str, Scaled]


def find_scorer(name: str) -> Scorer:
    """Raises SpecError for an unknown name, or where its command is not installed."""
    if name not in SCORERS:
        raise SpecError(
            "unknown_scorer",
            f"There is no official scorer '{name}'",
            fix=f"choose one of {', '.join(SCORERS)}",
        )
    find_command(name)
    return SCORERS[name]


def find_command(name: str) -> Path:
    """The command beside this Python. Raises SpecError where it is missing."""
    command = Path(sys.executable).parent / name
    if not command.exists():
        raise SpecError(
            "scorer_missing",
            f"The command {name} is not installed beside {sys.executable}",
            fix="run `pip install -r requirements.txt`",
        )
    return command


def refuse_memory(scorer: Scorer, cells: dict[str, int], n_controls: int, n_genes: int, *, memory_bytes: int) -> None:
    """Raises ResourceError where scoring `cells` of each perturbation and the controls needs more than is allowed.

    The message says how many cells would fit.
    """
    n_cells = sum(cells.values()) + n_controls
    needed = scorer.memory_bytes(n_cells, n_genes)
    if needed <= memory_bytes:
        return
    fitting = int((memory_bytes - scorer.program_bytes) / (scorer.bytes_per_value * n_genes))
    few = max((fitting // 2) // max(len(cells), 1), 0)
    if few < 2:
        advice = "raise VCCAPP_MEMORY_GB"
    else:
        few_controls = min(n_controls, fitting // 2)
        advice = (
            f"take at most {few:,} cells of each perturbation and {few_controls:,} controls (--max-cells {few} "
            f"--max-controls {few_controls}), or raise VCCAPP_MEMORY_GB"
        )
    raise ResourceError(
        "memory",
        f"{scorer.name} makes the cells dense: {n_cells:,} cells x {n_genes:,} genes on either side need "
        f"about {needed / 1e9:.1f} GB of memory, {memory_bytes / 1e9:.1f} GB are allowed",
        fix=f"{advice}",
    )


def run_official(
    name: ScorerName, predicted: Path, real: Path, folder: Path, *, threads: int, progress: Progress = silent
) -> OfficialResult:
    """Score two h5ad files with an official tool, baseline and scaled scores included.

    Raises SpecError where the tool is missing, JobError with its last words where it fails; when `progress` raises
    Stopped the tool and its children are killed first.
    """
    scorer = find_scorer(name)
    steps = _cell_eval if name == "cell-eval" else _cell_eval2
    folder.mkdir(parents=True, exist_ok=True)
    return steps(scorer, predicted, real, folder, threads, progress)


def _cell_eval(
    scorer: Scorer, predicted: Path, real: Path, folder: Path, threads: int, progress: Progress
) -> OfficialResult:
    base, shared = folder / "baseline.h5ad", ["--pert-col", PERT_COL, "--num-threads", str(threads)]

    def evaluate(file: Path, out: Path) -> list[str | Path]:
        profile = scorer.settings["profile"]
        return ["run", "-ap", file, "-ar", real, "--profile", profile, *shared, "-o", out]

    commands: list[tuple[str, list[str | Path]]] = [
        ("the mean baseline", ["baseline", "-a", real, "-o", base, "--skip-de", *shared]),
        ("the baseline's metrics", evaluate(base, folder / "base")),
        ("the prediction's metrics", evaluate(predicted, folder / "own")),
        ("scaled scores", _score_words(folder / "own", folder / "base")),
    ]
    _run_all(scorer.name, commands, folder, progress)
    means, baseline = (_read_means(folder / side / "agg_results.csv") for side in ("own", "base"))
    table = pd.read_csv(folder / "own" / "results.csv", float_precision="round_trip")
    settings = scorer.settings | {"backend": f"pdex {version('pdex')}"}
    return _result(scorer, settings, table, means, baseline, folder / "scaled.csv")


def _score_words(own: Path, base: Path) -> list[str | Path]:
    results = "agg_results.csv"
    return ["score", "-i", own / results, "-I", base / results, "-o", own.parent / "scaled.csv"]


def _cell_eval2(
    scorer: Scorer, predicted: Path, real: Path, folder: Path, threads: int, progress: Progress
) -> OfficialResult:
    shared = ["--preset", scorer.settings["preset"], "--pert-col", PERT_COL, "--set", f"num_threads={threads}"]
    own, base = folder / "own", folder / "base"
    scaled = ["--user-agg", own / "agg_results.csv", "--baseline-agg", base / "baseline_agg.csv"]
    commands: list[tuple[str, list[str | Path]]] = [
        ("the prediction's metrics", ["run", "-ap", predicted, "-ar", real, *shared, "-o", own]),
        ("the mean baseline", ["baseline", "-ar", real, "--allow-degenerate-baseline", *shared, "-o", base]),
    ]
    _run_all(scorer.name, commands, folder, part(progress, 0.0, 0.9))
    scale = "baseline"
    try:
        words = ["score", *scaled, "-o", folder / "scaled.csv"]
        _run_all(scorer.name, [("scaled scores", words)], folder, part(progress, 0.9, 1.0))
    except JobError as error:
        if "degenerate" not in str(error):
            raise
        scale = "none: a metric of the baseline is at its best value"
    tidy = pd.read_csv(own / "results.csv", float_precision="round_trip")
    table = tidy.pivot(index="perturbation", columns="metric", values="value").rename_axis(columns=None).reset_index()
    meta = json.loads((own / "run_meta.json").read_text())
    backend = {"backend": f"{meta['resolved_de_backend']} on {meta['resolved_device']}", "scale": scale}
    means, baseline = _read_means(own / "agg_results.csv"), _read_means(base / "baseline_agg.csv")
    return _result(scorer, scorer.settings | backend, table, means, baseline, folder / "scaled.csv")


def _result(
    scorer: Scorer,
    settings: dict[str, str],
    table: pd.DataFrame,
    means: dict[str, float | None],
    baseline: dict[str, float | None],
    scaled: Path,
) -> OfficialResult:
    return OfficialResult(
        version=installed_version(scorer.name),
        settings=settings,
        table=table.sort_values("perturbation", ignore_index=True),
        means=means,
        baseline=baseline,
        scaled=_read_scaled(scaled, means, baseline) if scaled.exists() else {},
    )


def _read_scaled(path: Path, means: dict[str, float | None], baseline: dict[str, float | None]) -> dict[str, Scaled]:
    """The tool's scaled scores, which it clips, beside the same not clipped."""
    clipped = pd.read_csv(path, float_precision="round_trip").set_index("metric")["from_baseline"]
    raw = {
        metric: scale_score(means.get(metric), baseline.get(metric), best=0.0 if metric in LOWER_IS_BETTER else 1.0)
        for metric in clipped.index.drop(AVERAGE)
    }
    known = [value for value in raw.values() if value is not None]
    raw[AVERAGE] = sum(known) / len(raw) if len(known) == len(raw) else None
    return {name: Scaled(raw=raw[name], clipped=_number(value)) for name, value in clipped.items()}


def scale_score(value: float | None, baseline: float | None, *, best: float) -> float | None:
    """Where a value lies between the baseline (0) and the best (1), not clipped; None where it is not defined."""
    if value is None or baseline is None or baseline == best:
        return None
    return (value - baseline) / (best - baseline)


def installed_version(name: str) -> str:
    """Raises SpecError where the package is not installed."""
    try:
        return version(name)
    except PackageNotFoundError:
        raise SpecError(
            "scorer_missing",
            f"The package {name} is not installed",
            fix="run `pip install -r requirements.txt`",
        ) from None


def _read_means(path: Path) -> dict[str, float | None]:
    row = pd.read_csv(path, float_precision="round_trip").set_index("statistic").loc["mean"]
    return {metric: _number(value) for metric, value in row.items()}


def _number(value: float) -> float | None:
    return float(value) if pd.notna(value) else None


def _run_all(name: str, commands: Sequence[tuple[str, list[str | Path]]], folder: Path, progress: Progress) -> None:
    for i, (what, words) in enumerate(commands):
        share = part(progress, i / len(commands), (i + 1) / len(commands))
        _run([str(find_command(name)), *map(str, words)], folder / "log.txt", f"{name}: {what}", share)


def _run(words: list[str], log: Path, what: str, progress: Progress) -> None:
    """Run a command in a process group of its own until it ends; kill the group when `progress` raises."""
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
            start_new_session=True,
        )
        try:
            while process.poll() is None:
                progress(0.0, what)
                time.sleep(POLL_SECONDS)
        except BaseException:
            _kill(process)
            raise
    if process.returncode == 0:
        return
    if process.returncode == -signal.SIGKILL:
        raise JobError(
            "scorer_killed",
            f"{what} was killed, most often because memory ran out",
            fix="score fewer cells (--max-cells, --max-controls)",
        )
    with log.open("rb") as file:
        file.seek(start)
        said = " ".join(file.read().decode(errors="replace").split())[-LOG_TAIL:]
    raise JobError(
        "scorer_failed",
        f"{what} failed with exit code {process.returncode}: ...{said}",
    )


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
