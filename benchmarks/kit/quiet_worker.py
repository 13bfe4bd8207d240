"""A worker whose trainings go on and on, log and report like any other, and compute nothing.

python quiet_worker.py <job id>
"""

import sys
import time
from datetime import UTC, datetime

from vccapp.data.atomic import write_folder
from vccapp.data.lock import hold_lock
from vccapp.errors import SpecError
from vccapp.jobs import worker
from vccapp.progress import Progress
from vccapp.settings import Settings
from vccapp.tasks.base import Needs
from vccapp.tasks.train import Train, Trained
from vccapp.training.metrics_log import MetricsLog
from vccapp.training.record import list_runs, next_number, run_folder, write_run

STEPS = 10_000
STEP_SECONDS = 0.25


class QuietTrain(Train):
    """Stands in for a training, so that what is measured is the page and not who shares the processors with it."""

    def needs(self, settings: Settings) -> Needs:
        """No processor, so that as many as one likes run on a machine of few."""
        return Needs(memory_bytes=0, threads=0)

    def run(self, settings: Settings, progress: Progress) -> Trained:
        folder, like = run_folder(self.run_id, settings), list_runs(settings)[-1]
        changes = {"id": self.run_id, "spec": self.spec, "state": "running", "ended": None, "metrics": {}}
        changes |= {"created": datetime.now(UTC), "number": next_number(settings)}
        with write_folder(folder) as beside:
            write_run(like.model_copy(update=changes), beside)
        busy = SpecError("run_busy", "The run is trained already", fix="wait")
        with hold_lock(folder / "lock", busy=busy), MetricsLog(folder) as log:
            for step in range(1, STEPS):
                progress(step / STEPS, f"step {step:,} of {STEPS:,}")
                log({"step": step, "loss": 1 / step, "val_pearson_delta": 1 - 1 / step})
                time.sleep(STEP_SECONDS)
        return Trained(run=self.run_id)


if __name__ == "__main__":
    sys.exit(worker.main(sys.argv[1], tasks={"train": QuietTrain}))
