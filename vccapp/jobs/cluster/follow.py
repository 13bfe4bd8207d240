"""The side of a job that stays here: have its task done on the cluster, and follow that as if it were done here."""

import contextlib
import logging
import sys
import time
from pathlib import Path
from typing import Any

from vccapp.errors import JobError, Stopped
from vccapp.jobs.cluster.client import LOST, UNPLACED, Cluster, Look, Share
from vccapp.jobs.cluster.exchange import Exchange, Report, leave
from vccapp.jobs.job import State
from vccapp.jobs.working.ends import EXIT_FAILED, Outcome
from vccapp.progress import Progress
from vccapp.settings import Settings
from vccapp.tasks.base import Task

POLL_SECONDS = 0.5
LOOK_SECONDS = 2.0
SIGN_SECONDS = 5.0
SILENT_SECONDS = 60.0
"""So long the cluster may not answer before the job is given up."""
SETTLE_SECONDS = 5.0
"""By a network file system the report may come so much later than the end of the command; what is left ends in it."""
UNSEEN, OTHER_VERSION = 65, 66
"""Exit codes of work that does not see its job, and of another version of the app."""
SAME_PLACE = "keep data, VCCAPP_HOME and VCCAPP_CHECKPOINTS on a file system that all machines mount at the same place"
AGAIN = "Finished results are kept. Start it again."

log = logging.getLogger("vccapp.cluster")


def follow_there(task: Task[Any], settings: Settings, *, folder: Path, progress: Progress) -> tuple[State, Outcome]:
    """How the job in `folder` has ended on the cluster of the settings. Raises Stopped, and JobError or SpecError."""
    cluster, exchange = Cluster(settings.ray_address), Exchange(folder)
    needs = task.needs(settings)
    if settings.threads and not task.light:  # as asked, of machines that may be larger than this one
        needs = needs.model_copy(update={"threads": settings.threads})
    share = cluster.share_of(needs)
    exchange.sign()
    try:
        _submit(cluster, folder, share, progress=progress)
        log.info("sent to the Ray cluster at %s (%s)", settings.ray_address, share.describe())
        waits = f"Waits for a place on the cluster: {share.describe()}"
        report, look = _follow(cluster, exchange, name=folder.name, waits=waits, progress=progress)
    finally:
        leave(folder)
    if report.state == "running":  # it could not say how it ended
        log.error("%s %s", look.kind, look.text)
        time.sleep(SETTLE_SECONDS)
        report = exchange.read_report()
    _print_new(exchange)
    if report.state != "running":
        with contextlib.suppress(Stopped):
            progress(report.fraction, report.message)
        return report.state, report.outcome
    print(cluster.read_log(folder.name), file=sys.stderr)
    return _unreported(look, settings)


def _submit(cluster: Cluster, folder: Path, share: Share, *, progress: Progress) -> None:
    """A cluster that has just been started does not take jobs for a while."""
    began = time.monotonic()
    while True:
        try:
            return cluster.submit(folder, share)
        except JobError as error:
            if time.monotonic() - began > SILENT_SECONDS:
                raise
            log.info("not yet: %s", error)
        progress(0.0, "Waits for the cluster to take it")
        time.sleep(LOOK_SECONDS)


def _follow(cluster: Cluster, exchange: Exchange, *, name: str, waits: str, progress: Progress) -> tuple[Report, Look]:
    """Until it ends: its last report, and how Ray saw it. Raises Stopped for what ended by it without a report."""
    stopping = False
    looked = signed = -SIGN_SECONDS
    answered = time.monotonic()
    look = Look("pending")
    while True:
        now = time.monotonic()
        if now - signed > SIGN_SECONDS:
            signed = now
            exchange.sign()
        if now - looked > LOOK_SECONDS:
            looked = now
            try:
                look, answered = cluster.look(name), now
            except JobError:
                log.exception("no answer")
                if now - answered > SILENT_SECONDS:
                    raise
        _print_new(exchange)
        report = exchange.read_report()
        if report.state != "running":
            return report, look
        if look.ended:
            if stopping:
                raise Stopped
            return report, look
        try:
            progress(report.fraction, waits if look.state == "pending" else report.message or "Starts on the cluster")
        except Stopped:
            if not stopping:
                stopping = True
                cluster.stop(name)
        time.sleep(POLL_SECONDS)


def _print_new(exchange: Exchange) -> None:
    """What the work printed belongs to the log of the job."""
    sys.stderr.flush()
    sys.stderr.buffer.write(exchange.new_log())
    sys.stderr.buffer.flush()


def _unreported(look: Look, settings: Settings) -> tuple[State, Outcome]:
    """Why work has ended that could not say it."""
    if look.exit_code == UNSEEN:
        problem = f"{settings.home} is not on the machine of the cluster that was to work"
        raise JobError("not_on_machine", problem, fix=SAME_PLACE)
    if look.exit_code == OTHER_VERSION:
        problem = "The machine of the cluster that was to work has another version of the app; see the log"
        raise JobError("other_version", problem, fix="install the same on all machines")
    if look.kind in UNPLACED:
        raise JobError("no_ray_slot", "The cluster had no place for it for too long", fix="see `ray status`")
    code, why = "exited", f"ended without a message (exit code {look.exit_code}); see the log"
    if look.kind in LOST:
        code, why = "node_lost", "was lost with its machine"
    elif look.exit_code is not None and look.exit_code < 0:
        cause = "most often because memory ran out" if look.exit_code == -9 else "see the log"
        code, why = "killed", f"was killed (signal {-look.exit_code}), {cause}"
    reason = f"The work on the cluster {why}. {AGAIN}"
    return "lost", {"exit_code": EXIT_FAILED, "error_code": code, "reason": reason}
