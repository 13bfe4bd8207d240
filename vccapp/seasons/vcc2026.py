"""The Virtual Cell Challenge 2026: zero-shot, raw counts of 300 targets in three contexts a phase, without controls.

Genes, targets and control cells are in the organisers' bundle of each phase (vcc_2026_controls.zip and
vcc_2026_controls_final.zip). The depth is that of their control cells, about 20,000 UMIs.
"""

from datetime import date

from vccapp.seasons.base import SEASONS, Phase, Season
from vccapp.seasons.containers import CONTAINERS

VCC2026 = SEASONS.register("vcc2026")(
    Season(
        name="vcc2026",
        label="Virtual Cell Challenge 2026",
        n_genes=18_533,
        context_col="context",
        controls="forbidden",
        spaces=("counts",),
        cells_per_target=400,
        max_cells=400_000,
        max_values=4_750_000_000,
        max_cell_total=1_000_000.0,
        container=CONTAINERS["vcc2026"],
        metrics="2026",
        phases=(
            Phase(name="validation", label="Validation", contexts=("A", "B", "C"), closes=date(2026, 10, 22)),
            Phase(
                name="final",
                label="Final",
                contexts=("D", "E", "F"),
                opens=date(2026, 10, 22),
                closes=date(2026, 11, 5),
                note="Sources disagree whether it closed at 11:59 or 23:59 UTC.",
                confirm="The last entry counts: this one replaces all that came before, and scores stay hidden.",
            ),
        ),
        hand_in="vcc submit {file} -m {name}",
        source="vcc-cli 0.3.0 (vcc prep), cell-eval2 0.20.0 and the season's metric brief of 2026-08-19",
    )
)
