"""cell-eval, the official scorer of 2025: log1p values, profile vcc."""

from importlib.metadata import version
from pathlib import Path

from vccapp.evaluation.scorers.base import PERT_COL, SCORERS, ScorerResult
from vccapp.evaluation.scorers.process import Command, Tool, read_table
from vccapp.progress import Progress

MEANS = "agg_results.csv"


@SCORERS.register("cell-eval")
class CellEval(Tool):
    name = "cell-eval"
    label = "cell-eval (2025)"
    season = "2025"
    values = "log1p"
    settings = {"profile": "vcc"}
    # From measured peaks at 18,080 genes (docs/scores.md); it makes the cells dense.
    bytes_per_value = 28.0
    program_bytes = 0.4e9
    errors = frozenset({"mae"})

    def run(self, predicted: Path, real: Path, folder: Path, *, threads: int, progress: Progress) -> ScorerResult:
        own, base, baseline, scaled = (folder / name for name in ("own", "base", "baseline.h5ad", "scaled.csv"))
        shared = ["--pert-col", PERT_COL, "--num-threads", str(threads)]

        def evaluate(file: Path, out: Path) -> list[str | Path]:
            return ["run", "-ap", file, "-ar", real, "--profile", self.settings["profile"], *shared, "-o", out]

        commands: list[Command] = [
            ("the mean baseline", ["baseline", "-a", real, "-o", baseline, "--skip-de", *shared]),
            ("the baseline's metrics", evaluate(baseline, base)),
            ("the prediction's metrics", evaluate(predicted, own)),
            ("scaled scores", ["score", "-i", own / MEANS, "-I", base / MEANS, "-o", scaled]),
        ]
        self.run_all(commands, folder, progress)
        table = read_table(own / "results.csv")
        settings = {"backend": f"pdex {version('pdex')}"}
        return self.read(table, own / MEANS, base / MEANS, scaled, settings=settings)
