"""The keeper: one small process a machine that keeps the queue of a workspace going while nobody looks.

    python -m vccapp.jobs.keeping.keeper <the command of a worker, word by word>     (settings from VCCAPP_*)

It starts what may start, records what became of its workers (whose exit codes it alone learns), and ends by force what
was asked to stop and does not answer. It ends a moment after the last job; whoever looks at jobs, and each worker that
ends, starts it anew where it is missing.
"""

import fcntl
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence

from vccapp.errors import JobError, VccAppError
from vccapp.jobs.host import host_id, kill_processes
from vccapp.jobs.job import ACTIVE, Job
from vccapp.jobs.keeping.fate import is_here, is_ours, record_ends
from vccapp.jobs.keeping.launch import start_ready
from vccapp.jobs.keeping.place import keeper_lock, write_sign
from vccapp.jobs.notices import send_notices
from vccapp.jobs.restore import EXIT_DUPLICATE
from vccapp.jobs.store import JobStore
from vccapp.settings import Settings, open_settings

LOOK_SECONDS = 0.25
SIGN_SECONDS = 2.0
LINGER_SECONDS = 3.0
STOP_SECONDS = 25.0
"""For which a worker is left to end by itself, which it does by force after 20."""
SILENT_STOP_SECONDS = 6.0
"""The same for one that gives no sign of life: it hangs, or is frozen."""
MOST_FAILURES = 120

log = logging.getLogger("vccapp.keeper")


class Keeper:
    def __init__(self, settings: Settings, command: Sequence[str]) -> None:
        self.settings = settings
        self.command = command
        self.children: dict[str, subprocess.Popen[bytes]] = {}
        self._beats: dict[str, tuple[float | None, float]] = {}
        self._stopping: dict[str, float] = {}

    def look(self) -> bool:
        """One round; whether there is a job of this machine that has not ended."""
        codes = {name: child.poll() for name, child in self.children.items()}
        for name in [name for name, code in codes.items() if code == EXIT_DUPLICATE]:
            del self.children[name], codes[name]
        with JobStore(self.settings) as store:
            for job in record_ends(store, codes):
                threading.Thread(target=send_notices, args=(job, self.settings)).start()
            if store.find(
                state="queued", limit=1
            ):  # so that the store is locked only where there is something to start
                self.children |= start_ready(store, self.command)
            active = [job for job in store.find(state=ACTIVE) if is_ours(job, self.settings)]
        self._end_the_deaf(active)
        known = {job.id for job in active}
        for name in [name for name, code in codes.items() if code is not None and name not in known]:
            del self.children[name]
        return bool(active)

    def _end_the_deaf(self, active: list[Job]) -> None:
        """End by force what was asked to stop and gives no sign of life, or takes too long."""
        now = time.monotonic()
        stopping = [job for job in active if job.state == "stopping" and is_here(job)]
        self._stopping = {job.id: self._stopping.get(job.id, now) for job in stopping}
        self._beats = {job.id: self._beats.get(job.id, (None, now)) for job in active}
        for job in active:
            if self._beats[job.id][0] != job.beat:
                self._beats[job.id] = (job.beat, now)
        for job in stopping:
            asked, silent = now - self._stopping[job.id], now - self._beats[job.id][1]
            if asked > STOP_SECONDS or (silent > SILENT_STOP_SECONDS and asked > 1):
                log.warning("job %s does not stop: killing it", job.id)
                kill_processes(job.id)


def main(command: Sequence[str]) -> int:
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    try:
        settings = open_settings()
    except VccAppError as error:
        log.error("%s", error)
        return 2
    while True:
        with keeper_lock(settings, host_id()).open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return 0
            if not _keep(Keeper(settings, command)):
                return 1
        # Whoever queued a job while the lock was held counted on this process.
        try:
            with JobStore(settings) as store:
                if not any(is_ours(job, settings) for job in store.find(state=ACTIVE)):
                    return 0
        except JobError:
            return 1


def _keep(keeper: Keeper) -> bool:
    """Look until no job is left; False when the store cannot be used any more."""
    place, failures, signed = keeper_lock(keeper.settings, host_id()), 0, float("-inf")
    idle = time.monotonic()
    while failures < MOST_FAILURES and keeper.settings.jobs.exists():
        now = time.monotonic()
        try:
            if now - signed > SIGN_SECONDS:
                write_sign(place, os.getpid())
                signed = now
            if keeper.look():
                idle = now
            failures = 0
        except (JobError, OSError) as error:
            failures += 1
            log.warning("%s", error)
            time.sleep(1)
        if now - idle > LINGER_SECONDS and not failures:
            return True
        time.sleep(LOOK_SECONDS)
    return False


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
