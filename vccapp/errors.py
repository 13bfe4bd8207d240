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

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic import ValidationError

SHOWN = 60
"""Characters of a refused value that a sentence shows."""


class VccAppError(Exception):
    """Base of all errors that are shown as one sentence, without a traceback (exit code 2 in the CLI).

    code : what kind of fault it is, for programs: they never tell errors apart by their text
    problem : what is wrong and what was found, the begin of a sentence; found : the latter as a value
    fix : what to do next; empty where nothing can be done
    """

    def __init__(self, code: str, problem: str, *, found: Any = None, fix: str = "") -> None:
        super().__init__(f"{problem}; {fix}." if fix else f"{problem}{'' if problem.endswith('.') else '.'}")
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
