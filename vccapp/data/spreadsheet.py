"""CSV that spreadsheets open: text that one would run as a formula is made harmless."""

import pandas as pd

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def escape_cells(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with an apostrophe before each text cell that begins like a formula; numbers stay as they are."""

    def escape(value: object) -> object:
        return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value

    texts = frame.select_dtypes(exclude=["number", "bool", "datetime"])
    return frame.assign(**{name: column.astype(object).map(escape) for name, column in texts.items()})


def to_csv(frame: pd.DataFrame) -> bytes:
    """UTF-8 CSV without the row numbers."""
    return escape_cells(frame).to_csv(index=False).encode()
