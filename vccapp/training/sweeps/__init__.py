"""Sweeps: many trials of a model's parameters, each of one run or several, and what they show."""
