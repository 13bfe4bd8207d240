"""Ray's Jobs API, as far as a job needs it: submit, look, stop. What goes wrong is said in one sentence."""

import contextlib
import logging
import os
import shlex
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

import vccapp
from vccapp.data.resources import THREAD_VARIABLES
from vccapp.errors import JobError, SpecError
from vccapp.jobs.host import MARK
from vccapp.tasks.base import Needs
from vccapp.wording import bytes_text, reason_text

THREADS = (*THREAD_VARIABLES, "VCCAPP_THREADS")
STOP_SECONDS = 15
"""After so long without an end Ray kills a job that is to stop; the worker that follows it waits for longer."""
LOST = ("JOB_SUPERVISOR_ACTOR_DIED", "JOB_SUPERVISOR_ACTOR_UNKNOWN_FAILURE")
"""What Ray calls a job whose machine has gone."""
State = Literal["pending", "running", "succeeded", "failed", "stopped"]
UNPLACED = ("JOB_SUPERVISOR_ACTOR_START_TIMEOUT", "JOB_SUPERVISOR_ACTOR_UNSCHEDULABLE")


def mark_of(job_id: str) -> str:
    """The mark of the processes that work for a job on the cluster, which may be this machine."""
    return f"{job_id} on ray"


@dataclass(frozen=True)
class Share:
    """What a job is given of one machine of the cluster."""

    cpus: int
    memory_bytes: int
    gpus: int = 0

    def describe(self) -> str:
        gpus = f", {self.gpus} GPU" if self.gpus else ""
        return f"{self.cpus} CPU, {bytes_text(self.memory_bytes)}{gpus}"


@dataclass(frozen=True)
class Look:
    """How Ray sees a job. kind : of its end, empty for the end of its command; text : Ray's own words, for the log"""

    state: State
    kind: str = ""
    exit_code: int | None = None
    text: str = ""

    @property
    def ended(self) -> bool:
        return self.state not in ("pending", "running")


class Cluster:
    """The Ray cluster at `address`: HOST:PORT as `ray start` prints it, http://HOST:8265, or auto.

    It and every method raise JobError (no_ray_cluster) where nothing answers, SpecError for an address of another form.
    """

    def __init__(self, address: str) -> None:
        try:
            from ray.job_submission import JobSubmissionClient

            from vccapp.stats.building.ray_executor import reach
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] != "ray":
                raise
            raise SpecError(
                "ray_missing",
                "Work on a cluster needs Ray, which is not installed",
                fix="run `pip install 'vccapp[ray]'`",
            ) from None
        self.address = address
        logging.getLogger("ray").setLevel(logging.ERROR)
        os.environ.pop("RAY_ADDRESS", None)  # it would be taken before ours
        with self._explained():
            reach(address.removeprefix("http://"))
            self._client = JobSubmissionClient(address)

    def share_of(self, needs: Needs) -> Share:
        """What of `needs` the largest fitting machine can give. Raises JobError where none has the memory."""
        every = self.machines()
        fitting = [node for node in every if node.get("CPU", 0) >= 1 and node.get("memory", 0) >= needs.memory_bytes]
        if not fitting:
            raise JobError(
                "no_ray_slot",
                f"None of the {len(every)} machines of the Ray cluster at {self.address} has a CPU and "
                f"{bytes_text(needs.memory_bytes)} for this job",
                fix="add a larger machine (see `ray status`)",
            )
        gpus = min(needs.gpus, max(int(node.get("GPU", 0)) for node in fitting))
        cpus = max(int(node["CPU"]) for node in fitting if node.get("GPU", 0) >= gpus)
        return Share(cpus=max(1, min(needs.threads, cpus)), memory_bytes=needs.memory_bytes, gpus=gpus)

    def machines(self) -> list[dict[str, float]]:
        """What each machine of the cluster has: CPU, GPU, memory (bytes)."""
        from ray.util.state import list_nodes

        with self._explained():
            # With a node that has gone Ray takes its own list for cut off.
            nodes = list_nodes(self._client.get_address(), limit=10_000, raise_on_missing_output=False)
        return [node.resources_total for node in nodes if node.state == "ALIVE"]

    def submit(self, job: Path, share: Share) -> None:
        """Have the work of the job in this folder done; its name on the cluster is that of the folder."""
        mark = f"{MARK}={mark_of(job.name)}"
        words = ["-m", "vccapp.jobs.cluster.remote", str(job), vccapp.__version__]
        python = shlex.quote(sys.executable)  # if the machine has it, as with an environment that all share
        variables = dict.fromkeys(THREADS, str(share.cpus)) | {"RAY_JOB_STOP_WAIT_TIME_S": str(STOP_SECONDS)}
        with self._explained():
            self._client.submit_job(
                entrypoint=f"[ -x {python} ] && python={python} || python=python; "
                f'exec env {shlex.quote(mark)} "$python" {shlex.join(words)}',
                submission_id=job.name,
                runtime_env={"env_vars": variables},
                entrypoint_num_cpus=share.cpus,
                entrypoint_num_gpus=share.gpus or None,
                entrypoint_memory=share.memory_bytes,
            )

    def look(self, name: str) -> Look:
        with self._explained():
            found = self._client.get_job_info(name)
        state = cast("State", found.status.value.lower())
        return Look(state, found.error_type or "", found.driver_exit_code, found.message or "")

    def read_log(self, name: str) -> str:
        """What Ray kept of what the command printed; empty where that is gone with its machine."""
        try:
            return self._client.get_job_logs(name)
        except Exception:
            return ""

    def stop(self, name: str) -> None:
        """Ask for an end (SIGTERM), which Ray makes by force after STOP_SECONDS."""
        with self._explained():
            self._client.stop_job(name)

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except SpecError:
            raise
        except Exception as error:
            raise JobError(
                "no_ray_cluster",
                f"The Ray cluster at {self.address} takes no jobs ({reason_text(error)})",
                fix="use the address that `ray start --head` printed, on machines with ray[default]",
            ) from error
