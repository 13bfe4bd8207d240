"""Tasks on the machines of a Ray cluster that already runs. This process must run on one of them.

Every task gets one CPU and `memory_bytes`, so no machine is asked for more than it has. What a function carries (the
handle of the dataset, groups, scaling: some MB) is put into the cluster once and handed to each task; the cells
themselves are read by the task, from the shared file system.
"""

import logging
import math
import signal
import socket
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import ray
from ray import cloudpickle
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from vccapp.errors import DataError, JobError, SpecError
from vccapp.faults import refuse_shortage
from vccapp.progress import Progress, silent
from vccapp.stats.building.executor import Result, Task
from vccapp.wording import reason_text

CONNECT_SECONDS = 5.0
POLL_SECONDS = 0.5
REPORT_SECONDS = 0.5
IN_FLIGHT = 2
"""Tasks handed out per slot, so that none waits for this process."""


class RayExecutor:
    """A connection to the cluster at `address` ('auto': the one on this machine, or host:port), for a `with` block.

    paths : files and folders that every machine must see; memory_bytes : needed by one task
    slots : tasks that the cluster runs at once; nodes : how many tasks each machine (its Ray node id) has finished

    Raises JobError when there is no such cluster, or when none of its machines has a CPU and the memory.
    """

    def __init__(self, address: str, *, paths: Sequence[Path], memory_bytes: int) -> None:
        self.paths = [Path(path) for path in paths]
        self.nodes: Counter[str] = Counter()
        connect(address)
        resources = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        self.slots = sum(_slots(found, memory_bytes) for found in resources)
        if self.slots == 0:
            ray.shutdown()
            raise JobError(
                "no_ray_slot",
                f"None of the {len(resources)} machines of the Ray cluster at {address} has a CPU and "
                f"{memory_bytes / 1e9:.1f} GB for a task",
                fix="add a larger machine (see `ray status`)",
            )
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        self._board: ray.actor.ActorClass = ray.remote(num_cpus=0)(Board).options(scheduling_strategy=here)
        self._call = ray.remote(num_cpus=1, memory=memory_bytes, scheduling_strategy="SPREAD")(_call)

    def __enter__(self) -> "RayExecutor":
        return self

    def __exit__(self, *_: object) -> None:
        ray.shutdown()

    def map(
        self, function: Callable[[Task, Progress], Result], tasks: Sequence[Task], *, progress: Progress = silent
    ) -> Iterator[Result]:
        """As `Executor.map`. A machine that is lost has its tasks done by another; tasks end with this process."""
        # As bytes, because arrays that Ray unpacks itself are read-only, which compiled code takes for another type.
        carried = ray.put(cloudpickle.dumps(function))
        board = self._board.remote(len(tasks))
        waiting = deque(enumerate(tasks))
        running: deque[ray.ObjectRef] = deque()
        try:
            while waiting or running:
                while waiting and len(running) < IN_FLIGHT * self.slots:
                    running.append(self._call.remote(carried, *waiting.popleft(), board, self.paths))
                ready, _ = ray.wait([running[0]], timeout=POLL_SECONDS)
                fraction, message = _fetch(board.read.remote())
                progress(fraction, message)
                if ready:
                    node, result = _fetch(running.popleft())
                    self.nodes[node] += 1
                    yield result
        finally:
            for task in running:
                ray.cancel(task, force=True)


class Board:
    """How far every task of one `map` is: an actor, beside the caller, that tasks write to."""

    def __init__(self, n_tasks: int) -> None:
        self._fractions = [0.0] * n_tasks
        self._message = "waiting for the cluster"

    def report(self, number: int, fraction: float, message: str) -> None:
        self._fractions[number] = fraction
        self._message = message or self._message

    def read(self) -> tuple[float, str]:
        """The mean fraction, and the latest message with the number of tasks that have ended."""
        ended = sum(fraction >= 1 for fraction in self._fractions)
        n_tasks = len(self._fractions)
        return sum(self._fractions) / n_tasks, f"{self._message} ({ended} of {n_tasks} parts done)"


def _call(carried: bytes, number: int, task: Any, board: Any, paths: Sequence[Path]) -> tuple[str, Any]:
    """Runs on a machine of the cluster: the id of its node, and the function's result."""
    missing = [path for path in paths if not path.exists()]
    if missing:
        raise DataError(
            "not_on_machine",
            f"{missing[0]} is not on {socket.gethostname()}, a machine of the Ray cluster",
            fix="keep data and VCCAPP_HOME on a file system that all machines mount at the same path",
        )
    reported = 0.0

    def progress(fraction: float, message: str = "") -> None:
        nonlocal reported
        if fraction >= 1 or time.monotonic() - reported > REPORT_SECONDS:
            reported = time.monotonic()
            board.report.remote(number, fraction, message)

    return ray.get_runtime_context().get_node_id(), cloudpickle.loads(carried)(task, progress)


def _fetch(reference: Any) -> Any:
    """The value of a Ray reference. Raises what its task raised, or JobError where the task was lost."""
    try:
        return ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        raise error.cause from error
    except ray.exceptions.RayError as error:
        reason = reason_text(error)
        raise JobError(
            "ray_lost",
            f"The Ray cluster lost a task ({reason})",
            fix="check `ray status`, then start it again; it continues where it stopped",
        ) from error


def _slots(resources: dict[str, float], memory_bytes: int) -> int:
    """Tasks that a machine with these resources runs at once."""
    return int(min(resources.get("CPU", 0), resources.get("memory", math.inf) // memory_bytes))


def reach(address: str) -> None:
    """See whether anything answers there, for which Ray itself would try for minutes; auto is not looked for.

    Raises SpecError for an address of another form, OSError when nothing answers.
    """
    if address == "auto":
        return
    host, colon, port = address.rpartition(":")
    if not (colon and host and port.isdecimal()):
        raise SpecError(
            "bad_ray_address",
            f"'{address}' is not the address of a Ray cluster",
            fix="use HOST:PORT, as printed by `ray start`, or auto",
        )
    socket.create_connection((host, int(port)), timeout=CONNECT_SECONDS).close()


def connect(address: str) -> Any:
    """Join the cluster, for a `with` block or until `ray.shutdown()`.

    Raises SpecError for an address of another form, JobError when nothing answers there.
    """
    terminate = signal.getsignal(signal.SIGTERM)
    try:
        reach(address)
        return ray.init(
            address,
            log_to_driver=False,
            logging_level=logging.ERROR,
            configure_logging=False,
            runtime_env={"env_vars": {"NUMBA_NUM_THREADS": "1"}},
        )
    except SpecError:
        raise
    except Exception as error:
        refuse_shortage(error)
        reason = reason_text(error)
        raise JobError(
            "no_ray_cluster",
            f"No Ray cluster is reachable at {address} ({reason})",
            fix="use the address that `ray start --head` printed",
        ) from error
    finally:
        # Ray takes SIGTERM for itself; a job is stopped by it.
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, terminate)
