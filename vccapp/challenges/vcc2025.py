"""The Virtual Cell Challenge 2025: H1 cells, few-shot, log-normalised predictions with controls.

The depth is the mean of median_umi_per_cell over the cells of pert_counts_Validation (54,176) and _Test (54,001).

The cap is that of the season's rules (100,000 cells); the packager of today, cell-eval 0.8.2, would let 200,000 pass.
"""

from vccapp.challenges.base import CHALLENGES, Challenge

VCC2025 = CHALLENGES.register("vcc2025")(
    Challenge(
        name="vcc2025",
        label="Virtual Cell Challenge 2025",
        n_genes=18_080,
        max_cells=100_000,
        pert_col="target_gene",
        control_label="non-targeting",
        controls="required",
        value_space="log1p",
        max_value=15.0,
        depth=54_100.0,
        members=("pred.h5ad.zst", "watermark.txt"),
        watermark=b"vcc-prep",
        source="cell-eval 0.8.2 (cell-eval prep) and the season's tutorial",
    )
)
