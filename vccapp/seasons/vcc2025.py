"""The Virtual Cell Challenge 2025: H1 cells, few-shot, log-normalised predictions with controls.

The depth is the mean of median_umi_per_cell over the cells of pert_counts_Validation (54,176) and _Test (54,001).

The cap is that of the season's rules (100,000 cells); the packager of today, cell-eval 0.8.2, would let 200,000 pass.
Counts are taken too: the packager normalises them to the median depth of the file, and takes log1p.
"""

import csv

from vccapp.data.places import ASSETS
from vccapp.seasons.base import SEASONS, Phase, Season, Target
from vccapp.seasons.containers import CONTAINERS

LABELS = {"validation": "Validation", "final": "Final (test set)"}


def _read_phases() -> tuple[Phase, ...]:
    """Of the list that tools/build_season.py made: phase, target_gene, n_cells, median_umi_per_cell."""
    with (ASSETS / "vcc2025_targets.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return tuple(
        Phase(
            name=name,
            label=label,
            targets=tuple(
                Target(label=row["target_gene"], n_cells=row["n_cells"], median_umi=row["median_umi_per_cell"])
                for row in rows
                if row["phase"] == name
            ),
        )
        for name, label in LABELS.items()
    )


VCC2025 = SEASONS.register("vcc2025")(
    Season(
        name="vcc2025",
        label="Virtual Cell Challenge 2025",
        n_genes=18_080,
        gene_file=ASSETS / "vcc2025_genes.txt",
        max_cells=100_000,
        controls="required",
        spaces=("log1p", "counts"),
        max_value=15.0,
        depth=54_100.0,
        container=CONTAINERS["vcc2025"],
        metrics="2025",
        phases=_read_phases(),
        hand_in="https://virtualcellchallenge.org",
        source="cell-eval 0.8.2 (cell-eval prep) and the season's tutorial",
    )
)
