"""What stands beside every prediction: two floors, two limits, and how pages, tables and charts call them.

A floor is a model that knows nothing of the perturbation asked. A limit is told by the cells themselves
(`vccapp.evaluation.limits`): what the true means would get against these cells, and what a second experiment of the
same size would get.
"""

CONTROL_MEAN, PERTURBATION_MEAN = FLOORS = ("control_mean", "perturbation_mean")
"""Models whose scores stand beside those of every run; the last one is the floor that scales are drawn from."""
PERFECT, REPEAT = LIMITS = ("perfect", "repeat")
"""No prediction that is right passes the first by more than its standard error; many good ones do not reach the second.
"""
NAMES = {CONTROL_MEAN: "control mean", PERTURBATION_MEAN: "perturbation mean", REPEAT: "repeat", PERFECT: "perfect"}
"""Short names, by key: among other rows of scores."""
FULL_NAMES = {
    CONTROL_MEAN: "baseline: control mean",
    PERTURBATION_MEAN: "baseline: perturbation mean",
    REPEAT: "repeat: a second experiment",
    PERFECT: "perfect: the true means",
}
"""Names among predictions, by key."""
OFFICIAL_BASELINE = "official baseline"
"""The floor that an official scorer makes of the cells it is given."""
CHANCE = "chance"
CONTROL_CELLS, REAL_CELLS = "control", "real"
"""Measured cells among predicted ones."""
