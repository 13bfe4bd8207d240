"""The work of a job on a machine of a cluster:

    python -m vccapp.jobs.cluster.remote <folder of the job> <version of the app that sent it>

Started by Ray for `vccapp.jobs.cluster.follow`. It does what a worker does, but reports to the job's folder and never
opens the job store, which belongs on the disk of one machine. Ray's SIGTERM stops it; so does a minute without a sign
of the job that it works for, and where that has left, it kills itself.
"""

import contextlib
import json
import logging
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import vccapp
from vccapp.errors import DataError
from vccapp.jobs.cluster.client import THREADS
from vccapp.jobs.cluster.exchange import Exchange, Report
from vccapp.jobs.cluster.follow import OTHER_VERSION, UNSEEN
from vccapp.jobs.host import MARK, kill_processes
from vccapp.jobs.job import State
from vccapp.jobs.restore import DESCRIPTION, JOB
from vccapp.jobs.usage import Usage
from vccapp.jobs.working.ends import Outcome, success, work_to_end
from vccapp.jobs.working.reporting import Reporter, StopRequest
from vccapp.records import read_record
from vccapp.settings import open_settings
from vccapp.tasks.base import read_task

GRACE_SECONDS = 12.0
"""Before the end by force: earlier than Ray's own."""
REPORT_SECONDS = 1.0
UNFOLLOWED_SECONDS = 60.0
WATCH_SECONDS = 1.0

log = logging.getLogger("vccapp.worker")


def main(folder: Path, version: str) -> int:
    if version != vccapp.__version__:
        print(f"{os.uname().nodename} has vccapp {vccapp.__version__}, the job is of {version}", file=sys.stderr)
        return OTHER_VERSION
    stop, exchange = StopRequest(), Exchange(folder)
    try:
        job = read_record(folder / DESCRIPTION, JOB, dict)
        _take_settings(json.loads(job["environ"]))
        _print_to(exchange.log)
    except (DataError, OSError) as error:
        print(error, file=sys.stderr)
        return UNSEEN
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    log.info("start: task %s, on %s, process %d", job["task"], os.uname().nodename, os.getpid())
    threading.Thread(target=_watch, args=(exchange,), daemon=True).start()

    def report(fraction: float, message: str, left: float | None) -> None:
        exchange.write_report(Report(fraction=fraction, message=message))

    with Reporter(report, stop=stop, grace=GRACE_SECONDS, seconds=REPORT_SECONDS) as progress:
        state, outcome, _ = work_to_end(lambda: _do(job, folder, progress), stop=stop)
    fraction, message = progress.latest
    exchange.write_report(Report(fraction=fraction, message=message, state=state, outcome=outcome))
    with contextlib.suppress(KeyError):
        kill_processes(os.environ[MARK])
    return outcome["exit_code"]


def _do(job: dict[str, Any], folder: Path, progress: Reporter) -> tuple[State, Outcome]:
    gpus = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    progress.usage = Usage(folder, gpus=gpus, elsewhere=True)
    task = read_task(job["task"], json.loads(job["params"]))
    return success(task.run(open_settings(), progress).model_dump(mode="json"))


def _take_settings(environ: dict[str, str]) -> None:
    """Those with which the job was started, but the processors and GPUs that Ray has given, and this cluster."""
    given = (*THREADS, "CUDA_VISIBLE_DEVICES")
    os.environ.update({name: value for name, value in environ.items() if name not in given})
    os.environ["VCCAPP_RAY_ADDRESS"] = "auto"


def _print_to(path: Path) -> None:
    """What this process and its children print goes there, at once."""
    with path.open("ab") as file:
        for descriptor in (1, 2):
            os.dup2(file.fileno(), descriptor)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]


def _watch(exchange: Exchange) -> None:
    """Stop once nobody follows; end at once where the job has left."""
    last, since = exchange.read_sign(), time.monotonic()
    while time.monotonic() - since < UNFOLLOWED_SECONDS:
        sign = exchange.read_sign()
        if sign is None:
            log.error("nobody follows this work any more: it ends")
            os.killpg(os.getpgrp(), signal.SIGKILL)
        if sign != last:
            last, since = sign, time.monotonic()
        time.sleep(WATCH_SECONDS)
    log.error("nobody has followed this work for %.0f s: it stops", UNFOLLOWED_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2]))
