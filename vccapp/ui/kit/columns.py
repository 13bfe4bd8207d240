"""How the columns of the tables are called and formatted, said once for all pages."""

from collections.abc import Mapping
from typing import Any

import streamlit as st

from vccapp.data.significance import FDR
from vccapp.evaluation.confidence import MEANING
from vccapp.evaluation.leaderboard.metric_names import AVERAGE, find_metric, label_metric

BESIDE = ("baseline", "repeat", "perfect")
_NUMBERS = {
    "cells": ("Cells", "localized", "Number of cells"),
    "genes": ("Genes", "localized", "Number of genes"),
    "perturbations": ("Perturbations", "localized", "Without the control"),
    "mean": ("Mean", "%.4g", "Mean over all cells, in the file's own units"),
    "max": ("Max", "%.4g", "Largest value in any cell, in the file's own units"),
    "min": ("Min", "%.4g", "Smallest value in any cell, in the file's own units"),
    "nonzero_fraction": ("Non-zero", "percent", "Share of all cells in which the gene is detected"),
    "ctrl_nonzero_fraction": (
        "Non-zero in controls",
        "percent",
        "Share of control cells in which the gene is detected",
    ),
    "ctrl_mean": ("Control mean", "%.4g", "Mean over the control cells, in the file's own units"),
    "pert_mean": ("Perturbed mean", "%.4g", "Mean over all perturbed cells, in the file's own units"),
    "delta": ("Delta", "%.4g", "Perturbed minus control, in the same units"),
    "abs_delta": ("|Delta|", "%.4g", "Size of the delta"),
    "n_cells": ("Cells", "localized", "Number of cells"),
    "umis_median": ("UMIs per cell", "localized", "Median over the cells"),
    "genes_median": ("Genes per cell", "localized", "Median number of detected genes over the cells"),
    "degs": ("DEGs", "localized", "Differentially expressed genes against the controls (Wilcoxon)"),
    "up": ("Up", "localized", "DEGs that go up"),
    "down": ("Down", "localized", "DEGs that go down"),
    "knockdown": (
        "Remaining target expression",
        "percent",
        "Remaining expression of the target gene, relative to the controls",
    ),
    "effect": ("Effect size", "%.3f", "Length (L2) of the delta over all genes, log1p units"),
    "control": ("Control", "%.4f", "Mean log1p over the control cells"),
    "real": ("Real", "%.4f", "Mean log1p over the real perturbed cells"),
    "predicted": ("Predicted", "%.4f", "Predicted mean log1p"),
    "real_delta": ("Real delta", "%.4f", "Real minus control, log1p units"),
    "predicted_delta": ("Predicted delta", "%.4f", "Predicted minus control, log1p units"),
    "p_value": ("p", "scientific", "Wilcoxon rank-sum, two-sided"),
    "fdr": ("FDR", "scientific", "Benjamini-Hochberg over the genes of one perturbation"),
    "log2_fold_change": ("log2 fold change", "%.3f", "Of geometric means, as in the 2025 scorer"),
    "n_degs": ("DEGs", "localized", f"Real DEGs at FDR < {FDR:g}"),
    "highly_variable": ("Highly variable", "", "Among the 2,000 genes with the highest normalised dispersion"),
    "means": ("HVG mean", "%.4f", "log1p of the mean of depth-normalised values"),
    "dispersions": ("Dispersion", "%.3f", "Logarithm of variance over mean of depth-normalised values"),
    "dispersions_norm": ("Normalised dispersion", "%.3f", "Standardised among genes of similar mean"),
    "half_correlation": ("Halves' correlation", "%.3f", "Correlation of the deltas of two random halves of the cells"),
    "perfect": ("Perfect", "%.3f", "Correlation that the true effect would have with the measured one"),
    "reliability": ("Reliability", "%.3f", "Spearman-Brown of the halves' correlation"),
    "confidence": ("Confidence", "%.2f", MEANING),
    "seeds": ("Seeds", "localized", "Number of runs that differ only in the seed"),
    "shared": (
        "Shared",
        "localized",
        "Real DEGs among the k genes of largest predicted |delta|, where k is the number of real DEGs",
    ),
    "overlap": ("Overlap", "%.4f", "Shared genes over real DEGs"),
    "same_direction": ("Same direction", "%.4f", "Share of these genes that change in the same direction"),
    "place": ("Place", "localized", "Rank of the true perturbation by distance (1 = closest)"),
    "n_perturbations": ("n", "localized", "Perturbations scored"),
    "n": ("n", "localized", "Perturbations that both have"),
    "rank": ("Rank", "localized", "By the first metric, among the rows that can be compared"),
    "difference": ("Difference", "%+.4f", "Mean over perturbations, minus that of the reference"),
    "low": ("Low", "%+.4f", "2.5 % of the bootstrap of the mean difference"),
    "high": ("High", "%+.4f", "97.5 % of the bootstrap of the mean difference"),
    "p": ("p", "%.4g", "Two-sided, signs of the paired differences flipped"),
    "p_holm": ("p (Holm)", "%.4g", "Corrected for the number of rows"),
    "overall": ("Overall", "%.4f", "Official score, as entered"),
    "cosine": ("Cosine", "%.3f", "Of signature and specific effect; negative reverses, positive mimics"),
    "spearman": ("Spearman", "%.3f", "Rank correlation over the genes that the cosine reads"),
    "p_random": ("p", "%.3g", "Two-sided, against random signatures of the same strength"),
    "fdr_random": ("FDR", "%.3g", "Benjamini-Hochberg over all effects of the ranking"),
    "ridge_weight": ("Ridge weight", "%.3g", "Of the effect in the sum of effects that is nearest to the signature"),
    "expression": ("Expression here", "%.3g", "Mean log1p of the target in the controls of this context"),
    "pair_cosine": ("Cosine of both", "%.3f", "Of signature and sum of both specific effects"),
    "better_cosine": ("Cosine of the better", "%.3f", "Of that of the two which does better by itself"),
    "gain": ("Gain", "%.3f", "By which both do better than the better one"),
    "spread": ("Spread", "%.3f", "How far the runs' predictions lie apart, log1p units"),
    "upper": ("Effect + spread", "%.3f", "What the effect could be as far as the runs disagree"),
    "chosen": ("As chosen", "%.3g", "The value that the setting has; empty: as predicted"),
    "best_value": ("Best", "%.3g", "The value that is best for the metric on these perturbations; empty: as predicted"),
    "best_gain": ("Gain", "%.4g", "Of the best value over leaving this knob as predicted; above 0 is better"),
    "cross_fitted": ("Gain, cross-fitted", "%.4g", "The same, each perturbation judged by what is best for all others"),
    "se": ("± (SE)", "%.2g", "Standard error over perturbations"),
    "at_end": ("At the end", "", "The best value is the last that is allowed"),
    "wanted": ("Wanted", "localized", "Cells requested by pert_counts.csv"),
    "given": ("Planned", "localized", "Cells after scaling to the cap"),
}

