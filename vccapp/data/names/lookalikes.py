"""What a name that is no gene looks like: a date that a spreadsheet made of a symbol, a number, a gene in another case.

explain_name("1-Mar", names)        # "a spreadsheet's date of MARCHF1"
name_unknown(["1-Mar", "X"], names) # "1-Mar (a spreadsheet's date of MARCHF1), X"
"""

import re
from collections.abc import Iterable
from datetime import date, timedelta

from vccapp.data.names.genes import WAYS, GeneNames
from vccapp.wording import name_some

MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
SYMBOLS = {"mar": "MARCHF{}", "sep": "SEPTIN{}", "dec": "DELEC{}", "oct": "POU5F1"}
"""The genes that spreadsheets turn into dates, by their month and the number of the day."""
FIRST_DAY, SERIALS = date(1899, 12, 30), range(29_221, 73_051)
"""Of a spreadsheet's day number, and those of 1980 to 2099."""
_MONTH = "(?P<month>" + "|".join(MONTHS) + ")[a-z]*"
_DATES = (
    re.compile(rf"(?P<day>\d{{1,2}})[-/. ]{_MONTH}([-/. ]\d{{2,4}})?", re.IGNORECASE),
    re.compile(rf"{_MONTH}[-/. ](?P<day>\d{{1,2}})([-/., ]+\d{{2,4}})?", re.IGNORECASE),
)
_ISO = re.compile(r"\d{4}-(?P<month>\d\d)-(?P<day>\d\d)([ T]00:00(:00)?)?")
_SLASHES = re.compile(r"\d{1,2}[/.]\d{1,2}[/.]\d{2,4}")
_SCIENTIFIC = re.compile(r"\d(\.\d+)?E\+\d+", re.IGNORECASE)


def explain_name(name: str, genes: GeneNames | None = None) -> str | None:
    """What a name looks like, where it looks like something else than a gene. genes : that it may mean."""
    text = name.strip()
    for pattern in _DATES:
        if match := pattern.fullmatch(text):
            return _date_of(match["month"].lower()[:3], int(match["day"]))
    if match := _ISO.fullmatch(text):
        month = int(match["month"])
        return _date_of(MONTHS[month - 1], int(match["day"])) if 1 <= month <= 12 else "a date"
    if _SLASHES.fullmatch(text):
        return "a date"
    if re.fullmatch(r"\d{5}(\.0)?", text) and int(float(text)) in SERIALS:
        day = FIRST_DAY + timedelta(days=int(float(text)))
        return f"a spreadsheet's day number, {_date_of(MONTHS[day.month - 1], day.day)}"
    if _SCIENTIFIC.fullmatch(text):
        return "a name that a spreadsheet turned into a number"
    if re.fullmatch(r"-?\d+(\.\d+)?", text):
        return "a number"
    found = genes.find(name) if genes is not None else None
    if found is not None and found.gene != name:
        return f"{found.gene} {WAYS[found.way]}" if name == text else f"{found.gene} with spaces"
    return "a name with spaces" if name != text else None


def name_unknown(names: Iterable[str], genes: GeneNames | None = None, *, limit: int = 5) -> str:
    """Names for a sentence, each with what it looks like; those that look like something come first."""
    seen = [(name, explain_name(name, genes)) for name in names]
    seen.sort(key=lambda pair: pair[1] is None)
    shown = [f"{name_some([name])} ({looks})" if looks else name_some([name]) for name, looks in seen[:limit]]
    more = f" and {len(seen) - limit:,} more" if len(seen) > limit else ""
    return (", ".join(shown) or "none") + more


def _date_of(month: str, day: int) -> str:
    symbol = SYMBOLS.get(month, "").format(day)
    return f"a spreadsheet's date of {symbol}" if symbol else "a spreadsheet's date"
