"""Task `embed`: vectors of the cells of a dataset, written beside its index.

params  dataset: its fingerprint; method: pca, state or obsm; components: of pca; spec: of state, as in
        `vccapp.neural.state_embedding.spec`; seed; key: of obsm
result  name: what `inputs` of the model `state` calls it; folder: where it is
"""

import shutil
from typing import TYPE_CHECKING, Any

from vccapp.jobs.tasks import TASKS
from vccapp.progress import Progress
from vccapp.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

    from vccapp.stats.index import Index


@TASKS.register("embed")
def embed(params: dict[str, Any], settings: Settings, progress: Progress) -> dict[str, Any]:
    from vccapp.stats.index import load_index

    index = load_index(settings.datasets / params["dataset"] / "index")
    if params["method"] == "pca":
        from vccapp.stats.cells.embedding import write_pca

        folder = write_pca(
            index, n_components=params["components"], memory_bytes=settings.memory_bytes, progress=progress
        )
    elif params["method"] == "obsm":
        from vccapp.data.workspace import open_registered
        from vccapp.stats.cells.embedding import import_cell_embedding

        dataset = open_registered(params["dataset"], settings)
        folder = import_cell_embedding(dataset, index, params["key"], progress=progress)
    else:
        folder = _embed_by_state(index, params, settings, progress)
    return {"name": folder.name, "folder": str(folder)}


def _embed_by_state(index: "Index", params: dict[str, Any], settings: Settings, progress: Progress) -> "Path":
    """Goes on from the last checkpoint of the same parameters, where one was stopped."""
    from vccapp.data.atomic import read_json, write_json
    from vccapp.neural.fitting.fitting import Fitting
    from vccapp.neural.state_embedding.spec import StateEmbeddingSpec
    from vccapp.neural.state_embedding.write import write_state_embedding
    from vccapp.registry import make_spec
    from vccapp.training.metrics_log import NAME, MetricsLog

    spec = make_spec(StateEmbeddingSpec, params["spec"], name="the state embedding")
    begun, asked = training_folder(settings, params["dataset"]), {"spec": spec.model_dump(), "seed": params["seed"]}
    if not (begun / "asked.json").exists() or read_json(begun / "asked.json") != asked:
        shutil.rmtree(begun, ignore_errors=True)
        begun.mkdir(parents=True)
        write_json(begun / "asked.json", asked)
    with MetricsLog(begun) as log:
        fitting = Fitting(
            seed=params["seed"],
            log=log,
            progress=progress,
            folder=begun,
            memory_bytes=settings.memory_bytes,
            device=settings.device,
        )
        folder = write_state_embedding(index, spec, fitting)
    shutil.move(begun / NAME, folder / NAME)
    shutil.rmtree(begun)
    return folder


def training_folder(settings: Settings, dataset: str) -> "Path":
    """Where the checkpoints and the log of an unfinished training lie."""
    return settings.datasets / dataset / "X_state.training"
