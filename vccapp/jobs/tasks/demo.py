"""Task `demo`: simulate the built-in demo and build its index.

params  none
result  dataset: its fingerprint
"""

from typing import Any

from vccapp.jobs.tasks import TASKS
from vccapp.jobs.tasks.index import add_index
from vccapp.progress import Progress, part
from vccapp.settings import Settings


@TASKS.register("demo")
def demo(params: dict[str, Any], settings: Settings, progress: Progress) -> dict[str, Any]:
    from vccapp.data.reading.opening import open_dataset
    from vccapp.data.simulation.demo import write_demo

    dataset = open_dataset(write_demo(settings, progress=part(progress, 0.0, 0.3)))
    folder = settings.datasets / dataset.fingerprint / "index"
    add_index(dataset, folder, settings, part(progress, 0.3, 1.0))
    return {"dataset": dataset.fingerprint}
