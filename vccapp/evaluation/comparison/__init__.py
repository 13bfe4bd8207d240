"""Predicted against real: all that the page Compare and `vccapp eval` show.

A `Comparison` holds what is compared; `vccapp.training.comparison.open_comparison` makes it of finished runs. Each view
is a function of it that returns frames: `view_agreement`, `view_genes`, `view_heat_map`, `view_scores`, `view_gallery`,
`view_confusion`, `view_overlap`, `view_difference` and `view_diagnostics`.
"""
