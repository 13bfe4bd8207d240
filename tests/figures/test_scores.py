"""Figures of the leaderboard on one row and on many, and the report: escaped, drawn, and opened without a network."""

import os

import altair as alt
import numpy as np
import pandas as pd
import pytest
from browser import CHROMIUM, open_browser

from vccapp.figures import scores
from vccapp.figures.report import LONG, Section, chart_svg, make_table, render_report

RNG = np.random.default_rng(0)
EVIL = "<script>document.title = 'broken'</script>"


def groups(n: int) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "label": [f"Model {i}" for i in range(n)],
            "mean": RNG.normal(size=n),
            "sd": [np.nan, *RNG.random(n - 1)],
            "seeds": 3,
        }
    )


def dots(n: int) -> alt.TopLevelMixin:
    runs = pd.DataFrame(
        {"label": [f"Model {i % n}" for i in range(3 * n)], "run": "r", "value": RNG.normal(size=3 * n)}
    )
    marks = pd.DataFrame({"name": ["perturbation mean", "perfect"], "value": [0.0, 1.0]})
    return scores.leaderboard_dots(groups(n), runs, marks, label="MAE", note="less is better")


def differences(n: int) -> pd.DataFrame:
    middle = RNG.normal(size=n)
    frame = pd.DataFrame({"label": [f"Model {i}" for i in range(n)], "n": 9, "difference": middle})
    return frame.assign(low=middle - 1, high=middle + 1, p=0.01, p_holm=np.linspace(0.001, 1, n))


def rows(n: int, best: str = "high") -> alt.TopLevelMixin:
    pairs = pd.DataFrame({"label": "Model 0", "perturbation": "MYC", "difference": RNG.normal(size=5)})
    return scores.difference_rows(differences(n), pairs, best=best, reference="Mean", label="MAE")


def lines(n: int) -> alt.TopLevelMixin:
    means = groups(n).assign(model=lambda f: f["label"], split=[f"fold{i % 3}" for i in range(n)])
    return scores.split_lines(means, label="MAE")


@pytest.mark.slow
@pytest.mark.parametrize("figure", [dots, rows, lines])
@pytest.mark.parametrize("n", [1, 20])
def test_figure_has_title_and_axes_and_is_drawn(figure, n: int) -> None:
    chart = figure(n)
    spec = chart.to_dict()
    assert spec["title"]["text"] and spec["title"]["subtitle"]
    svg = chart_svg(chart)
    assert svg.startswith("<svg") and "MAE" in svg
    assert "Model 0" in svg


@pytest.mark.parametrize("best", ["high", "low"])
def test_better_and_worse_follow_the_direction_and_the_corrected_p(best: str) -> None:
    frame = pd.DataFrame(
        {"label": list("abc"), "n": 9, "difference": [1.0, -1.0, 2.0], "low": 0.0, "high": 0.0}
    ).assign(p_holm=[0.01, 0.01, 0.2])
    pairs = pd.DataFrame({"label": ["a"], "perturbation": ["MYC"], "difference": [0.1]})
    spec = scores.difference_rows(frame, pairs, best=best, reference="Mean", label="MAE").to_dict()
    [drawn] = [rows for rows in spec["datasets"].values() if "verdict" in rows[0]]
    expected = (
        ["better", "worse", "not distinguishable"] if best == "high" else ["worse", "better", "not distinguishable"]
    )
    assert [row["verdict"] for row in drawn] == expected


def test_a_table_shows_numbers_gaps_and_text() -> None:
    frame = pd.DataFrame({EVIL: ["a<b", "x" * (LONG + 1)], "value": [0.123456, np.nan], "n": [12345, 1]})
    frame["whole"] = pd.array([None, 3], dtype="Int64")
    table = make_table(frame)
    assert table.rows[0] == [("", "a<b"), ("number", "0.1235"), ("number", "12,345"), ("number", "–")]
    assert table.rows[1] == [("long", "x" * (LONG + 1)), ("number", "–"), ("number", "1"), ("number", "3")]
    text = render_report("t", "s", [Section("u", tables=[frame])])
    assert "<script" not in text and "a&lt;b" in text
    assert ">0.1235<" in text and text.count(">–<") == 2 and text.count('class="long"') == 1


@pytest.mark.browser
def test_a_report_opens_without_a_network_and_runs_nothing() -> None:
    if not CHROMIUM.exists():
        if os.environ.get("CI") == "true":
            pytest.fail(f"{CHROMIUM} is missing; the browser tests must run here (apt-get install chromium)")
        pytest.skip(f"{CHROMIUM} is missing; install chromium to run the browser tests")
    named = groups(3).assign(label=[EVIL, "b", "c"])
    chart = scores.leaderboard_dots(
        named,
        pd.DataFrame({"label": [EVIL], "run": "r", "value": 1.0}),
        pd.DataFrame({"name": ["perfect"], "value": [1.0]}),
        label="MAE",
        note="n = 3",
    )
    sections = [
        Section(f"MAE {EVIL}", EVIL, [EVIL], tables=[named], charts=[(chart, 'say "MAE"')], folded={EVIL: named}),
        Section("Again", commands=[f"vccapp {EVIL}"]),
    ]
    page_text = render_report(f"Scores {EVIL}", "now", sections)
    with open_browser() as page:
        asked, said = [], []
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: said.append(message.text))
        page.context.set_offline(True)
        page.set_content(page_text)
        assert page.title() == f"Scores {EVIL}"
        assert page.locator("figure svg").bounding_box()["width"] > 500
        assert page.locator("figure").get_attribute("aria-label") == 'say "MAE"'
        assert page.locator("table").count() == 2
        assert page.locator("script").count() == 0
    assert asked == [] and said == []
