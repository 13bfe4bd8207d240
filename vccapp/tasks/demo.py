"""Task `demo`: simulate the built-in demo and build its index."""

from vccapp.errors import JobError
from vccapp.progress import Progress, part
from vccapp.settings import Settings
from vccapp.tasks.base import TASKS, Needs, Task
from vccapp.tasks.index import Indexed, add_index

MEMORY_BYTES = 450_000_000
"""Measured."""


@TASKS.register("demo")
class Demo(Task[Indexed]):
    name = "demo"
    Result = Indexed

    @property
    def title(self) -> str:
        return "Create the demo"

    def command(self) -> list[str]:
        return ["vccapp", "data", "demo", *self.changed_options(on="--on")]

    def needs(self, settings: Settings) -> Needs:
        return Needs(memory_bytes=MEMORY_BYTES)

    def run(self, settings: Settings, progress: Progress) -> Indexed:
        from vccapp.data.lock import hold_lock
        from vccapp.data.reading.opening import open_dataset
        from vccapp.data.simulation.demo import write_demo

        busy = JobError("demo_busy", "Another job is creating the demo", fix="wait for it or stop it")
        with hold_lock(settings.home / ".demo.lock", busy=busy):
            dataset = open_dataset(write_demo(settings, progress=part(progress, 0.0, 0.3)))
            folder = settings.index_of(dataset.fingerprint)
            add_index(dataset, folder, settings, part(progress, 0.3, 1.0))
        return Indexed(dataset=dataset.fingerprint)
