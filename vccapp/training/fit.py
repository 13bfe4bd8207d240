"""The fit of a run: in this process, or shared by several, one a GPU or each with its part of a CPU's cores.

    model = fit_model(Fit(...), model, index, ranks=count_ranks(model, settings), progress=progress)

Processes that share a fit are started here (`python -m vccapp.training.rank`). This one only watches: it hands progress
on and a stop down, and ends them all once one has died, as the others would wait for it in the middle of a step.

Why no launcher of a library: torchrun's agent and Lightning Fabric start processes and let them meet, which is the
smallest part of this file (`_start`). What the rest is for, they have not: a refusal of one process that reaches the
page as the error it is, progress up and a stop down, processes that end when the worker of their job is killed, and
an exit that is told by its cause. torchrun would restart what died, where a run is resumed from its checkpoint by its
owner, and wants a port, which a meeting in a file does not; Fabric would be one more dependency.
"""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from vccapp.data.atomic import scratch_folder
from vccapp.data.places import IMPORT_ROOT
from vccapp.data.resources import THREAD_VARIABLES
from vccapp.data.splits.split import Split
from vccapp.data.stores.access import Access
from vccapp.errors import JobError, ResourceError, Stopped, VccAppError
from vccapp.models.base import Estimate, Model, load_model
from vccapp.neural.fitting.fitting import forget
from vccapp.progress import Progress
from vccapp.settings import Settings
from vccapp.stats.index import Index
from vccapp.training.metrics_log import MetricsLog
from vccapp.training.validation import make_validation

COMMAND = (sys.executable, "-m", "vccapp.training.rank")
POLL_SECONDS = 0.2
RESUME = "resume the run, which continues from its last checkpoint"


class Fit(BaseModel):
    """What to fit, and the run's folder."""

    model: str
    params: dict[str, Any]
    split: Split
    seed: int
    folder: Path
    settings: Settings


def count_ranks(model: Model, settings: Settings) -> int:
    """How many processes fit a model. Raises ResourceError when there are fewer GPUs than that."""
    if settings.devices == 1 or not model.shared:
        return 1
    import torch

    from vccapp.neural.fitting.device import choose_device

    on_gpus = choose_device(settings.device).type == "cuda"
    there = torch.cuda.device_count() if on_gpus else 1
    if settings.devices == "auto":
        return there
    if on_gpus and settings.devices > there:
        raise ResourceError(
            "too_many_devices",
            f"{settings.devices} devices were requested, but torch finds {there} GPU(s)",
            fix=f"choose at most {there}, or VCCAPP_DEVICE=cpu",
        )
    return settings.devices


