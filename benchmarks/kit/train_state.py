"""The ST contenders of train.py: ours and arc-state 0.11.1, 16 sets of 128 cells a step, no workers, no validation.

`ours sm` is the original's architecture and loss (state_sm, biased energy distance, Adam); `official` its output space
gene, `official all` its default, which also reads the whole row of every cell. Both train on the 2,000 most variable
genes of the file, so choose --genes 18080 for what is common. The contenders of all genes train on X; the original then
has its bottleneck (its own recipe for the challenge), ours predicts directly.

On CPUs that have bfloat16 the original multiplies in it (torch's precision `medium`), and so do ours.
"""

import json
import sys
from pathlib import Path
from typing import Any

from kit.step_clock import Clock, Enough

SETS, SET_SIZE = 16, 128
CELLS = SETS * SET_SIZE
SHARE = 6
"""Of the timed steps of Scouter, one in so many: these take seconds."""
MOST_VARIABLE = 2000
"""Genes in obsm["X_hvg"]."""


def prepare_state(folder: Path) -> None:
    """The data as arc-state wants them: categories, obsm["X_hvg"], and its TOML."""
    import anndata as ad
    import numpy as np

    from vccapp.stats.cells.variable import choose_genes
    from vccapp.stats.index import load_index

    (folder / "state").mkdir()
    data = ad.read_h5ad(folder / "normalised.h5ad")
    data.obs = data.obs[["target_gene", "batch"]].astype("category").assign(cell_type="A")
    data.obs["cell_type"] = data.obs["cell_type"].astype("category")
    chosen = choose_genes(load_index(folder / "index"), MOST_VARIABLE)
    data.obsm["X_hvg"] = data.X[:, chosen].toarray()
    data.var["highly_variable"] = np.isin(np.arange(data.n_vars), chosen)
    data.write_h5ad(folder / "state" / "cells.h5ad")
    split = json.loads((folder / "split.json").read_text())
    lists = [f"{part} = {json.dumps(labels)}" for part, labels in (("val", split["val"]), ("test", []))]
    tables = ["[datasets]", f'bench = "{folder / "state"}"', "[training]", 'bench = "train"', "[zeroshot]"]
    (folder / "state.toml").write_text("\n".join([*tables, '[fewshot."bench.A"]', *lists, ""]))


def ours(folder: Path, steps: int, params: dict[str, Any]) -> dict[str, float]:
    import time

    from vccapp.data.splits.split import split_from_lists
    from vccapp.models.state import State
    from vccapp.neural.state.task import SetTask
    from vccapp.stats.index import load_index

    split = split_from_lists(name="bench", dataset="0" * 16, **json.loads((folder / "split.json").read_text()))
    spec = State.Spec(sets=SETS, set_size=SET_SIZE, embedding="one-hot", **params)
    loading: list[float] = []
    gather = SetTask.batch

    def timed(task: SetTask, step: int) -> Any:
        began = time.thread_time()
        try:
            return gather(task, step)
        finally:
            loading.append(time.thread_time() - began)

    SetTask.batch = timed
    clock = Clock(max(3, steps // SHARE), cells=CELLS)
    clock.watch_ours()
    try:
        State(spec).fit(load_index(folder / "index"), split, device="cpu")
    except Enough:
        pass
    figures = clock.figures()
    taken = CELLS / figures["cpu_cells_per_second"]
    # A step is gathered in shares.
    a_step = len(loading) / len(clock.cpu)
    return figures | {"loading_share": a_step * sorted(loading)[len(loading) // 2] / taken}


def ours_sm(folder: Path, steps: int) -> dict[str, float]:
    return ours(folder, steps, {"preset": "sm", "faithful": True, "genes": MOST_VARIABLE})


def ours_all_genes(folder: Path, steps: int) -> dict[str, float]:
    return ours(folder, steps, {"preset": "sm", "faithful": True, "genes": 0})


def ours_xs(folder: Path, steps: int) -> dict[str, float]:
    return ours(folder, steps, {"preset": "xs", "baseline": "perturbation_mean", "genes": MOST_VARIABLE})


def official(folder: Path, steps: int, *, space: str = "gene", key: str = "X_hvg") -> dict[str, float]:
    from state.__main__ import main

    settings = {"toml_config_path": folder / "state.toml", "num_workers": 0, "embed_key": key, "output_space": space}
    settings |= {"batch_col": "batch", "pert_col": "target_gene", "cell_type_key": "cell_type"}
    settings |= {"control_pert": "non-targeting"}
    words = [f"data.kwargs.{name}={value}" for name, value in settings.items()]
    words += [f"training.{name}={value}" for name, value in (("max_steps", 1000), ("val_freq", 1000))]
    words += ["model=state_sm", f"training.batch_size={SETS}", "use_wandb=false", f"output_dir={folder}", "name=run"]
    words += ["overwrite=true", f"model.kwargs.cell_set_len={SET_SIZE}"]
    clock = Clock(max(3, steps // SHARE), cells=CELLS)
    clock.watch_torch()
    sys.argv = ["state", "tx", "train", *words]
    try:
        main()
    except Enough:
        pass
    return clock.figures()


def official_all(folder: Path, steps: int) -> dict[str, float]:
    return official(folder, steps, space="all")


def official_all_genes(folder: Path, steps: int) -> dict[str, float]:
    return official(folder, steps, space="all", key="null")


CONTENDERS = {"ours sm": ours_sm, "ours xs": ours_xs, "official": official, "official all": official_all}
ALL_GENES = {"ours": ours_all_genes, "official": official_all_genes}
