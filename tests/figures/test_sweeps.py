"""Parallel coordinates: every value of every trial stands where it belongs, counted by hand."""

import math

import pandas as pd
import pytest

from vccapp.figures.style import UP
from vccapp.figures.sweeps import Axis, importance_bars, parallel_coordinates

TRIALS = pd.DataFrame(
    {
        "trial": [1, 2, 3],
        "objective": [0.2, 0.4, 0.3],
        "rate": [1e-4, 1e-2, 1e-3],
        "loss": ["C2", "C1", "C3"],
        "width": [10, 30, 20],
        "flag": [True, False, True],
    }
)
AXES = [
    Axis("rate", "Learning rate", (1e-4, 1e-2), is_range=True, log=True),
    Axis("loss", "Loss", ("C1", "C2", "C3")),
    Axis("width", "Width", (0, 40), is_range=True),
    Axis("flag", "Flag", (False, True)),
]
EXPECTED = {
    "Learning rate": [0.0, 1.0, 0.5],
    "Loss": [0.5, 0.0, 1.0],
    "Width": [0.25, 0.75, 0.5],
    "Flag": [1.0, 0.0, 1.0],
    "Pearson": [0.0, 1.0, 0.5],
}


@pytest.mark.slow
@pytest.mark.parametrize("best", ["high", "low"])
def test_every_value_stands_in_its_place(best: str) -> None:
    chart = parallel_coordinates(TRIALS, AXES, objective="Pearson", best=best).to_dict()
    _, lines, *names = chart["layer"]
    drawn = pd.DataFrame(chart["datasets"][lines["data"]["name"]])
    for label, places in EXPECTED.items():
        own = drawn[drawn["axis"] == label].sort_values("trial")
        assert own["place"].tolist() == pytest.approx(places)
    assert lines["encoding"]["x"]["sort"] == list(EXPECTED)
    assert (lines["encoding"]["color"]["scale"]["range"][-1] == UP) == (best == "high")
    ticks = pd.concat(pd.DataFrame(chart["datasets"][layer["data"]["name"]]) for layer in names).sort_values("place")
    assert ticks[ticks["axis"] == "Loss"]["name"].tolist() == ["C1", "C2", "C3"]
    assert ticks[ticks["axis"] == "Pearson"]["name"].tolist() == ["0.2", "0.4"]


@pytest.mark.slow
def test_a_single_trial_and_equal_objectives_are_drawn() -> None:
    for frame in (TRIALS.head(1), TRIALS.assign(objective=1.0)):
        chart = parallel_coordinates(frame, AXES, objective="Pearson", best="high").to_dict()
        drawn = pd.DataFrame(chart["datasets"][chart["layer"][1]["data"]["name"]])
        assert drawn["place"].map(math.isfinite).all()


def test_bars_are_the_importances() -> None:
    shares = pd.DataFrame({"parameter": ["rate", "width"], "importance": [0.9, 0.1]})
    chart = importance_bars(shares, objective="Pearson", n=20).to_dict()
    [data] = chart["datasets"].values()
    assert data == shares.to_dict("records") and chart["encoding"]["y"]["sort"] == ["rate", "width"]
