"""How sentences name many things, durations, sizes and what a library said: the same way everywhere.

`plain` is the one escape of Markdown: every name from data, a title, a link or a file goes through it on its way to a
page, and whole sentences that hold such names (errors, notes, reasons) do too.
"""

import re
from collections.abc import Iterable

from vccapp.errors import one_line

MAX_NAME = 30
"""Longer names are cut."""


def name_some(names: Iterable[object], limit: int = 5) -> str:
    """A few names for a message: 'a, b, c and 12 more'; 'none' where there are none."""
    every = [_printable(str(name)) for name in names]
    shown = [name if len(name) <= MAX_NAME else f"{name[: MAX_NAME - 3]}..." for name in every[:limit]]
    more = f" and {len(every) - limit:,} more" if len(every) > limit else ""
    return (", ".join(shown) or "none") + more


def _printable(text: str) -> str:
    """What cannot be seen, or would steer a terminal, as its code: a zero-width space as \\u200b."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def duration_text(seconds: float) -> str:
    """Seconds as people say them: 8 s, 3 min 20 s, 2 h 5 min."""
    whole = round(max(seconds, 0))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def bytes_text(n: float) -> str:
    """A number of bytes as people say it."""
    for unit in ("B", "kB", "MB"):
        if n < 1000:
            return f"{n:.0f} {unit}"
        n /= 1000
    return f"{n:.1f} GB"


def reason_text(error: BaseException, limit: int = 150) -> str:
    """What a library's error says, in one line; its type where it says nothing."""
    return " ".join(str(error).split())[:limit] or type(error).__name__


_JOINER = "\N{WORD JOINER}"
"""Without width. Escapes end with the parser, but links and icons are looked for in what it leaves, too."""
_FOUND_LATER = re.compile(r"(:)(?=//|[A-Za-z_]+[:/])|(@)(?=[\w-])|(\bwww)(?=\.)", re.IGNORECASE)
_MARKS = re.compile(r"[\\`*\[\]<>|~$&#]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])|:(?=[A-Za-z:])|^[-+=]")
"""What Markdown and Streamlit's additions to it would take for more than text, anywhere or at the begin of a line."""
_NUMBERED = re.compile(r"^(\d{1,9})([.)])(?=\s|$)")


def plain(text: object) -> str:
    """A text as Markdown that shows it as it is, in one line: no link, image, icon, formula or colour comes of it."""
    line = " ".join(one_line(text).split())
    marked = _MARKS.sub(r"\\\g<0>", _FOUND_LATER.sub(rf"\g<0>{_JOINER}", line))
    return _NUMBERED.sub(r"\1\\\2", marked)


def plain_lines(texts: Iterable[object]) -> str:
    """Several texts as Markdown, each in a line of its own."""
    return "  \n".join(map(plain, texts))
