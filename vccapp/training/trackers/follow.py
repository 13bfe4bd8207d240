"""Following a run: what it logs in metrics.jsonl is handed to trackers, each on a thread of its own.

    with follow_run(tracked, settings.trackers) as scores:
        ...                                     # trains; metrics.jsonl grows
        scores.update(...)                      # what the trackers get in the end

Trackers read the file that the training writes, so a training waits for none of them and knows of none. One that fails,
hangs or is not installed is told once in the log. What a tracker has had is kept in `trackers/<name>.json` before it is
handed over: a run that goes on goes on there too, and no step is there twice.
"""

import contextlib
import logging
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from vccapp.data.atomic import write_json
from vccapp.errors import Stopped, VccAppError
from vccapp.records import Format, read_record
from vccapp.training.metrics_log import NAME, Line, read_lines
from vccapp.training.record import State
from vccapp.training.trackers.base import TRACKERS, Tracked
from vccapp.wording import reason_text

log = logging.getLogger("vccapp.trackers")

HAD = Format("tracked run", fix="delete it; the run then begins anew in that tracker")
ALWAYS = ("tensorboard",)
LOOK_SECONDS = 2.0
"""Between two looks at metrics.jsonl."""
END_SECONDS = 10.0
"""What trackers may take to hand over the rest, at the end of a training."""
STOP_SECONDS = 2.0
"""The same where a training was stopped."""


@contextlib.contextmanager
def follow_run(
    run: Tracked,
    names: Iterable[str],
    *,
    look_seconds: float = LOOK_SECONDS,
    end_seconds: float = END_SECONDS,
) -> Iterator[dict[str, float]]:
    """Hand what a run logs to the trackers of these names while the block works. Gives its scores, to be filled in."""
    scores: dict[str, float] = {}
    followers = [_Follower(run, name, scores, look_seconds) for name in dict.fromkeys((*ALWAYS, *names))]
    for follower in followers:
        follower.begin()
    state: State = "failed"
    try:
        yield scores
        state = "finished"
    except Stopped:
        state, end_seconds = "stopped", min(end_seconds, STOP_SECONDS)
        raise
    finally:
        for follower in followers:
            follower.finish(state)
        deadline = time.monotonic() + end_seconds
        for follower in followers:
            follower.wait(deadline)


class _Follower:
    """One tracker of one run."""

    def __init__(self, run: Tracked, name: str, scores: dict[str, float], look_seconds: float) -> None:
        self._run, self._name, self._scores, self._look_seconds = run, name, scores, look_seconds
        self._state: State = "failed"
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._work, name=f"tracker {name}", daemon=True)

    def begin(self) -> None:
        with self._told():
            self._tracker = TRACKERS[self._name]()  # here: the modules of all are imported by the first
            self._thread.start()

    def finish(self, state: State) -> None:
        self._state = state
        self._ended.set()

    def wait(self, deadline: float) -> None:
        if self._thread.ident is None:
            return
        self._thread.join(max(deadline - time.monotonic(), 0.0))
        if self._thread.is_alive():
            log.warning("The tracker %s takes too long; the end of the run %s may be missing there.", *self._names)

    @property
    def _names(self) -> tuple[str, str]:
        return self._name, self._run.id

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """Whatever a tracker raises: the run goes on without it."""
        try:
            yield
        except (Exception, SystemExit) as error:
            why = str(error) if isinstance(error, VccAppError) else f"{type(error).__name__}: {reason_text(error)}."
            log.warning("The tracker %s does not follow the run %s any more. %s", *self._names, why)

    def _work(self) -> None:
        with self._told():
            had = _Had(self._run.folder / "trackers" / f"{self._name}.json")
            had.key = self._tracker.start(self._run, had.key)
            follow = self._follow_whole if self._tracker.whole else self._follow_new
            follow(had)
            self._tracker.end(self._state, self._scores)

    def _looks(self) -> Iterator[list[Line]]:
        """All lines that there are, each time that there are others, and in the end."""
        known = None
        while True:
            ended = self._ended.wait(self._look_seconds)
            with contextlib.suppress(FileNotFoundError):
                about = (self._run.folder / NAME).stat()
                if ended or known != (about.st_size, about.st_mtime_ns):
                    known = about.st_size, about.st_mtime_ns
                    yield read_lines(self._run.folder)
            if ended:
                return

    def _follow_new(self, had: "_Had") -> None:
        had.keep()
        for lines in self._looks():
            if new := [line for line in lines if had.lacks(line)]:
                had.add(new)
                had.keep()
                self._tracker.log(new)

    def _follow_whole(self, had: "_Had") -> None:
        sent: list[str] = []  # as texts: a NaN is not equal to itself
        for lines in self._looks():
            texts = list(map(str, lines))
            if texts[: len(sent)] != sent:  # a training that goes on writes anew what was beyond its checkpoint
                had.key = self._tracker.start(self._run, had.key)
                sent = []
            if len(texts) > len(sent):
                self._tracker.log(lines[len(sent) :])
            sent = texts


class _Had:
    """What a tracker was given of a run: up to which step, which names of it, and what the run is called there."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.key, self._step, self._names = "", -1.0, set[str]()
        if path.exists():
            self.key, self._step, self._names = read_record(path, HAD, _parse)

    def lacks(self, line: Line) -> bool:
        return line["step"] > self._step or (line["step"] == self._step and not line.keys() <= self._names)

    def add(self, lines: list[Line]) -> None:
        for line in lines:
            if line["step"] > self._step:
                self._step, self._names = line["step"], set()
            self._names |= line.keys()

    def keep(self) -> None:
        self._path.parent.mkdir(exist_ok=True)  # not that of a run whose folder was deleted
        fields = {"key": self.key, "step": self._step, "names": sorted(self._names)}
        write_json(self._path, HAD.stamp(fields))


def _parse(saved: dict[str, Any]) -> tuple[str, float, set[str]]:
    return str(saved["key"]), float(saved["step"]), {str(name) for name in saved["names"]}
