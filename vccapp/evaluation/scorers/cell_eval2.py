"""cell-eval2, the official scorer of 2026: counts, preset vcc2026."""

import json
from pathlib import Path

from vccapp.evaluation.scorers.base import PERT_COL, SCORERS, ScorerResult
from vccapp.evaluation.scorers.process import Command, Tool, read_table
from vccapp.progress import Progress, part

DIGITS = 16
"""Of the digest of the preset and of what each metric is computed by; others are not comparable."""


@SCORERS.register("cell-eval2")
class CellEval2(Tool):
    name = "cell-eval2"
    label = "cell-eval2 (2026)"
    season = "2026"
    values = "counts"
    settings = {"preset": "vcc2026"}
    # From measured peaks at 18,080 genes (docs/scores.md); it makes the cells dense.
    bytes_per_value = 17.0
    program_bytes = 0.8e9
    errors = frozenset({"de_wilcoxon_lfc_nmae", "expr_mse_unbiased_capped_norm"})

    def run(self, predicted: Path, real: Path, folder: Path, *, threads: int, progress: Progress) -> ScorerResult:
        shared: list[str | Path] = [
            "--preset",
            self.settings["preset"],
            "--pert-col",
            PERT_COL,
            "--set",
            f"num_threads={threads}",
        ]
        own, base, scaled = folder / "own", folder / "base", folder / "scaled.csv"
        means, baseline = own / "agg_results.csv", base / "baseline_agg.csv"
        commands: list[Command] = [
            ("the prediction's metrics", ["run", "-ap", predicted, "-ar", real, *shared, "-o", own]),
            ("the mean baseline", ["baseline", "-ar", real, "--allow-degenerate-baseline", *shared, "-o", base]),
        ]
        self.run_all(commands, folder, part(progress, 0.0, 0.9))
        # The tool refuses to scale by a baseline with such a metric, which it lists.
        degenerate = json.loads((base / "baseline_meta.json").read_text())["degenerate_metrics"]
        if any(metric["decisive"] for metric in degenerate):
            scale = "none: a metric of the baseline is at its best value"
        else:
            scale = "baseline"
            words: list[str | Path] = ["score", "--user-agg", means, "--baseline-agg", baseline, "-o", scaled]
            self.run_all([("scaled scores", words)], folder, part(progress, 0.9, 1.0))
        tidy = read_table(own / "results.csv").pivot(index="perturbation", columns="metric", values="value")
        table = tidy.rename_axis(columns=None).reset_index()
        meta = json.loads((own / "run_meta.json").read_text())
        backend = f"{meta['resolved_de_backend']} on {meta['resolved_device']}"
        settings = {"backend": backend, "scale": scale, "digest": meta["config_digest"][:DIGITS]}
        return self.read(table, means, baseline, scaled, settings=settings)
