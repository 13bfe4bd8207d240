"""How the columns of the tables are called and formatted, said once for all pages."""

import streamlit as st

_NUMBERS = {
    "cells": ("Cells", "localized", "Number of cells"),
    "genes": ("Genes", "localized", "Number of genes"),
    "perturbations": ("Perturbations", "localized", "Without the control"),
    "mean": ("Mean", "%.4g", "Mean over all cells, in the file's own units"),
    "max": ("Max", "%.4g", "Largest value in any cell, in the file's own units"),
    "min": ("Min", "%.4g", "Smallest value in any cell, in the file's own units"),
    "nonzero_fraction": ("Non-zero", "percent", "Share of all cells in which the gene is seen"),
    "ctrl_nonzero_fraction": ("Non-zero in controls", "percent", "Share of control cells in which the gene is seen"),
    "ctrl_mean": ("Control mean", "%.4f", "Mean over the control cells, in the file's own units"),
    "pert_mean": ("Perturbed mean", "%.4f", "Mean over all perturbed cells, in the file's own units"),
    "delta": ("Delta", "%.4f", "Perturbed minus control, in the units of the two"),
    "abs_delta": ("|Delta|", "%.4f", "Size of the delta"),
    "n_cells": ("Cells", "localized", "Number of cells"),
    "umis_median": ("UMIs per cell", "localized", "Median over the cells"),
    "genes_median": ("Genes per cell", "localized", "Median number of detected genes over the cells"),
    "degs": ("DEGs", "localized", "Differentially expressed genes against the controls (Wilcoxon)"),
    "up": ("Up", "localized", "DEGs that go up"),
    "down": ("Down", "localized", "DEGs that go down"),
    "knockdown": ("Target left", "percent", "Expression left on the perturbed gene, relative to the controls"),
    "effect": ("Effect size", "%.3f", "Length (L2) of the delta over all genes, log1p units"),
    "control": ("Control", "%.4f", "Mean log1p over the control cells"),
    "real": ("Real", "%.4f", "Mean log1p over the real perturbed cells"),
    "predicted": ("Predicted", "%.4f", "Predicted mean log1p"),
    "real_delta": ("Real delta", "%.4f", "Real minus control, log1p units"),
    "predicted_delta": ("Predicted delta", "%.4f", "Predicted minus control, log1p units"),
    "p_value": ("p", "scientific", "Wilcoxon rank-sum, two-sided"),
    "fdr": ("FDR", "scientific", "Benjamini-Hochberg over the genes of one perturbation"),
    "log2_fold_change": ("log2 fold change", "%.3f", "Of geometric means, as in the 2025 scorer"),
    "pearson_delta": ("Pearson of deltas", "%.3f", "Correlation of predicted and real delta over all genes"),
    "spearman_delta": ("Spearman of deltas", "%.3f", "Rank correlation of predicted and real delta over all genes"),
    "pearson_delta_top": ("Pearson, top 50", "%.3f", "Over the 50 genes with the largest real |delta|"),
    "spearman_delta_top": ("Spearman, top 50", "%.3f", "Over the 50 genes with the largest real |delta|"),
    "mae": ("MAE", "%.4f", "Mean absolute error of the pseudobulk, log1p units"),
    "mse_delta": ("MSE of deltas", "%.5f", "Mean squared error of the delta"),
    "n_degs": ("DEGs", "localized", "Real DEGs at FDR < 0.05"),
    "highly_variable": ("Highly variable", "", "Among the 2,000 genes with the highest normalised dispersion"),
    "means": ("HVG mean", "%.4f", "log1p of the mean of depth-normalised values"),
    "dispersions": ("Dispersion", "%.3f", "Logarithm of variance over mean of depth-normalised values"),
    "dispersions_norm": ("Normalised dispersion", "%.3f", "Standardised among genes of like mean"),
    "half_correlation": ("Halves' correlation", "%.3f", "Of the deltas of two random halves of the cells"),
    "reliability": ("Reliability", "%.3f", "Spearman-Brown of the halves' correlation"),
    "wanted": ("Wanted", "localized", "Cells that pert_counts.csv asks for"),
    "given": ("Planned", "localized", "Cells after scaling to the cap"),
}


def column_format(names: list[str]) -> dict:
    """`column_config` for the columns of a frame that have a known meaning."""
    others = {name: st.column_config.Column(name.replace("_", " ").capitalize()) for name in names}
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
    return others | numbers | flags
