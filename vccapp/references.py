"""What stands beside every prediction: the two floors, the ceiling, and how pages, tables and charts call them.

A floor is a model that knows nothing of the perturbation asked; the ceiling is what one half of the real cells says of
the other, so at half their depth.
"""

CONTROL_MEAN, PERTURBATION_MEAN = FLOORS = ("control_mean", "perturbation_mean")
"""Models whose scores stand beside those of every run; the last one is the floor that scales are drawn from."""
CEILING = "ceiling"
NAMES = {CONTROL_MEAN: "control mean", PERTURBATION_MEAN: "perturbation mean", CEILING: "ceiling"}
"""Short names, by key: among other rows of scores."""
FULL_NAMES = {
    CONTROL_MEAN: "baseline: control mean",
    PERTURBATION_MEAN: "baseline: perturbation mean",
    CEILING: "ceiling: half against half",
}
"""Names among predictions, by key."""
OFFICIAL_BASELINE = "official baseline"
"""The floor that an official scorer makes of the cells it is given."""
CHANCE = "chance"
CONTROL_CELLS, REAL_CELLS = "control", "real"
"""Measured cells among predicted ones."""
