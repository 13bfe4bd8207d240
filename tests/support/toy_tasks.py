"""Tasks of tests, with every way of ending, and the worker that knows them.

python toy_tasks.py <job id>
"""

import errno
import hashlib
import multiprocessing
import os
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from typing import Any, ClassVar

from vccapp.errors import DataError
from vccapp.jobs import worker
from vccapp.progress import Progress
from vccapp.settings import Settings
from vccapp.tasks.base import Needs, Result, Task


class Said(Result):
    said: Any = None


class Toy(Task[Said]):
    Result = Said

    label: str = ""
    memory_bytes: int = 0
    threads: int = 1

    @property
    def title(self) -> str:
        return f"toy {self.name}{self.label}"

    def command(self) -> list[str]:
        return ["toy", self.name]

    def needs(self, settings: Settings) -> Needs:
        return Needs(memory_bytes=self.memory_bytes, threads=self.threads)

    def run(self, settings: Settings, progress: Progress) -> Said:
        raise NotImplementedError


class Echo(Toy):
    name = "echo"

    def run(self, settings: Settings, progress: Progress) -> Said:
        for step in range(200):
            progress(step / 200, f"step {step}")
        progress(1.0, "the last word")
        heavy = sorted({"numpy", "torch"} & set(sys.modules))
        return Said(said={"label": self.label, "home": str(settings.home), "heavy": heavy})


class Steps(Toy):
    """Notes each of its steps in a file of its job, so that work done twice is seen."""

    name = "steps"
    n_steps: ClassVar[int] = 12

    slow: bool = False

    def run(self, settings: Settings, progress: Progress) -> Said:
        for step in range(100_000 if self.slow else self.n_steps):
            progress(min(step / self.n_steps, 1), f"step {step}")
            with (settings.home / f"steps {os.environ['VCCAPP_JOB']}").open("a") as file:
                file.write(f"{step}\n")
            time.sleep(0.05)
        return Said()


class Wait(Toy):
    name = "wait"

    child: bool = False

    def run(self, settings: Settings, progress: Progress) -> Said:
        child = subprocess.Popen(["sleep", "60"]) if self.child else None
        while True:
            progress(0.5, f"child {child.pid if child else 0}")
            time.sleep(0.02)


class Stubborn(Toy):
    name = "stubborn"

    def run(self, settings: Settings, progress: Progress) -> Said:
        progress(0.25, "hears nothing")
        subprocess.Popen(["sh", "-c", "trap '' TERM; sleep 60"])
        hashlib.pbkdf2_hmac("sha256", b"", b"", 2**31 - 1)  # minutes below Python, where no signal handler runs
        return Said()


class Pool(Toy):
    name = "pool"

    def run(self, settings: Settings, progress: Progress) -> Said:
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("fork")) as workers:
            workers.submit(time.sleep, 60)
            while True:
                progress(0.5, "pool")
                time.sleep(0.02)


class Refuse(Toy):
    name = "refuse"

    def run(self, settings: Settings, progress: Progress) -> Said:
        raise DataError("no_cells", "The file has no cells", fix="choose another file")


class Crash(Toy):
    name = "crash"

    def run(self, settings: Settings, progress: Progress) -> Said:
        print("said before the crash")
        return Said(said=1 / 0)


class Full(Toy):
    name = "full"

    def run(self, settings: Settings, progress: Progress) -> Said:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/data/x.h5ad")


class Odd(Toy):
    name = "odd"

    def run(self, settings: Settings, progress: Progress) -> Said:
        return Said(said=object())


class Kill(Toy):
    name = "kill"

    number: int

    def run(self, settings: Settings, progress: Progress) -> Said:
        os.kill(os.getpid(), self.number)
        return Said()


class Unknown(Toy):
    """One that no worker knows."""

    name = "nothing"


TOYS = {kind.name: kind for kind in (Echo, Steps, Wait, Stubborn, Pool, Refuse, Crash, Full, Odd, Kill)}

if __name__ == "__main__":
    worker.HEARTBEAT_SECONDS = 0.3
    sys.exit(worker.main(sys.argv[1], tasks=TOYS, grace=0.6))