def estimate_fit(model: Model, index: Index, split: Split, settings: Settings, *, ranks: int) -> Estimate:
    """What a fit by so many processes takes, each of which plans with its part of the memory."""
    return model.estimate(index, split, memory_bytes=settings.memory_bytes // ranks).shared(ranks)


def fit_model(fit: Fit, model: Model, index: Index, *, ranks: int, progress: Progress) -> Model:
    """The fitted model, which is saved in the run's folder. Raises JobError when one of several processes died."""
    if ranks > 1:
        _fit_shared(fit, ranks, progress)
        return load_model(fit.folder / "model", genes=index.genes["gene"].tolist())
    fit_rank(fit, model, index, progress=progress)
    return model


def fit_rank(fit: Fit, model: Model, index: Index, *, device: str = "", progress: Progress, **place: int) -> None:
    """Fit in this process; place : rank and ranks of `Fitting`, where it is one of several. The first one saves."""
    leads = not place.get("rank")
    with MetricsLog(fit.folder) if leads else contextlib.nullcontext(forget) as log:
        model.fit(
            index,
            fit.split,
            seed=fit.seed,
            log=log,
            progress=progress,
            folder=fit.folder / "checkpoint",
            validate=make_validation(index, fit.split),
            memory_bytes=fit.settings.memory_bytes // place.get("ranks", 1),
            access=Access.of(fit.settings),
            device=device or fit.settings.device,
            **place,
        )
    if leads:
        model.save(fit.folder / "model")


Done = tuple[float, str]
"""Fraction and message of a process."""
Ended = tuple[int, VccAppError | None, str]
"""Why a process ended: its rank, the error that people are to see, and a text for any."""


def _fit_shared(fit: Fit, ranks: int, progress: Progress) -> None:
    with _start(fit, ranks) as (processes, reports):
        done: Done | None = None
        messages: list[Ended] = []
        stopping = False
        while processes[0].poll() is None and not any(process.poll() for process in processes):
            for report in _receive(reports, POLL_SECONDS):
                if len(report) == 2:
                    done = report
                else:
                    messages.append(report)
            try:
                if not stopping:
                    progress(*(done or (0.0, f"Starting {ranks} processes")))
            except Stopped:
                if done is None:  # nothing to keep yet
                    raise
                stopping = True
                with contextlib.suppress(BrokenPipeError):
                    _write(processes[0], b"stop\n")
        if stopping:
            raise Stopped
        messages += [report for report in _receive(reports, 0) if len(report) == 3]
        if messages or processes[0].poll() != 0 or any(process.poll() for process in processes):
            raise _failure(messages, [process.poll() for process in processes])


@contextlib.contextmanager
def _start(fit: Fit, ranks: int) -> Iterator[tuple[list[subprocess.Popen[bytes]], Connection]]:
    """The processes, killed at the end, and what they report: (fraction, message), or (rank, error or None, text).

    Each reads its `fit` from its standard input, and ends when that is closed.
    """
    share = max(1, (os.cpu_count() or 1) // ranks)
    path = os.pathsep.join([str(IMPORT_ROOT), os.environ.get("PYTHONPATH", "")])
    env = dict.fromkeys(THREAD_VARIABLES, str(share)) | os.environ | {"PYTHONPATH": path}
    reports, sender = Pipe(duplex=False)
    processes: list[subprocess.Popen[bytes]] = []
    with scratch_folder() as folder, reports:
        try:
            with sender:
                for rank in range(ranks):
                    words = [str(rank), str(ranks), str(sender.fileno()), f"{folder}/meeting"]
                    command, descriptor = [*COMMAND, *words], sender.fileno()
                    process = subprocess.Popen(command, stdin=subprocess.PIPE, env=env, pass_fds=[descriptor])
                    processes.append(process)
                    _write(process, fit.model_dump_json().encode() + b"\n")
            yield processes, reports
        finally:
            for process in processes:
                process.kill()
            for process in processes:
                process.wait()
                with contextlib.suppress(BrokenPipeError):
                    if process.stdin is not None:
                        process.stdin.close()


def _write(process: subprocess.Popen[bytes], line: bytes) -> None:
    """To its standard input."""
    if process.stdin is not None:
        process.stdin.write(line)
        process.stdin.flush()


def _receive(reports: Connection, seconds: float) -> Iterator[Done | Ended]:
    """What has been reported, waiting so long for the first; nothing once all have ended."""
    with contextlib.suppress(EOFError):
        while reports.poll(seconds):
            yield reports.recv()
            seconds = 0


def _failure(messages: list[Ended], codes: list[int | None]) -> VccAppError:
    """The first cause: an expected error, else a death by a signal, else an unexpected error. Pure."""
    for _, error, _ in messages:
        if error is not None:
            return error
    start = "The training ended because its process {} of " + str(len(codes))
    for rank, code in enumerate(codes):
        if code is not None and code < 0:
            why = ", most often because memory ran out" if code == -9 else ""
            return JobError(
                "process_killed", f"{start.format(rank + 1)} was killed (signal {-code}){why}", found=-code, fix=RESUME
            )
    for rank, _, text in messages:
        return JobError(
            "process_failed", f"{start.format(rank + 1)} failed ({text})", fix=f"see the log, then {RESUME}"
        )
    rank, code = next((rank, code) for rank, code in enumerate(codes) if code)
    return JobError(
        "process_failed",
        f"{start.format(rank + 1)} ended with exit code {code}",
        found=code,
        fix=f"see the log, then {RESUME}",
    )
