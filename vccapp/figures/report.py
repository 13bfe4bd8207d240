"""A report as one HTML file: tables, and charts as SVG drawn here. It holds no script and asks the network nothing.

html = render_report(title, subtitle, [Section("Leaderboard", tables=[frame]), Section("MAE", charts=[chart])])
"""

import html
from collections.abc import Sequence
from dataclasses import dataclass, field

import altair as alt
import numpy as np
import pandas as pd

WIDTH = 760
"""Pixels of a chart, labels included."""
LONG = 70
"""Characters of a cell from which it is broken into lines."""

# The policy forbids scripts and every request, whatever a name in the data may hold.
PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
:root {{ color-scheme: light; }}
body {{ font: 15px/1.5 system-ui, sans-serif; color: #1c2530; background: #fff; max-width: 1280px;
  margin: 2rem auto 4rem; padding: 0 1.25rem; }}
h1 {{ font-size: 1.6rem; margin: 0; }}
h2 {{ font-size: 1.2rem; margin: 2.2rem 0 .4rem; border-top: 1px solid #e1e6eb; padding-top: 1rem; }}
p {{ margin: .4rem 0; max-width: 75ch; }}
.quiet {{ color: #5b6672; }}
.warning {{ background: #fff4e0; border-left: 4px solid #e69f00; padding: .5rem .8rem; }}
figure {{ margin: 1rem 0; overflow-x: auto; }}
.wide {{ overflow-x: auto; margin: .8rem 0; }}
table {{ border-collapse: collapse; font-size: 13px; }}
th, td {{ padding: .25rem .6rem; border-bottom: 1px solid #e1e6eb; text-align: left; vertical-align: top;
  white-space: nowrap; }}
td.long {{ white-space: normal; min-width: 30rem; }}
th {{ background: #f5f7f9; }}
td.number {{ text-align: right; font-variant-numeric: tabular-nums; }}
summary {{ cursor: pointer; margin: .6rem 0; }}
pre {{ background: #f5f7f9; padding: .8rem; overflow-x: auto; font-size: 13px; white-space: pre-wrap; }}
@media print {{ details > * {{ display: block; }} body {{ margin: 0; }} }}
</style>
</head>
<body>
<h1>{title}</h1>
<p class="quiet">{subtitle}</p>
{body}
</body>
</html>
"""


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


def render_report(title: str, subtitle: str, sections: Sequence[Section]) -> str:
    """The whole file."""
    body = "\n".join(map(_render_section, sections))
    return PAGE.format(title=html.escape(title), subtitle=html.escape(subtitle), body=body)


def chart_svg(chart: alt.Chart | alt.LayerChart, *, width: int = WIDTH) -> str:
    """The chart drawn as SVG, with text as text."""
    import vl_convert

    sized = chart.copy(deep=False)
    sized.width, sized.autosize = width, alt.AutoSizeParams(type="fit", contains="padding")
    version = ".".join(alt.SCHEMA_VERSION.removeprefix("v").split(".")[:2])
    # The figure around it says what it is; a label on every mark would double the file.
    return vl_convert.vegalite_to_svg(sized.to_json(), vl_version=version, config={"aria": False})


def render_table(frame: pd.DataFrame) -> str:
    """An HTML table: numbers to the right with four significant digits, what is missing as a dash."""
    head = "".join(f"<th>{html.escape(str(name))}</th>" for name in frame.columns)
    rows = ("<tr>" + "".join(map(_render_cell, row)) + "</tr>" for row in frame.astype(object).itertuples(index=False))
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'


def _render_section(section: Section) -> str:
    parts = [f"<h2>{html.escape(section.title)}</h2>"]
    parts += [f"<p>{html.escape(section.text)}</p>"] if section.text else []
    parts += [f'<p class="warning">{html.escape(text)}</p>' for text in section.warnings]
    parts += map(render_table, section.tables)
    for chart, text in section.charts:
        parts.append(f'<figure role="img" aria-label="{html.escape(text)}">{chart_svg(chart)}</figure>')
    for line, frame in section.folded.items():
        parts.append(f"<details><summary>{html.escape(line)}</summary>{render_table(frame)}</details>")
    if section.commands:
        parts.append(f"<pre>{html.escape(chr(10).join(section.commands))}</pre>")
    return "\n".join(parts)


def _render_cell(value: object) -> str:
    if pd.isna(value):
        return '<td class="number">–</td>'
    if isinstance(value, float):
        return f'<td class="number">{value:.4g}</td>'
    if isinstance(value, int | np.integer) and not isinstance(value, bool):
        return f'<td class="number">{value:,}</td>'
    text = html.escape(str(value))
    return f'<td class="long">{text}</td>' if len(text) > LONG else f"<td>{text}</td>"
