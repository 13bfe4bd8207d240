"""How long work reports itself, from the lowest layer up.

A function that takes long accepts `progress: Progress = silent` and calls it with the fraction done and a short
message. The caller may raise `Stopped` from inside it: the function then cleans up after itself and lets it pass.
"""

from typing import Protocol


class Progress(Protocol):
    def __call__(self, fraction: float, message: str = "") -> None: ...


def silent(fraction: float, message: str = "") -> None:
    """Report nothing."""


def part(progress: Progress, start: float, stop: float) -> Progress:
    """Map a sub-task's 0..1 onto `start..stop` of `progress`."""

    def report(fraction: float, message: str = "") -> None:
        progress(start + (stop - start) * min(max(fraction, 0.0), 1.0), message)

    return report
