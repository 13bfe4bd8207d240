"""Names in Plotly's charts: its texts are HTML, so a name must not be."""

import json

import numpy as np
import pytest

from vccapp.figures.comparison.genes import heat_map
from vccapp.figures.comparison.perturbations import confusion
from vccapp.figures.similarity import similarity_heatmap
from vccapp.figures.style import plotly_text

HOSTILE = '<a href="https://evil.example">b</a>&lt;%{customdata}$x$'


def test_plotly_text_leaves_no_markup() -> None:
    assert plotly_text(HOSTILE) == (
        '&#60;a href="https://evil.example"&#62;b&#60;/a&#62;&#38;lt;%&#123;customdata&#125;&#36;x&#36;'
    )
    assert plotly_text("HLA-A+B (2)") == "HLA-A+B (2)"


@pytest.mark.parametrize(
    "figure",
    [
        confusion(np.eye(2), [HOSTILE, "5"], name=HOSTILE, unit="L1"),
        similarity_heatmap(np.eye(2), [HOSTILE, "5"]),
        heat_map(np.eye(2), np.eye(2), labels=[HOSTILE, "5"], genes=[HOSTILE, "1-Mar"], name=HOSTILE),
    ],
    ids=["confusion", "similarity", "heat map"],
)
def test_names_are_text_and_not_numbers_or_dates(figure) -> None:
    text = figure.to_json()
    for part in ("<a href", "%{customdata}", "$x$", "&lt;"):
        assert json.dumps(part)[1:-1] not in text
        assert part not in text
    axes = [axis for name, axis in figure.layout.to_plotly_json().items() if name.startswith(("xaxis", "yaxis"))]
    assert axes
    assert {axis["type"] for axis in axes} == {"category"}
