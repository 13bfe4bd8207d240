"""The errors a user sees. Each says what is wrong, what was found, and what to do next.

    raise DataError("no_column", f"obs has no column '{name}'", found=names, fix="choose one of its columns")

VccAppError
├── DataError       a data file, table or split cannot be used
├── SpecError       a choice is wrong: an unknown name, a leak between parts, a budget that cannot be met
├── CheckError      a submission breaks a rule of its season
├── ResourceError   memory or disk does not suffice, said before work starts
├── JobError        a job cannot be started, found or stopped
└── Stopped         long work was asked to stop, and did
"""

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic import ValidationError

SHOWN = 60
"""Characters of a refused value that a sentence shows."""
LONGEST_WORD = 200
"""Characters of a word; of longer ones, which are no path and no name that one could use, begin and end are shown."""
_UNSEEN = (
    "[\\x00-\\x1f\\x7f-\\x9f\\u00ad\\u061c\\u180e\\u200b-\\u200f\\u2028-\\u202e\\u2060-\\u206f\\ud800-\\udfff\\ufeff"
    "\\ufff9-\\ufffb\\U000e0000-\\U000e007f]"
)
_SEEN_NOT = re.compile(_UNSEEN)
_SEEN_NOT_IN_LINES = re.compile(rf"(?![\n\t]){_UNSEEN}")
_LONG = re.compile(rf"\S{{{LONGEST_WORD + 1},}}")


def one_line(text: object) -> str:
    """A text in one line, with what a terminal obeys or nobody sees spelt out: a newline as \\n, Escape as \\x1b.

    Control characters, line separators, marks that turn the direction of writing, and characters without width.
    """
    return _SEEN_NOT.sub(_spell, str(text))


def clean_lines(text: str) -> str:
    """As `one_line`, for a text of lines and tabs that are its own."""
    return _SEEN_NOT_IN_LINES.sub(_spell, text)


def _spell(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape", "surrogatepass").decode()


def _shorten(found: re.Match[str]) -> str:
    return f"{found[0][: LONGEST_WORD // 2]}...{found[0][-LONGEST_WORD // 4 :]}"


class VccAppError(Exception):
    """Base of all errors that are shown as one sentence, without a traceback (exit code 2 in the CLI).

    code : what kind of fault it is, for programs: they never tell errors apart by their text
    problem : what is wrong and what was found, the begin of a sentence; found : the latter as a value
    fix : what to do next; empty where nothing can be done
    """

    def __init__(self, code: str, problem: str, *, found: Any = None, fix: str = "") -> None:
        sentence = f"{problem}; {fix}." if fix else f"{problem}{'' if problem.endswith('.') else '.'}"
        super().__init__(_LONG.sub(_shorten, one_line(sentence)))
        self.code = code
        self.problem = problem
        self.found = found
        self.fix = fix

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.code, self.problem, self.found, self.fix)


def _rebuild(kind: type[VccAppError], code: str, problem: str, found: Any, fix: str) -> VccAppError:
    return kind(code, problem, found=found, fix=fix)


class DataError(VccAppError):
    """A data file, table or split cannot be used."""


class SpecError(VccAppError):
    """A choice is wrong: an unknown name, a leak between parts, a budget that cannot be met."""


class CheckError(VccAppError):
    """A submission breaks a rule of its season."""


class ResourceError(VccAppError):
    """Memory or disk does not suffice; said before work starts."""


class JobError(VccAppError):
    """A job cannot be started, found or stopped."""


class Stopped(VccAppError):
    """Long work was asked to stop, and did."""

    def __init__(self) -> None:
        super().__init__("stopped", "Stopped on request")

    def __reduce__(self) -> tuple[Any, ...]:
        return Stopped, ()


def explain(error: "ValidationError", *, name: Callable[[str], str] = str) -> str:
    """What a pydantic model refused first, in words: 'epochs is 0: input should be greater than 0'.

    name : what a field is called in the sentence. A rule between fields has none: its own words are given alone.
    """
    first = error.errors(include_url=False)[0]
    reason = first["msg"].removeprefix("Value error, ")
    reason = reason[:1].lower() + reason[1:]
    if not first["loc"]:
        return reason
    where = name(".".join(map(str, first["loc"])))
    if first["type"] == "missing":
        return f"{where} is missing"
    found = repr(first["input"])
    return f"{where} is {found if len(found) <= SHOWN else f'{found[:SHOWN]}...'}: {reason}"
