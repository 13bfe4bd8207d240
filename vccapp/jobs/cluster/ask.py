"""Whether a Ray cluster answers, and what it has.

ask_cluster(address)      # in this process, which then has Ray
ask_apart(address)        # in a process of its own: for the app, which is to have neither Ray nor its signal handlers
"""

import json
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import vccapp
from vccapp.errors import JobError, VccAppError, one_line
from vccapp.jobs.cluster.client import Cluster
from vccapp.wording import bytes_text

LONGEST_SECONDS = 30.0


@dataclass(frozen=True)
class Answer:
    """What the machines of a cluster have together."""

    address: str
    machines: int
    cpus: int
    gpus: int
    memory_bytes: int

    def describe(self) -> str:
        return (
            f"The Ray cluster at {self.address} answers: {self.machines} machine{'s' * (self.machines != 1)}, "
            f"{self.cpus} CPU, {self.gpus} GPU, {bytes_text(self.memory_bytes)} of memory"
        )


def ask_cluster(address: str) -> Answer:
    """Raises what `Cluster` raises where none answers."""
    machines = Cluster(address).machines()
    cpus, gpus, memory = (int(sum(one.get(name, 0) for one in machines)) for name in ("CPU", "GPU", "memory"))
    return Answer(address, len(machines), cpus, gpus, memory)


def ask_apart(address: str) -> Answer:
    """Raises VccAppError where none answers, in `LONGEST_SECONDS` at the latest."""
    words = [sys.executable, "-m", "vccapp.jobs.cluster.ask", address]
    try:
        done = subprocess.run(
            words,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LONGEST_SECONDS,
            cwd=Path(vccapp.__file__).parents[1],
            check=False,
        )
        said = json.loads(done.stdout.strip().rpartition("\n")[2])
    except subprocess.TimeoutExpired:
        raise _silent(address, f"nothing within {LONGEST_SECONDS:.0f} s") from None
    except ValueError:
        raise _silent(address, one_line(done.stderr.strip().rpartition("\n")[2]) or "nothing") from None
    if "code" in said:
        raise JobError(said["code"], said["problem"], fix=said["fix"])
    return Answer(**said)


def _silent(address: str, said: str) -> JobError:
    problem = f"The Ray cluster at {address} could not be asked ({said})"
    return JobError("no_ray_cluster", problem, fix="look at `ray status` on its first machine")


if __name__ == "__main__":
    try:
        print(json.dumps(asdict(ask_cluster(sys.argv[1]))))
    except VccAppError as error:
        print(json.dumps({"code": error.code, "problem": error.problem, "fix": error.fix}))
