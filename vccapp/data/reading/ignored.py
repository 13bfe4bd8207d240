"""A context that the user ignored: told in red by pages and commands, and named in all that leaves the app."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

COLUMN = "context_ignored"
"""Its name in tables and JSON."""


def explain_ignored(context: str) -> str:
    """One sentence."""
    return (
        f"The context ({context}) is ignored: cells are compared with the controls of all contexts, so effects may be "
        "those of the context"
    )


def mark_ignored(frame: "pd.DataFrame", context: str | None) -> "pd.DataFrame":
    """With a column that names it, where there is one."""
    return frame if context is None or COLUMN in frame else frame.assign(**{COLUMN: context})


def name_ignored(contexts: Iterable[str | None]) -> str | None:
    """Those of several datasets as one text; None where there is none."""
    return ", ".join(dict.fromkeys(filter(None, contexts))) or None
