"""Task `embed`: vectors of the cells of a dataset, written beside its index."""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from vccapp.commands import assignments
from vccapp.errors import JobError, SpecError, VccAppError
from vccapp.progress import Progress
from vccapp.records import Format
from vccapp.settings import Settings
from vccapp.tasks.base import TASKS, Needs, Result, Task

if TYPE_CHECKING:
    from vccapp.stats.index import Index

ASKED = Format("unfinished embedding")
"""What an unfinished training was begun for."""
LABELS = {"pca": "PCA", "state": "STATE (SE)", "obsm": "obsm of the file"}


class Embedded(Result):
    """name : what `inputs` of the model `state` calls it; folder : where it is"""

    name: str
    folder: Path


@TASKS.register("embed")
class Embed(Task[Embedded]):
    name = "embed"
    Result = Embedded

    method: Literal["pca", "state", "obsm"] = "pca"
    key: str = Field("X_state", description="Name of the array, for obsm.")
    components: int = Field(50, ge=1, description="Principal components, for pca.")
    params: dict[str, Any] = Field({}, description="Parameters that differ from the defaults, for state.")
    seed: int = Field(0, ge=0, description="Random seed; the same seed gives the same vectors.")
    split: str = Field("", description="Split whose training part alone decides on the vectors, beside the controls.")

    @property
    def title(self) -> str:
        return f"Embed the cells of {self.dataset}: {LABELS[self.method]}"

    def command(self) -> list[str]:
        words = ["vccapp", "model", "embed", self.dataset]
        names = {"method": "--method", "key": "--key", "components": "--components", "seed": "--seed"}
        words += self.changed_options(**names, split="--split", on="--on")
        return words + assignments(self.params)

    def check(self, settings: Settings) -> None:
        self._seen(settings)
        if self.method == "obsm":
            from vccapp.data.workspace import require_source

            require_source(self.dataset, settings)
        if self.method == "state":
            from vccapp.neural.state_embedding.spec import check_state_embedding

            check_state_embedding(self._index(settings), self.params, memory_bytes=settings.memory_bytes)

    def needs(self, settings: Settings) -> Needs:
        if self.method != "state":
            return super().needs(settings)
        from vccapp.neural.state_embedding.spec import StateEmbeddingSpec, estimate_state_embedding
        from vccapp.registry import make_spec

        memory_bytes = settings.memory_bytes
        try:
            spec = make_spec(StateEmbeddingSpec, self.params, name="the state embedding")
            estimate = estimate_state_embedding(self._index(settings), spec, memory_bytes=memory_bytes)
            memory_bytes = estimate.memory_bytes
        except VccAppError:
            pass
        return Needs(memory_bytes=memory_bytes, gpus=int(settings.device != "cpu"))

    def run(self, settings: Settings, progress: Progress) -> Embedded:
        index = self._index(settings)
        if self.method == "pca":
            from vccapp.stats.cells.embedding import write_pca

            memory = settings.memory_bytes
            seen = self._seen(settings)
            folder = write_pca(index, n_components=self.components, seen=seen, memory_bytes=memory, progress=progress)
        elif self.method == "obsm":
            from vccapp.data.workspace import open_registered
            from vccapp.stats.cells.embedding import import_cell_embedding

            folder = import_cell_embedding(open_registered(self.dataset, settings), index, self.key, progress=progress)
        else:
            folder = self._train_state(index, settings, progress)
        return Embedded(name=folder.name, folder=folder)

    def _index(self, settings: Settings) -> "Index":
        from vccapp.stats.index import load_index

        return load_index(settings.index_of(self.dataset))

    def _seen(self, settings: Settings) -> tuple[str, ...] | None:
        """The training part of the split; None without one. Raises SpecError for a split of other data, or for obsm."""
        from vccapp.data.splits.split import load_split

        if not self.split:
            return None
        split = load_split(self.split, settings)
        if split.dataset != self.dataset or self.method == "obsm":
            what = (
                f"belongs to the dataset {split.dataset}" if self.method != "obsm" else "cannot change stored vectors"
            )
            raise SpecError("split_not_usable", f"The split '{split.name}' {what}", fix="choose another, or none")
        return split.train

    def _train_state(self, index: "Index", settings: Settings, progress: Progress) -> Path:
        """Goes on from the last checkpoint of the same parameters, where one was stopped."""
        from vccapp.data.atomic import holds_json, write_json
        from vccapp.data.lock import hold_lock
        from vccapp.neural.fitting.fitting import Fitting
        from vccapp.neural.state_embedding.spec import StateEmbeddingSpec
        from vccapp.neural.state_embedding.write import write_state_embedding
        from vccapp.registry import make_spec
        from vccapp.training.metrics_log import NAME, MetricsLog

        spec = make_spec(StateEmbeddingSpec, self.params, name="the state embedding")
        begun, seen = training_folder(settings, self.dataset), self._seen(settings)
        asked = ASKED.stamp({"spec": spec.model_dump(mode="json"), "seed": self.seed, "seen": seen and list(seen)})
        problem = f"Another job is training the state embedding of {self.dataset}"
        busy = JobError("embedding_busy", problem, fix="wait for it or stop it")
        with hold_lock(begun.with_name(f".{begun.name}.lock"), busy=busy):
            if not holds_json(begun / "asked.json", asked):
                shutil.rmtree(begun, ignore_errors=True)
                begun.mkdir(parents=True)
                write_json(begun / "asked.json", asked)
            with MetricsLog(begun) as log:
                fitting = Fitting(
                    seed=self.seed,
                    log=log,
                    progress=progress,
                    folder=begun,
                    memory_bytes=settings.memory_bytes,
                    device=settings.device,
                )
                folder = write_state_embedding(index, spec, fitting, seen=seen)
            shutil.move(begun / NAME, folder / NAME)
            shutil.rmtree(begun)
        return folder


def training_folder(settings: Settings, dataset: str) -> Path:
    """Where the checkpoints and the log of an unfinished training lie."""
    return settings.datasets / dataset / "X_state.training"
