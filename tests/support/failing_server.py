"""Runs workers and commands in forks of a process that has all imported, on a disk that fails (`failing_disk.c`).

LD_PRELOAD=failing_disk.so python failing_server.py      one JSON a line: what to run; one JSON a line: how it ended
"""

import ctypes
import json
import os
import sys
import traceback
from typing import Any

import warm_worker  # noqa: F401

import vccapp.cli
import vccapp.jobs.worker
import vccapp.stats.building.build
import vccapp.submission.build
import vccapp.tasks.base

disk = ctypes.CDLL(None)
disk.disk_changes.restype = ctypes.c_long


def run(asked: dict[str, Any]) -> int:
    """In the fork: a worker or a command, its words in the file `log`."""
    log = os.open(asked["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for descriptor in (1, 2):
        os.dup2(log, descriptor)
    os.setsid()
    os.environ.update(asked["env"])
    disk.disk_fails(os.fsencode(asked["folder"]), ctypes.c_long(asked["after"]), asked["kind"])
    if "job" in asked:
        return vccapp.jobs.worker.main(asked["job"], grace=5)
    try:
        vccapp.cli.main(asked["words"])
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def main() -> None:
    list(vccapp.tasks.base.TASKS)
    for line in sys.stdin:
        asked = json.loads(line)
        child = os.fork()
        if child == 0:
            code = 99
            try:
                code = run(asked)
                sys.stdout.flush()
                sys.stderr.flush()
            except BaseException:
                traceback.print_exc()
            os._exit(code)
        _, status = os.waitpid(child, 0)
        answer = {"code": os.waitstatus_to_exitcode(status), "changes": disk.disk_changes(), "pid": child}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
