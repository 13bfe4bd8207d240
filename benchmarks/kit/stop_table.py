"""The section of docs/queue.md about Stop, written from results/stop.json."""

from collections.abc import Mapping
from typing import Any

from kit.measure import RESULTS

DOCUMENT = RESULTS.parents[1] / "docs" / "queue.md"
BEGIN, END = "<!-- from benchmarks/stop.py -->\n", "<!-- end -->\n"
TEXT = """
## How long Stop takes

`benchmarks/stop.py` begins each kind of job anew, stops it at a random moment of its time, starts it again to its end,
and does the same by force. Given are the longest time from Stop to the end of the job (of a sweep: of all its runs), by
force until no process of it is there, and how many of the jobs that were started again ended with the same bytes.
"""
HEAD = "| job | whole | Stop, longest | by force | processes left | same result |\n|---|---|---|---|---|---|\n"


def write_table(result: Mapping[str, Any]) -> None:
    """result : as results/stop.json holds it. Raises ValueError where the document has lost its place for it."""
    text = DOCUMENT.read_text()
    before, rest = text[: text.index(BEGIN) + len(BEGIN)], text[text.index(END) :]
    DOCUMENT.write_text(before + make_table(result) + rest)


def make_table(result: Mapping[str, Any]) -> str:
    rows = [
        f"| {name} | {row['whole_seconds']:.1f} s | {row['stop_seconds']:.1f} s | {row['force_seconds']:.1f} s "
        f"| {row['left']} | {row['same']} of {row['of']} |\n"
        for name, row in result["kinds"].items()
    ]
    return f"{TEXT}\n{_describe(result)}\n\n{HEAD}{''.join(rows)}\n"


def _describe(result: Mapping[str, Any]) -> str:
    return (
        f"{result['cells']:,} cells x {result['genes']:,} genes, {result['perturbations']} perturbations, "
        f"{result['file']['bytes'] / 1e9:.2f} GB, networks of {result['steps']} steps;\n"
        f"stopped {result['times']} times and once by force; {result['machine']}, load {result['load_before']}:"
    )
