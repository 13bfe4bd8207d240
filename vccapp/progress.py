"""How long work reports itself, from the lowest layer up, and how its time and size are said.

A function that takes long accepts `progress: Progress = silent` and calls it with the fraction done and a short
message. The caller may raise `Stopped` from inside it: the function then cleans up after itself and lets it pass.
"""

from typing import Protocol


class Stopped(Exception):
    """The user asked the work to stop. Not an error."""


class Progress(Protocol):
    def __call__(self, fraction: float, message: str = "") -> None: ...


def silent(fraction: float, message: str = "") -> None:
    """Report nothing."""


def part(progress: Progress, start: float, stop: float) -> Progress:
    """Map a sub-task's 0..1 onto `start..stop` of `progress`."""

    def report(fraction: float, message: str = "") -> None:
        progress(start + (stop - start) * min(max(fraction, 0.0), 1.0), message)

    return report


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
