"""Curves of a training: what is drawn is what was logged."""

import numpy as np
import pandas as pd

from vccapp.figures.training import DASHES, POINTS, curve_of, thin_curve


def make_curve(n: int) -> pd.DataFrame:
    return pd.DataFrame({"step": np.arange(1, n + 1), "value": np.linspace(3, 1, n)})


def test_a_long_curve_is_thinned_to_means() -> None:
    curve = make_curve(10 * POINTS)
    few = thin_curve(curve)
    assert len(few) == POINTS and few["step"].iloc[-1] == 10 * POINTS
    np.testing.assert_allclose(few["value"].iloc[0], curve["value"][:10].mean())
    pd.testing.assert_frame_equal(thin_curve(make_curve(5)), make_curve(5))


def test_the_references_stand_beside_the_curve() -> None:
    references = pd.DataFrame({"name": ["control mean", "ceiling"], "value": [2.0, 0.5]})
    chart = curve_of(make_curve(20), references, label="MAE", note="now 1", last_step=100).to_dict()
    line, rules, end = chart["layer"]
    data = chart["datasets"]
    assert len(data[line["data"]["name"]]) == 20
    assert [row["name"] for row in data[rules["data"]["name"]]] == ["control mean", "ceiling"]
    assert rules["encoding"]["strokeDash"]["scale"]["range"] == [DASHES["control mean"], DASHES["ceiling"]]
    assert line["encoding"]["x"]["scale"]["domain"] == [0, 100]
    assert data[end["data"]["name"]] == [{"step": 20, "value": 1.0}]
    assert len(curve_of(make_curve(20), references[:0], label="Loss", note="").to_dict()["layer"]) == 2
