"""Task `import`: predicted cells of another tool become a run.

params  path: absolute path of the file; dataset: fingerprint of the data predicted; the rest as in `import_prediction`:
        split, title, perturbation, control, matrix, run_id (all optional)
result  run: its id; notes: what was noticed about the file
"""

from pathlib import Path
from typing import Any

from vccapp.jobs.tasks import TASKS
from vccapp.progress import Progress
from vccapp.settings import Settings


@TASKS.register("import")
def import_(params: dict[str, Any], settings: Settings, progress: Progress) -> dict[str, Any]:
    from vccapp.training.import_prediction import import_prediction

    choices = {name: value for name, value in params.items() if name != "path"}
    run_id, notes = import_prediction(Path(params["path"]), settings, progress=progress, **choices)
    return {"run": run_id, "notes": list(notes)}
