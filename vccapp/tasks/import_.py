"""Task `import`: predicted cells of another tool become a run."""

from typing import TYPE_CHECKING

from pydantic import Field

from vccapp.progress import Progress
from vccapp.settings import Settings
from vccapp.tasks.base import TASKS, AbsolutePath, Result, Task

if TYPE_CHECKING:
    from vccapp.models.imported import ImportedSpec


class ImportedRun(Result):
    """run : its id; notes : what was noticed about the file"""

    run: str
    notes: tuple[str, ...]


@TASKS.register("import")
class Import(Task[ImportedRun]):
    name = "import"
    Result = ImportedRun
    light = True

    path: AbsolutePath = Field(description="An h5ad file with predicted cells.")
    split: str | None = Field(
        None, description="Split on which it is scored; by default, all perturbations in the file."
    )
    run_title: str = Field("", description="Title of the run, shown in lists.")
    perturbation: str | None = Field(None, description="obs column of perturbations.")
    control: str | None = Field(None, description="Label of control cells.")
    matrix: str | None = Field(None, description="X, layers/NAME or obsm/NAME.")
    context: str | None = Field(None, description="Context of all cells, where obs does not say it.")

    @property
    def spec(self) -> "ImportedSpec":
        from vccapp.models.imported import ImportedSpec

        return ImportedSpec(
            file=str(self.path),
            perturbation=self.perturbation,
            control=self.control,
            matrix=self.matrix,
            context=self.context,
        )

    @property
    def title(self) -> str:
        return f"Import {self.path.name}"

    def command(self) -> list[str]:
        words = ["vccapp", "eval", "import", str(self.path), "--dataset", self.dataset]
        return words + self.changed_options(
            split="--split",
            run_title="--title",
            perturbation="--perturbation-column",
            control="--control-label",
            matrix="--matrix",
            context="--context",
            on="--on",
        )

    def check(self, settings: Settings) -> None:
        from vccapp.training.import_prediction import check_import

        check_import(self.spec, settings, dataset=self.dataset, split=self.split)

    def run(self, settings: Settings, progress: Progress) -> ImportedRun:
        from vccapp.training.import_prediction import import_prediction

        choices = self.model_dump(include={"dataset", "split", "perturbation", "control", "matrix", "context"})
        run_id, notes = import_prediction(self.path, settings, title=self.run_title, progress=progress, **choices)
        return ImportedRun(run=run_id, notes=notes)
