"""Task `split`: make the standard split of a dataset, between its index and a training in a chain of jobs."""

from vccapp.progress import Progress
from vccapp.settings import Settings
from vccapp.tasks.base import TASKS, Needs, Result, Task


class Made(Result):
    """split : its name"""

    split: str


@TASKS.register("split")
class StandardSplit(Task[Made]):
    name = "split"
    Result = Made
    light = True

    @property
    def title(self) -> str:
        return f"Standard split of {self.dataset}"

    def command(self) -> list[str]:
        from vccapp.data.splits.standard import standard_name

        return ["vccapp", "split", "make", self.dataset, "--name", standard_name(self.dataset)]

    def needs(self, settings: Settings) -> Needs:
        return Needs(memory_bytes=min(settings.memory_bytes, 500_000_000), threads=1)

    def run(self, settings: Settings, progress: Progress) -> Made:
        from vccapp.data.splits.standard import keep_split, standard_split
        from vccapp.stats.index import load_index

        split = standard_split(load_index(settings.index_of(self.dataset)).perturbed, self.dataset)
        keep_split(split, settings)
        return Made(split=split.name)
