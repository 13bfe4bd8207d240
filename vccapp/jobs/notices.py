"""A notice when a job has ended, for who is not looking: a command, or a web address, that the user has set.

    send_notices(job, settings)               # called once a job's end is recorded; never raises

VCCAPP_NOTIFY_COMMAND gets the notice as JSON on its standard input; VCCAPP_NOTIFY_URL gets it by POST. Words of the
command are split as a shell would, but no shell runs and nothing of the job stands among them. What fails, or takes
longer than SECONDS, is a line in the log and hurts no job.
"""

import json
import logging
import os
import shlex
import signal
import subprocess
import threading
import time
import urllib.request
from collections.abc import Callable
from http.client import HTTPException
from typing import Any
from urllib.parse import urlsplit

from vccapp.errors import SpecError
from vccapp.jobs.host import MARK
from vccapp.jobs.job import Job
from vccapp.settings import Settings
from vccapp.wording import reason_text

SECONDS = 10.0
"""For the command, and for the address."""
TASKS = ("train", "resume")
log = logging.getLogger("vccapp.notices")


def describe_notice(job: Job) -> dict[str, Any]:
    """What a notice says: the job as it ended, and `text` for a chat or a mail."""
    seconds = None if job.started is None or job.ended is None else round(max(job.ended - job.started, 0.0), 1)
    return {
        "text": f"{job.title}: {job.state}" + (f". {job.reason}" if job.reason else ""),
        "job": job.id,
        "task": job.task,
        "title": job.title,
        "state": job.state,
        "code": job.error_code,
        "reason": job.reason,
        "run": job.params.get("run_id"),
        "seconds": seconds,
        "ended": job.ended,
    }


def send_notices(job: Job, settings: Settings) -> None:
    """Tell of a training that has ended, as far as the user asked for it. Never raises, and takes SECONDS at most."""
    if job.active or job.task not in TASKS:
        return
    notice = json.dumps(describe_notice(job)).encode()
    asked = ((settings.notify_command, _run), (settings.notify_url, _post))
    threads = [
        threading.Thread(target=_try, args=(send, where, notice, job.id), daemon=True) for where, send in asked if where
    ]
    for thread in threads:
        thread.start()
    give_up = time.monotonic() + SECONDS
    for thread in threads:
        thread.join(max(give_up - time.monotonic(), 0))
        if thread.is_alive():
            log.warning("a notice of job %s was not taken within %.0f s", job.id, SECONDS)


def _try(send: Callable[[str, bytes], None], where: str, notice: bytes, job_id: str) -> None:
    try:
        send(where, notice)
    except (OSError, ValueError, HTTPException, SpecError) as error:
        log.warning("a notice of job %s could not be sent (%s)", job_id, reason_text(error))


def _run(command: str, notice: bytes) -> None:
    """Raises OSError for a command that is not there, SpecError for one that ends in an error or takes too long."""
    words = shlex.split(command)
    env = {name: value for name, value in os.environ.items() if name != MARK}  # it is no process of the job
    with subprocess.Popen(
        words,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=env,
        start_new_session=True,
    ) as process:
        try:
            process.communicate(notice, timeout=SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            raise SpecError("notify_failed", f"{words[0]} takes too long") from None
    if process.returncode:
        raise SpecError("notify_failed", f"{words[0]} ended with exit code {process.returncode}")


def _post(url: str, notice: bytes) -> None:
    """Raises OSError for a connection that is refused, too slow or answered with an error; SpecError for no address."""
    if urlsplit(url).scheme not in ("http", "https"):
        raise SpecError("notify_url", "VCCAPP_NOTIFY_URL is no http or https address")
    request = urllib.request.Request(url, data=notice, headers={"Content-Type": "application/json"}, method="POST")
    with urllib.request.urlopen(request, timeout=SECONDS) as answer:
        answer.read(1)
