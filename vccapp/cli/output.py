"""What commands print: JSON for programs, tables for people. All of it goes through here.

Names come from files that others made: whatever a terminal would obey is spelt out, and a value cannot make a line of
its own (`one_line`).
"""

import json
import math
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vccapp.errors import clean_lines, one_line

if TYPE_CHECKING:
    from vccapp.records import Unreadable

Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


def show(value: Any, text: Callable[[], str], *, as_json: bool) -> None:
    """Print `value` as JSON (numbers that are not finite become null), or `text()`, whose lines are its own."""
    as_text = json.dumps(_plain(value), indent=2, default=str, allow_nan=False) if as_json else text()
    typer.echo(clean_lines(as_text))


def tell(line: object) -> None:
    """Print one line for people to standard error."""
    typer.echo(one_line(line), err=True)


_warned: set[str] = set()


def warn(problem: str) -> None:
    """Print one line to standard error in red, once in a command."""
    if problem not in _warned:
        _warned.add(problem)
        typer.secho(one_line(f"warning: {problem}."), fg="red", err=True)


def forget_warnings() -> None:
    """Another command begins."""
    _warned.clear()


def show_list(
    name: str, rows: Sequence[Any], unreadable: Sequence["Unreadable"], text: Callable[[], str], *, as_json: bool
) -> None:
    """Print a list as {name: rows, "unreadable": [...]}, or as `text()` and a line for each that cannot be read."""
    value = {name: rows, "unreadable": describe_unreadable(unreadable)}
    show(value, lambda: "\n".join([text(), *format_unreadable(unreadable)]), as_json=as_json)


def describe_unreadable(unreadable: Sequence["Unreadable"]) -> list[dict[str, str]]:
    """For JSON: path, code, error."""
    return [{"path": str(found.path), "code": found.error.code, "error": str(found.error)} for found in unreadable]


def format_unreadable(unreadable: Sequence["Unreadable"]) -> list[str]:
    """A line for each entry of a list that cannot be read."""
    return [f"unreadable: {found.error}" for found in unreadable]


def format_table(rows: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> str:
    """Rows under their column names, numbers to the right; '(none)' when there are no rows.

    In a terminal no wider than that; in a pipe plain text, a row a line.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table

    rows = list(rows)
    if not rows:
        return "(none)"
    for_people = sys.stdout.isatty()
    style = box.SIMPLE_HEAD if for_people else None
    table = Table(box=style, show_edge=False, pad_edge=False, padding=(0, 1) if for_people else (0, 2, 0, 0))
    for column in columns:
        right = all(isinstance(row[column], int | float | None) for row in rows)
        table.add_column(one_line(column), justify="right" if right else "left", no_wrap=not for_people)
    for row in rows:
        table.add_row(*(format_value(row[column]) for column in columns))
    width = None if for_people else 10**6
    console = Console(width=width, force_terminal=for_people, markup=False, emoji=False, highlight=False)
    with console.capture() as captured:
        console.print(table)
    return "\n".join(line.rstrip() for line in captured.get().splitlines())


def format_lines(lines: Iterable[object]) -> str:
    """Each of them in one line."""
    return "\n".join(map(one_line, lines))


def format_fields(fields: Mapping[str, Any]) -> str:
    """One `name  value` a line."""
    width = max(map(len, fields))
    return "\n".join(f"{one_line(name).ljust(width)}  {format_value(value)}" for name, value in fields.items())


def format_value(value: Any) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.4g}" if isinstance(value, float) else one_line(value)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
