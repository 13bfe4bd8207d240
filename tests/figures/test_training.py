"""Curves of a training: what is drawn is what was logged."""

import numpy as np
import pandas as pd

from vccapp.figures.training import DASHES, POINTS, curves_of, thin_curve, usage_of


def make_curve(n: int) -> pd.DataFrame:
    steps = np.arange(1, n + 1)
    return pd.DataFrame({"step": steps, "seconds": steps / 2, "value": np.linspace(3, 1, n)})


def test_a_long_curve_is_thinned_to_means() -> None:
    curve = make_curve(10 * POINTS)
    few = thin_curve(curve)
    assert len(few) == POINTS and few["step"].iloc[-1] == 10 * POINTS
    np.testing.assert_allclose(few["value"].iloc[0], curve["value"][:10].mean())
    pd.testing.assert_frame_equal(thin_curve(make_curve(5)), make_curve(5))


def test_the_references_stand_beside_the_curve() -> None:
    references = pd.DataFrame({"name": ["control mean", "perfect"], "value": [2.0, 0.5]})
    curve = make_curve(20).assign(run="a")
    chart = curves_of(curve, references, label="MAE", note="now 1", last=100).to_dict()
    line, rules, end = chart["layer"]
    data = chart["datasets"]
    assert len(data[line["data"]["name"]]) == 20
    assert [row["name"] for row in data[rules["data"]["name"]]] == ["control mean", "perfect"]
    assert rules["encoding"]["strokeDash"]["scale"]["range"] == [DASHES["control mean"], DASHES["perfect"]]
    assert line["encoding"]["x"]["scale"]["domain"] == [0, 100]
    assert [row["step"] for row in data[end["data"]["name"]]] == [20]
    assert len(curves_of(curve, references[:0], label="Loss", note="").to_dict()["layer"]) == 2


def test_several_runs_lie_over_each_other_and_each_has_its_colour() -> None:
    curves = pd.concat([make_curve(20).assign(run=run) for run in "ab"])
    curves["smooth"] = curves["value"] + 1
    nothing = pd.DataFrame(columns=["name", "value"])
    chart = curves_of(curves, nothing, label="Loss", note="", axis="seconds", log=True).to_dict()
    raw, line, end = chart["layer"]
    assert line["encoding"]["color"]["scale"]["domain"] == ["a", "b"]
    assert (raw["encoding"]["y"]["field"], line["encoding"]["y"]["field"]) == ("value", "smooth")
    assert line["encoding"]["x"]["field"] == "seconds" and line["encoding"]["y"]["scale"]["type"] == "log"
    assert [row["run"] for row in chart["datasets"][end["data"]["name"]]] == ["a", "b"]
    below = curves_of(curves.assign(value=-1.0), nothing, label="x", note="", log=True).to_dict()
    assert below["layer"][1]["encoding"]["y"]["scale"]["type"] == "linear"


def test_a_short_peak_of_what_was_used_is_not_thinned_away() -> None:
    series = pd.DataFrame({"seconds": np.arange(3000.0), "value": np.where(np.arange(3000) == 7, 9.0, 1.0)})
    chart = usage_of(series, label="Memory", unit="GB").to_dict()
    [rows] = chart["datasets"].values()
    assert len(rows) == POINTS and max(row["value"] for row in rows) == 9
