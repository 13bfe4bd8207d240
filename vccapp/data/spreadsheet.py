"""CSV that spreadsheets open, of every table that leaves the app: text that would run as a formula is made harmless.

A spreadsheet looks at a cell without the blanks, marks and quotes before it, takes the full-width signs of East Asian
keyboards for their plain forms, and ends a row at any carriage return that is not quoted. Numbers stay as they are.
"""

import csv
import re
from pathlib import Path

import pandas as pd

from vccapp.data.atomic import write_file

_FORMULA = re.compile(
    r"[\s\x00-\x1f\x7f-\x9f\u00ad\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff'\"]*[=+\-@\t\r\n＝＋－＠]"
)


def escape_cells(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with an apostrophe before each text cell and column name that begins like a formula."""
    texts = {column for column, kind in enumerate(frame.dtypes) if not _is_number(kind)}
    columns = [
        frame.iloc[:, column].astype(object).map(_escape) if column in texts else frame.iloc[:, column]
        for column in range(frame.shape[1])
    ]
    escaped = pd.concat(columns, axis=1) if columns else frame.copy()
    return escaped.set_axis([_escape(name) for name in frame.columns], axis=1)


def to_csv(frame: pd.DataFrame) -> bytes:
    """UTF-8 CSV without the row numbers."""
    escaped = escape_cells(frame)
    text = escaped.to_csv(index=False)
    if "\r" in text:  # else written as it is, and a reader takes it for the end of the row
        text = escaped.to_csv(index=False, quoting=csv.QUOTE_NONNUMERIC)
    return text.encode("utf-8", "backslashreplace")


def write_csv(frame: pd.DataFrame, path: Path) -> None:
    """Write it atomically, over a file of that name."""
    with write_file(path) as beside:
        beside.write_bytes(to_csv(frame))


def _is_number(kind: object) -> bool:
    return pd.api.types.is_numeric_dtype(kind) or pd.api.types.is_datetime64_any_dtype(kind)


def _escape(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and _FORMULA.match(value) else value
