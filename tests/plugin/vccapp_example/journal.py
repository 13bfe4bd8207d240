"""A tracker: each run's last loss and its end, as lines of one text file in the workspace."""

from collections.abc import Mapping, Sequence

from vccapp.training.metrics_log import Line
from vccapp.training.record import State
from vccapp.training.trackers.base import TRACKERS, Tracked, Tracker


@TRACKERS.register("journal")
class Journal(Tracker):
    label = "Journal (example)"

    def start(self, run: Tracked, key: str) -> str:
        self.path, self.name, self.loss = run.home / "journal.txt", run.name, "none"
        return key or run.id

    def log(self, lines: Sequence[Line]) -> None:
        self.loss = next((f"{line['loss']:.3g}" for line in reversed(lines) if "loss" in line), self.loss)

    def end(self, state: State, scores: Mapping[str, float]) -> None:
        with self.path.open("a") as file:
            print(f"{self.name} {state}: loss {self.loss}, {len(scores)} scores", file=file)
