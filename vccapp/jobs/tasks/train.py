"""Task `train`: train a model on a split, or go on with a run.

params  run_id: the id the run will have; the other fields are those of RunSpec;
        or run_id and resume: true for a run that was stopped, killed or failed;
        devices: processes that share the fit, or auto (optional, see Settings)
result  run: its id
"""

from typing import Any

from vccapp.jobs.tasks import TASKS
from vccapp.progress import Progress
from vccapp.settings import Settings


@TASKS.register("train")
def train(params: dict[str, Any], settings: Settings, progress: Progress) -> dict[str, Any]:
    from vccapp import training

    own = ("run_id", "resume", "devices")
    run_id = params["run_id"]
    settings = settings.model_copy(update={"devices": params.get("devices", settings.devices)})
    if params.get("resume"):
        training.resume(run_id, settings, progress=progress)
        return {"run": run_id}
    spec = training.RunSpec(**{name: value for name, value in params.items() if name not in own})
    training.train(spec, settings, run_id=run_id, progress=progress)
    return {"run": run_id}
