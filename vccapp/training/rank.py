"""One of the processes that share a fit: python -m vccapp.training.rank RANK RANKS REPORTS MEETING

Started by `vccapp.training.fit`, which writes the Fit to standard input, then "stop" to ask the first process for an
end after its step. When that input is closed its writer is gone, and so is this process.
"""

import os
import signal
import sys
import threading
import time
import traceback
from multiprocessing.connection import Connection
from pathlib import Path

from vccapp.errors import ResourceError, Stopped, VccAppError
from vccapp.faults import refuse_shortage
from vccapp.models.base import make_model
from vccapp.progress import Progress, silent
from vccapp.stats.index import load_index
from vccapp.training.fit import Fit, fit_rank

REPORT_SECONDS = 0.1
MAX_TEXT = 900
"""Characters: a report is then written in one piece, beside those of the other processes."""


def main(rank: int, ranks: int, reports: Connection, meeting: Path) -> int:
    for number in (signal.SIGTERM, signal.SIGINT):  # they reach all processes of a job; the first one ends by a word
        signal.signal(number, signal.SIG_IGN)
    fit = Fit.model_validate_json(sys.stdin.readline())
    stop = threading.Event()
    threading.Thread(target=_listen, args=(stop,), daemon=True).start()
    sent = 0.0

    def report(fraction: float, message: str = "") -> None:
        nonlocal sent
        if stop.is_set():
            raise Stopped
        if time.monotonic() - sent > REPORT_SECONDS:
            reports.send((fraction, message))
            sent = time.monotonic()

    try:
        _fit(fit, rank, ranks, report, meeting)
    except Stopped:
        return 0
    except Exception as error:
        traceback.print_exc()
        text = f"{type(error).__name__}: {error}".partition("\n")[0][:MAX_TEXT]
        reports.send((rank, _for_people(error), text))
        return 1
    return 0


def _fit(fit: Fit, rank: int, ranks: int, report: Progress, meeting: Path) -> None:
    import torch

    from vccapp.neural.fitting.device import choose_device
    from vccapp.neural.fitting.processes import join_processes

    device = choose_device(fit.settings.device)
    if device.type == "cuda":
        device = torch.device("cuda", rank)
    join_processes(rank, ranks, device, meeting=meeting)
    index = load_index(fit.settings.index_of(fit.split.dataset))
    model = make_model(fit.model, fit.params)
    progress = silent if rank else report
    fit_rank(fit, model, index, device=str(device), progress=progress, rank=rank, ranks=ranks)


def _for_people(error: Exception) -> VccAppError | None:
    """The error itself where it is told as it is, or the lack of memory or threads behind it."""
    if isinstance(error, VccAppError):
        return error
    try:
        refuse_shortage(error)
    except ResourceError as lack:
        return lack
    return None


def _listen(stop: threading.Event) -> None:
    for _ in sys.stdin:
        stop.set()
    os._exit(1)


if __name__ == "__main__":
    _, own, of, descriptor, where = sys.argv
    sys.stdout.flush()
    os._exit(main(int(own), int(of), Connection(int(descriptor), readable=False), Path(where)))
