"""The errors a user sees. Each message says what is wrong, what was found, and what to do next.

VccAppError
├── DataError       a data file, table or split cannot be used
├── SpecError       a choice is wrong: an unknown name, a leak between parts, a budget that cannot be met
├── CheckError      a submission breaks a rule of its challenge
├── ResourceError   memory or disk does not suffice, said before work starts
└── JobError        a job cannot be started, found or stopped
"""


class VccAppError(Exception):
    """Base of all errors that are shown as one sentence, without a traceback (exit code 2 in the CLI)."""


class DataError(VccAppError):
    """A data file, table or split cannot be used."""


class SpecError(VccAppError):
    """A choice is wrong: an unknown name, a leak between parts, a budget that cannot be met."""


class CheckError(VccAppError):
    """A submission breaks a rule of its challenge."""


class ResourceError(VccAppError):
    """Memory or disk does not suffice; said before work starts."""


class JobError(VccAppError):
    """A job cannot be started, found or stopped."""
