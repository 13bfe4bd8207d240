"""Trackio. Its own settings say where: TRACKIO_DIR, TRACKIO_PROJECT, TRACKIO_SPACE_ID, ..."""

import math
import os
from collections.abc import Mapping, Sequence

from vccapp.training.metrics_log import Line
from vccapp.training.record import State
from vccapp.training.trackers.base import PROJECT, TRACKERS, Tracked, Tracker


@TRACKERS.register("trackio")
class Trackio(Tracker):
    label = "Trackio"

    def start(self, run: Tracked, key: str) -> str:
        import trackio

        self._run = trackio.init(
            project=os.environ.get("TRACKIO_PROJECT") or PROJECT,
            name=key or run.id,
            config=dict(run.config) | {"title": run.title},
            resume="allow",
            embed=False,
        )
        return key or run.id

    def log(self, lines: Sequence[Line]) -> None:
        for line in lines:
            values = {name: value for name, value in line.items() if name != "step" and math.isfinite(value)}
            self._run.log(values, step=int(line["step"]))

    def end(self, state: State, scores: Mapping[str, float]) -> None:
        if scores:
            self._run.log(dict(scores))
        self._run.finish()
