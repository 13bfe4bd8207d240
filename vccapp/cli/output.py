"""What commands print: JSON for programs, aligned text for people."""

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from vccapp.records import Unreadable

Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


def show(value: Any, text: Callable[[], str], *, as_json: bool) -> None:
    """Print `value` as JSON (numbers that are not finite become null), or `text()`."""
    typer.echo(json.dumps(_plain(value), indent=2, default=str, allow_nan=False) if as_json else text())


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
    """Rows under their column names, numbers to the right; '(none)' when there are no rows."""
    rows = list(rows)
    if not rows:
        return "(none)"
    cells = [[format_value(row[column]) for column in columns] for row in rows]
    widths = [max(len(row[i]) for row in [list(columns), *cells]) for i in range(len(columns))]
    right = [all(isinstance(row[column], int | float | None) for row in rows) for column in columns]

    def line(row: Sequence[str]) -> str:
        aligned = zip(row, widths, right, strict=True)
        return "  ".join(text.rjust(n) if to_right else text.ljust(n) for text, n, to_right in aligned).rstrip()

    return "\n".join(map(line, [columns, *cells]))


def format_fields(fields: Mapping[str, Any]) -> str:
    """One `name  value` a line."""
    width = max(map(len, fields))
    return "\n".join(f"{name.ljust(width)}  {format_value(value)}" for name, value in fields.items())


def format_value(value: Any) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
