"""When a gene counts as differentially expressed, said once for index, losses, scores, tables and pages."""

FDR = 0.05
"""A gene is a DEG where its false discovery rate (Benjamini-Hochberg over the genes of a perturbation) is below."""
