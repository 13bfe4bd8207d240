"""How a sentence names many things: the first few, and how many more there are."""

from collections.abc import Iterable


def name_some(names: Iterable[object], at_most: int = 5) -> str:
    """'A, B and 3 more'."""
    names = [str(name) for name in names]
    return ", ".join(names[:at_most]) + (f" and {len(names) - at_most:,} more" if len(names) > at_most else "")
