"""The organisers' table of perturbations: pert_counts.csv, with cells, medians and contexts where it gives them.

asked = read_targets(path)
asked.targets       # (Target(label="SH3BP4", n_cells=2925, median_umi=54551.0), ...)
asked.contexts      # ("A", "B", "C") of a context column, else ()
"""

import csv
import io
from pathlib import Path
from typing import NamedTuple

from pydantic import ValidationError

from vccapp.data.schema import CONTROL
from vccapp.errors import DataError, explain
from vccapp.seasons.base import Target
from vccapp.textfiles import read_text
from vccapp.wording import name_some

LABEL, N_CELLS, MEDIAN, CONTEXT = "target_gene", "n_cells", "median_umi_per_cell", "context"
FIX = "use the challenge's pert_counts CSV"


class Asked(NamedTuple):
    """contexts : of a context column, () without; every target is asked in each of them"""

    targets: tuple[Target, ...]
    contexts: tuple[str, ...] = ()


def read_fields(path: Path) -> tuple[list[str], list[list[str]]]:
    """Header and rows of a CSV as text, each row as long as the header. Raises DataError for longer rows."""
    try:
        reader = csv.reader(io.StringIO(read_text(path), newline=""), strict=True)
        rows = [row for row in reader if any(map(str.strip, row))]
    except DataError as error:
        raise DataError(error.code, error.problem, found=error.found, fix=FIX) from None
    except csv.Error:
        raise DataError("table_unreadable", f"{path} cannot be read as CSV", fix=FIX) from None
    if not rows:
        raise DataError("table_unreadable", f"{path} cannot be read as CSV: it is empty", fix=FIX)
    header = [name.strip() for name in rows[0]]
    width = len(header)
    for number, row in enumerate(rows[1:], start=1):
        if any(map(str.strip, row[width:])):
            raise DataError(
                "field_count",
                f"{path} has {len(row)} fields in data row {number}, but {width} headers ({name_some(header)})",
                fix="give each column its header",
            )
    return header, [(row + [""] * width)[:width] for row in rows[1:]]


def read_targets(path: Path, *, control: str = CONTROL) -> Asked:
    """The perturbations that a table asks for; rows of the control are left out.

    Raises DataError for what is no such table, names a target twice, or asks for other targets in one context than in
    another.
    """
    header, rows = read_fields(path)
    if LABEL not in header:
        raise DataError(
            "no_column",
            f"{path} has no column {LABEL}",
            fix=f"it has {name_some(header)}. Rename the columns",
        )
    named = [(number, dict(zip(header, map(str.strip, row), strict=True))) for number, row in enumerate(rows, start=1)]
    found: dict[str, dict[str, Target]] = {}
    for number, fields in named:
        if fields[LABEL] == control:
            continue
        context = fields.get(CONTEXT, "")
        if CONTEXT in fields and not context:
            raise DataError("missing_labels", f"{path} has no context in data row {number}", fix="fill it in")
        target, own = _read_target(fields, number, path), found.setdefault(context, {})
        if target.label in own:
            raise DataError(
                "repeated_perturbation", f"{path} names {target.label} more than once", fix="keep one row each"
            )
        own[target.label] = target
    if not found:
        raise DataError("no_perturbation", f"{path} names no perturbation", fix=FIX)
    first, *others = found.items()
    for context, own in others:
        if odd := sorted(set(own.values()) ^ set(first[1].values()), key=lambda target: target.label):
            raise DataError(
                "targets_differ",
                f"{path} does not ask for the same in the contexts {first[0]} and {context}, see {odd[0].label}",
                found=[target.label for target in odd],
                fix="give each context the same rows",
            )
    return Asked(tuple(first[1].values()), tuple(filter(None, found)))


def _read_target(fields: dict[str, str], number: int, path: Path) -> Target:
    label, n_cells = fields[LABEL], fields.get(N_CELLS) or None
    try:
        median = float(fields.get(MEDIAN) or "nan")
    except ValueError:
        median = float("nan")
    known = median > 0 and median != float("inf")
    try:
        return Target(label=label, n_cells=n_cells, median_umi=median if known else None)
    except ValidationError as error:
        raise DataError(
            "bad_target", f"{path}, data row {number}: {explain(error)}", fix="correct the row or delete it"
        ) from None
