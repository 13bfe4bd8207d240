"""A report as one HTML file: tables, and charts as SVG drawn here. It holds no script and asks the network nothing.

The page is report.html beside this file, a template that escapes what it is given.

html = render_report(title, subtitle, [Section("Leaderboard", tables=[frame]), Section("MAE", charts=[chart])])
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import altair as alt
import numpy as np
import pandas as pd

WIDTH = 760
"""Pixels of a chart, labels included."""
LONG = 70
"""Characters of a cell from which it is broken into lines."""
TEMPLATE = Path(__file__).with_suffix(".html")


@dataclass(frozen=True)
class Section:
    """One heading of a report and what stands below it, in the order of the fields.

    charts : (chart, alternative text). folded : tables under a line to click, by that line.
    """

    title: str
    text: str = ""
    warnings: Sequence[str] = ()
    tables: Sequence[pd.DataFrame] = ()
    charts: Sequence[tuple[alt.Chart | alt.LayerChart, str]] = ()
    folded: dict[str, pd.DataFrame] = field(default_factory=dict)
    commands: Sequence[str] = ()


@dataclass(frozen=True)
class Table:
    """What stands in an HTML table: the names of its columns, and of each cell its kind (class) and text."""

    columns: Sequence[str]
    rows: Sequence[Sequence[tuple[str, str]]]


def render_report(title: str, subtitle: str, sections: Sequence[Section], *, alert: str = "") -> str:
    """The whole file. alert : what must be known before anything is read, in red."""
    from jinja2 import Environment  # a tenth of a second, which most commands need not wait

    template = Environment(autoescape=True).from_string(TEMPLATE.read_text())
    return template.render(
        title=title, subtitle=subtitle, sections=sections, alert=alert, table=make_table, svg=chart_svg
    )


def chart_svg(chart: alt.Chart | alt.LayerChart, *, width: int = WIDTH) -> str:
    """The chart drawn as SVG, with text as text."""
    import vl_convert

    sized = chart.copy(deep=False)
    sized.width, sized.autosize = width, alt.AutoSizeParams(type="fit", contains="padding")
    version = ".".join(alt.SCHEMA_VERSION.removeprefix("v").split(".")[:2])
    # The figure around it says what it is; a label on every mark would double the file.
    return vl_convert.vegalite_to_svg(sized.to_json(), vl_version=version, config={"aria": False})


def make_table(frame: pd.DataFrame) -> Table:
    """Numbers with four significant digits, to the right; what is missing as a dash."""
    rows = [[_describe_cell(value) for value in row] for row in frame.astype(object).itertuples(index=False)]
    return Table([str(name) for name in frame.columns], rows)


def _describe_cell(value: object) -> tuple[str, str]:
    if pd.isna(value):
        return "number", "–"
    if isinstance(value, float):
        return "number", f"{value:.4g}"
    if isinstance(value, int | np.integer) and not isinstance(value, bool):
        return "number", f"{value:,}"
    text = str(value)
    return ("long" if len(text) > LONG else ""), text
