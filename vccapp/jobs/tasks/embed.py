"""Task `embed`: vectors of the cells of a dataset, written beside its index.

params  dataset: its fingerprint; method: pca, state or obsm; components: of pca; spec: of state (see EmbeddingSpec);
        seed; key: of obsm
result  name: what `inputs` of the model `state` calls it; folder: where it is
"""

from typing import Any

from vccapp.jobs.tasks import TASKS
from vccapp.progress import Progress
from vccapp.settings import Settings


@TASKS.register("embed")
def embed(params: dict[str, Any], settings: Settings, progress: Progress) -> dict[str, Any]:
    from vccapp.stats.index import load_index

    index = load_index(settings.datasets / params["dataset"] / "index")
    if params["method"] == "pca":
        from vccapp.stats.cell_embedding import write_pca

        folder = write_pca(
            index, n_components=params["components"], memory_bytes=settings.memory_bytes, progress=progress
        )
    elif params["method"] == "obsm":
        from vccapp.data.workspace import open_registered
        from vccapp.stats.cell_embedding import import_cell_embedding

        dataset = open_registered(params["dataset"], settings)
        folder = import_cell_embedding(dataset, index, params["key"], progress=progress)
    else:
        from vccapp.neural.fitting import Fitting
        from vccapp.neural.state_embedding import EmbeddingSpec, write_state_embedding

        fitting = Fitting(
            seed=params["seed"], progress=progress, memory_bytes=settings.memory_bytes, device=settings.device
        )
        folder = write_state_embedding(index, EmbeddingSpec(**params["spec"]), fitting)
    return {"name": folder.name, "folder": str(folder)}