_WIDTHS = {"kind": 120}
"""Pixels of columns whose first rows are shorter than the others."""


def column_format(names: list[str]) -> dict[str, Any]:
    """`column_config` for the columns of a frame that have a known meaning, those of metrics among them."""
    others = {
        name: st.column_config.Column(f"{name[:1].upper()}{name[1:]}".replace("_", " "), width=_WIDTHS.get(name))
        for name in names
    }
    metrics = {name: column for name in names if name not in _NUMBERS and (column := _metric_column(name)) is not None}
    numbers = {
        name: st.column_config.NumberColumn(label, format=shape, help=meaning)
        for name, (label, shape, meaning) in _NUMBERS.items()
        if name in names and shape
    }
    flags = {
        name: st.column_config.CheckboxColumn(label, help=meaning)
        for name, (label, shape, meaning) in _NUMBERS.items()
        if name in names and not shape
    }
    return others | metrics | numbers | flags


def _metric_column(name: str) -> Mapping[str, object] | None:
    """The column of a metric, of its spread over seeds (`<metric> sd`) or its standard error (`<metric> se`), of the
    size of its panel (`<metric> n`), or of what stands beside it (`<metric> baseline`, `<metric> perfect`).
    """
    column, _, kind = name.partition(" ")
    metric = find_metric(column)
    if kind not in ("", "sd", "se", "n", *BESIDE) or (metric is None and column != AVERAGE):
        return None
    label = label_metric(column)
    if kind == "n":
        return st.column_config.NumberColumn(f"n of {label}", format="localized", help="Perturbations ranked among")
    if kind == "sd":
        return st.column_config.NumberColumn(f"± {label}", format="%.4f", help="Standard deviation over seeds")
    if kind == "se":
        return st.column_config.NumberColumn(f"± {label}", format="%.2g", help="Standard error over perturbations")
    label = f"{label}: {kind}" if kind in BESIDE else label
    meaning = f"{metric.best} is better; {metric.range}; {metric.source}" if metric else "Mean of the scaled scores"
    return st.column_config.NumberColumn(label, format="%.4f", help=meaning)
