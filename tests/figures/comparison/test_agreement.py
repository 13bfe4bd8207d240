"""Figures of the page Compare draw what their frames hold, on one row and on many, and nothing in too small a space."""

import altair as alt
import numpy as np
import pandas as pd
import pytest

from vccapp.figures import sources
from vccapp.figures.comparison import agreement as compare
from vccapp.figures.comparison import genes as compare_genes
from vccapp.figures.comparison import perturbations as compare_perturbations
from vccapp.models.base import MODELS
from vccapp.references import CHANCE, FLOORS, FULL_NAMES, PERFECT, REPEAT

RNG = np.random.default_rng(0)


def points(n: int) -> pd.DataFrame:
    value = RNG.normal(size=n)
    return pd.DataFrame(
        {
            "perturbation": [f"P{i % 5}" for i in range(n)],
            "gene": [f"G{i}" for i in range(n)],
            "real_delta": value,
            "predicted_delta": value / 2,
        }
    )


def data_of(chart: alt.TopLevelMixin) -> list[dict]:
    return [row for rows in chart.to_dict()["datasets"].values() for row in rows]


@pytest.mark.parametrize("n", [1, 40, 5000])
def test_agreement_keeps_its_limit_and_draws_band_and_baseline(n: int) -> None:
    band = pd.DataFrame({"value": [-1.0, 1.0], "spread": [0.1, 0.2]})
    frame = points(n)
    chart = compare.agreement(
        frame,
        x="real_delta",
        y="predicted_delta",
        title="mine",
        unit="delta",
        band=band,
        baseline=frame,
        note="r 0.5",
        limit=500,
    )
    spec = chart.to_dict()
    assert spec["title"]["text"] == "mine" and spec["title"]["subtitle"][0] == "r 0.5"
    assert [layer["mark"]["type"] for layer in spec["layer"]] == ["area", "point", "line", "point"]
    assert len(data_of(chart)) <= 500 + compare.BASELINE_POINTS + compare.BAND_POINTS + 2


def test_the_band_widens_with_the_value() -> None:
    band = pd.DataFrame({"value": [-1.0, 1.0], "spread": [0.1, 0.3]})
    rows = compare._band(band, low=-1, high=1).to_dict()["datasets"].popitem()[1]
    assert rows[0]["high"] - rows[0]["low"] == pytest.approx(0.2)
    assert rows[-1]["high"] - rows[-1]["low"] == pytest.approx(0.6)


def test_every_reference_has_a_colour_of_its_own_kind() -> None:
    names = [f"baseline: {MODELS[name].label.lower()}" for name in FLOORS] + [
        FULL_NAMES[REPEAT],
        FULL_NAMES[PERFECT],
        CHANCE,
        "control",
        "real",
    ]
    assert set(names) == set(sources.REFERENCES) == set(sources.MARKS)
    beside = [
        "baseline: control mean",
        "baseline: perturbation mean",
        FULL_NAMES[REPEAT],
        FULL_NAMES[PERFECT],
        "chance",
    ]
    assert len({sources.MARKS[name] for name in beside}) == len(beside)
    scale = sources.colours(["mine", *names, "other"])
    assert scale.domain == ["mine", *names, "other"]
    assert (scale.range[0], scale.range[-1]) == (sources.RUNS[0], sources.RUNS[1])
    assert len(sources.colours([f"run {i}" for i in range(9)]).range) == 9


@pytest.mark.parametrize("n", [1, 150])
def test_values_by_perturbation_keep_the_order(n: int) -> None:
    order = [f"P{i}" for i in range(n)][::-1]
    frame = pd.DataFrame({"perturbation": order * 2, "source": ["a"] * n + ["b"] * n, "mae": RNG.random(2 * n)})
    spec = compare.by_perturbation(frame, value="mae", label="MAE", title="t", note="s", order=order).to_dict()
    assert spec["encoding"]["x"]["sort"] == order
    assert spec["encoding"]["x"]["axis"].get("labels", True) == (n < 100)


