"""How a task has ended: the state of its job, and what is recorded with it."""

import logging
from collections.abc import Callable
from typing import Any

from vccapp.errors import VccAppError
from vccapp.faults import describe
from vccapp.jobs.job import State
from vccapp.jobs.working.reporting import StopRequest

EXIT_FAILED, EXIT_REFUSED = 1, 2
Outcome = dict[str, Any]
"""exit_code, and result, or error_code and reason"""

log = logging.getLogger("vccapp.worker")


def work_to_end(
    work: Callable[[], tuple[State, Outcome]], *, stop: StopRequest
) -> tuple[State, Outcome, BaseException | None]:
    """What `work` says of its end, or what it failed of, and that. stop : whether it was asked to end"""
    try:
        return *work(), None
    except BaseException as error:
        if stop.asked:
            # Child processes share the SIGTERM, so the task may have met their death before it met Stopped.
            log.info("stopped (%s)", type(error).__name__)
            return "stopped", {"exit_code": 0, "reason": "Stopped."}, None
        expected = isinstance(error, VccAppError)
        if not expected:
            log.exception("the task failed")
        return "failed", refusal(error), error


def refusal(error: BaseException) -> Outcome:
    """What is recorded of work that failed of this."""
    code, reason = describe(error)
    exit_code = EXIT_REFUSED if isinstance(error, VccAppError) else EXIT_FAILED
    return {"exit_code": exit_code, "error_code": code, "reason": reason}


def success(result: dict[str, Any]) -> tuple[State, Outcome]:
    return "succeeded", {"exit_code": 0, "result": result}
