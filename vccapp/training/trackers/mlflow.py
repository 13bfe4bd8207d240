"""MLflow, by `mlflow` or `mlflow-skinny`. Its own settings say where: MLFLOW_TRACKING_URI, MLFLOW_EXPERIMENT_NAME, ...

Without the first, runs are kept in the workspace, in `mlflow.db`, which takes the whole `mlflow`.
"""

import math
import os
import time
from collections.abc import Mapping, Sequence

from vccapp.training.metrics_log import Line
from vccapp.training.record import State
from vccapp.training.trackers.base import PROJECT, TRACKERS, Tracked, Tracker

STATES: dict[str, str] = {"finished": "FINISHED", "failed": "FAILED", "stopped": "KILLED"}
AT_ONCE = 1000
"""Metrics that one call may log."""
MAX_PARAM = 500
"""Characters of a value that every store takes."""


@TRACKERS.register("mlflow")
class MLflow(Tracker):
    label = "MLflow"

    def start(self, run: Tracked, key: str) -> str:
        import mlflow
        from mlflow.entities import Metric, Param

        self._metric, self._step = Metric, 0
        uri = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{run.home / 'mlflow.db'}"
        self._client = mlflow.MlflowClient(tracking_uri=uri)
        if key:
            self._client.update_run(key, status="RUNNING")
            self._key = key
            return key
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or PROJECT
        found = self._client.get_experiment_by_name(name)
        experiment = self._client.create_experiment(name) if found is None else found.experiment_id
        self._key = self._client.create_run(experiment, run_name=run.name, tags={"vccapp.run": run.id}).info.run_id
        params = [Param(name, str(value)[:MAX_PARAM]) for name, value in run.config.items()]
        self._client.log_batch(self._key, params=params)
        return self._key

    def log(self, lines: Sequence[Line]) -> None:
        values = [(name, value, int(line["step"])) for line in lines for name, value in line.items() if name != "step"]
        self._log(values)
        self._step = int(lines[-1]["step"])

    def end(self, state: State, scores: Mapping[str, float]) -> None:
        self._log([(name, value, self._step) for name, value in scores.items()])
        self._client.set_terminated(self._key, STATES[state])

    def _log(self, values: Sequence[tuple[str, float, int]]) -> None:
        now = int(time.time() * 1000)
        known = [self._metric(name, value, now, step) for name, value, step in values if math.isfinite(value)]
        for first in range(0, len(known), AT_ONCE):
            self._client.log_batch(self._key, metrics=known[first : first + AT_ONCE])