@pytest.mark.parametrize(("best", "first"), [("high", "A is better"), ("low", "B is better")])
def test_score_differences_say_who_is_better(best: str, first: str) -> None:
    frame = pd.DataFrame({"perturbation": ["x", "y", "z"], "first": 0, "second": 0, "difference": [0.2, 0.0, -0.1]})
    chart = compare.score_differences(frame, label="MAE", names=("A", "B"), best=best)
    rows = {row["perturbation"]: row["better"] for row in data_of(chart)}
    assert rows["x"] == first and rows["y"] == "alike" and rows["z"] != first


def test_gene_differences_take_both_ends_and_no_zero() -> None:
    n = 100
    frame = pd.DataFrame({"gene": [f"G{i}" for i in range(n)], "difference": np.linspace(-1, 1, n)})
    frame.loc[50:60, "difference"] = 0
    rows = data_of(compare.gene_differences(frame.assign(first_error=0.1, second_error=0.1), names=("A", "B")))
    assert len(rows) == compare.MOST_GENES
    assert {row["closer"] for row in rows} == {"A is closer", "B is closer"}
    alike = frame.assign(difference=0.0, first_error=0.1, second_error=0.1)
    assert compare.gene_differences(alike, names=("A", "B")).to_dict()["title"]["text"]


def test_gene_means_draw_intervals_only_where_known() -> None:
    frame = pd.DataFrame(
        {
            "gene": ["G", "G"],
            "source": ["real", "mine"],
            "mean": [1.0, 2.0],
            "low": [0.5, np.nan],
            "high": [1.5, np.nan],
        }
    )
    bars, lines = compare_genes.gene_means(frame, label="P").to_dict()["layer"]
    assert bars["encoding"]["x"]["axis"]["labelExpr"] == "['G'][datum.value]"
    assert lines["encoding"]["y2"]["field"] == "high"
    chart = compare_genes.gene_means(frame, label="P")
    assert {row["source"] for row in data_of(chart.layer[1])} == {"real"}


def test_violins_say_their_means() -> None:
    values = np.array([0, 2, 1, 1, 3, 5], np.float32)
    who = pd.Series(pd.Categorical(["control", "control", "real", "real", "mine", "mine"], ["control", "real", "mine"]))
    chart, frame = compare_genes.gene_cells(values, who, gene="G")
    assert chart.to_dict()["title"]["subtitle"] == "means: 1.00 control, 1.00 real, 4.00 predicted"
    assert list(dict.fromkeys(frame["group"])) == ["control", "real", "mine"]


def test_heat_maps_share_one_scale_around_zero() -> None:
    real, predicted = np.array([[0.5, -2.0]]), np.array([[3.0, 0.1]])
    figure = compare_genes.heat_map(real, predicted, labels=["P"], genes=["A", "B"], name="mine")
    assert [trace.coloraxis for trace in figure.data] == ["coloraxis"] * 2
    assert (figure.layout.coloraxis.cmin, figure.layout.coloraxis.cmax) == (-3, 3)
    assert list(figure.data[1].z[0]) == pytest.approx([3, 0.1])
    assert [note.text for note in figure.layout.annotations] == ["real", "mine"]


def test_the_gallery_has_a_panel_each_in_order_with_its_identity() -> None:
    frame = points(6).assign(panel=["b", "b", "a", "a", "c", "c"])
    spec = compare_perturbations.gallery(frame, title="t", note="s").to_dict()
    assert spec["facet"]["sort"] == ["b", "a", "c"]
    rows = [row for rows in spec["datasets"].values() for row in rows]
    ends = [row for row in rows if row["kind"] == "identity"]
    assert len(ends) == 6
    assert all(row["real_delta"] == row["predicted_delta"] for row in ends)


def test_confusion_counts_places_from_one() -> None:
    figure = compare_perturbations.confusion(np.array([[0, 1], [1, 0]]), ["A", "B"], name="mine", unit="L1")
    assert figure.data[0].z.tolist() == [[1, 2], [2, 1]]
    assert figure.layout.yaxis.title.text == "predicted"


def test_taken_for_counts_predictions() -> None:
    frame = pd.DataFrame({"perturbation": ["A", "B", "C"], "nearest": ["A", "A", "B"]})
    chart = compare_perturbations.taken_for(frame)
    rows = {row["nearest"]: (row["n"], row["kind"]) for row in data_of(chart)}
    assert rows == {"A": (2, "including its own prediction"), "B": (1, "only predictions of others")}
    assert chart.to_dict()["title"]["subtitle"].startswith("1 of 3")
