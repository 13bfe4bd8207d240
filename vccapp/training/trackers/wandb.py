"""Weights & Biases. Its own settings say where: WANDB_PROJECT, WANDB_ENTITY, WANDB_API_KEY, WANDB_MODE=offline, ..."""

import os
from collections.abc import Mapping, Sequence

from vccapp.training.metrics_log import Line
from vccapp.training.record import State
from vccapp.training.trackers.base import PROJECT, TRACKERS, Tracked, Tracker


@TRACKERS.register("wandb")
class WeightsAndBiases(Tracker):
    label = "Weights & Biases"

    def start(self, run: Tracked, key: str) -> str:
        import wandb

        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT") or PROJECT,
            id=key or run.id,
            name=run.name,
            config=dict(run.config),
            dir=run.folder,
            resume="allow",
            reinit="create_new",
            settings=wandb.Settings(console="off", silent=True),
        )
        return key or run.id

    def log(self, lines: Sequence[Line]) -> None:
        for line in lines:
            values = {name: value for name, value in line.items() if name != "step"}
            self._run.log(values, step=int(line["step"]))

    def end(self, state: State, scores: Mapping[str, float]) -> None:
        self._run.summary.update(dict(scores))
        self._run.finish(exit_code=0 if state == "finished" else 1)
