"""Scores of many runs: groups over seeds, ranks, differences, names of metrics."""
