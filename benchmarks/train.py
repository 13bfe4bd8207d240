"""Training speed: our networks and the original packages in turn, on one simulated file, each in a process of its own.

    python benchmarks/train.py --peers PYTHON [--cells 20000] [--genes 2000] [--steps 30] [--threads 1] [--only scouter]

PYTHON is the interpreter of an environment with scouter-learn 0.1.10 and arc-state 0.11.1 (torch as here). A step is
timed from the end of one optimiser step to the end of the next, loading included; the first few are left out.

cells_per_second  cells a step over the median wall time of a step; cpu_cells_per_second: over its mean processor time,
                  which other processes on the machine change less
first_seconds     from the start of the process to the end of the first step; first_cpu_seconds: its processor time
of_bare           the CPU rate over that of `bare`: the same network, a squared error, one fixed batch in memory
loading_share     processor time of gathering a batch over that of a step (ST)
peak_bytes        of the whole process

Prints a table and writes results/train.json (with --only, train_MODEL.json).
"""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kit import train_state
from kit.measure import add_data_arguments, describe, make_data, measure, print_table, run_apart, write_results
from kit.step_clock import Clock, Enough

PACKAGES = ("vccapp", "numpy", "torch", "numba")
BATCH, VECTOR = 256, 1536
COLUMNS = {
    "cells_per_second": "cells/s",
    "cpu_cells_per_second": "cells/CPU s",
    "times_official": "times official",
    "of_bare": "of bare",
    "first_seconds": "first step",
    "first_cpu_seconds": "its CPU time",
    "of_official_first": "of its first",
    "peak_bytes": "peak memory",
    "of_official_memory": "of its memory",
    "loading_share": "loading",
}


def prepare(file: Path, folder: Path) -> None:
    """What every contender starts from: an index, a split, gene vectors, and the cells as scanpy normalises them."""
    import anndata as ad
    import numpy as np
    import scanpy as sc

    from vccapp.data.reading.opening import open_dataset
    from vccapp.stats.building.build import build_index
    from vccapp.stats.index import load_index

    build_index(open_dataset(file), folder / "index")
    labels = load_index(folder / "index").labels[1:]
    (folder / "split.json").write_text(json.dumps({"train": labels[2:], "val": labels[:2]}))
    genes = np.array(sorted({gene for label in labels for gene in label.split("+")}))
    vectors = np.random.default_rng(0).normal(size=(len(genes), VECTOR)).astype(np.float32)
    np.savez(folder / "vectors.npz", genes=genes, vectors=vectors)
    data = ad.read_h5ad(file)
    sc.pp.normalize_total(data)
    sc.pp.log1p(data)
    data.obs["condition"] = [
        "ctrl" if label == "non-targeting" else f"{label}+ctrl" for label in data.obs["target_gene"]
    ]
    data.var["gene_name"] = data.var_names
    data.write_h5ad(folder / "normalised.h5ad")
    train_state.prepare_state(folder)


def scouter_ours(folder: Path, steps: int, params: dict[str, Any]) -> dict[str, float]:
    from vccapp.data.splits.split import split_from_lists
    from vccapp.models.scouter import Scouter
    from vccapp.stats.index import load_index

    split = split_from_lists(name="bench", dataset="0" * 16, **json.loads((folder / "split.json").read_text()))
    spec = Scouter.Spec(genes=0, embedding=str(folder / "vectors.npz"), batch_size=BATCH, **params)
    clock = Clock(steps, cells=BATCH)
    clock.watch_ours()
    try:
        Scouter(spec).fit(load_index(folder / "index"), split, device="cpu")
    except Enough:
        pass
    return clock.figures()


def scouter_faithful(folder: Path, steps: int) -> dict[str, float]:
    return scouter_ours(folder, steps, {"faithful": True, "direction": 0.5})


def scouter_default(folder: Path, steps: int) -> dict[str, float]:
    return scouter_ours(folder, steps, {})


def scouter_official(folder: Path, steps: int) -> dict[str, float]:
    import anndata as ad
    import numpy as np
    import pandas as pd
    from scouter import Scouter, ScouterData

    split = json.loads((folder / "split.json").read_text())
    with np.load(folder / "vectors.npz") as file:
        table = pd.DataFrame(file["vectors"], index=file["genes"])
    table.loc["ctrl"] = 0.0
    data = ScouterData(ad.read_h5ad(folder / "normalised.h5ad"), table, "condition", "gene_name")
    data.setup_ad("embd_index")
    data.gene_ranks()
    data.get_dropout_non_zero_genes()
    val = [f"{label}+ctrl" for label in split["val"]]
    data.split_Train_Val_Test(val_conds=val, if_test=False)
    model = Scouter(data, device="cpu")
    model.model_init()
    clock = Clock(steps, cells=BATCH)
    clock.watch_torch()
    try:
        model.train(batch_size=BATCH, loss_lambda=0.5, n_epochs=100)
    except Enough:
        pass
    return clock.figures()


def scouter_bare(folder: Path, steps: int) -> dict[str, float]:
    """The original's network, one fixed batch in memory, a squared error."""
    import torch

    from vccapp.neural.scouter.net import ScouterNet, ScouterShape
    from vccapp.stats.index import load_index

    n_genes = len(load_index(folder / "index").genes)
    network = ScouterNet(ScouterShape(n_genes, VECTOR), residual=False)
    controls, cells = torch.rand(2, BATCH, n_genes)
    vectors = torch.randn(BATCH, VECTOR)
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-3, fused=True)
    clock = Clock(steps, cells=BATCH)
    try:
        while True:
            optimiser.zero_grad(set_to_none=True)
            output = network.generator(torch.cat([vectors, network.encoder(controls)], 1))
            (output - cells).square().mean().backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimiser.step()
            clock.tick()
    except Enough:
        return clock.figures()


CONTENDERS: dict[str, dict[str, Callable[[Path, int], dict[str, float]]]] = {
    "scouter": {
        "ours": scouter_default,
        "ours faithful": scouter_faithful,
        "official": scouter_official,
        "bare": scouter_bare,
    },
    "state": train_state.CONTENDERS,
    "state_all_genes": train_state.ALL_GENES,
}
"""By model. `official` runs in the peers' environment; every other one in this."""
TURNS = 2


def run_contender(model: str, name: str, choice: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Figures of one contender in a new process, or `failed`."""
    print(f"  {model}, {name} ...", file=sys.stderr, flush=True)
    python = str(choice.peers) if name.startswith("official") else sys.executable
    found = measure([python, __file__, "--contender", model, name, str(folder), str(choice.steps)])
    printed = found.pop("printed", None)
    return found if printed is None else found | json.loads(printed.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_data_arguments(parser)
    parser.set_defaults(genes=2000)
    parser.add_argument("--peers", type=Path, required=True, help="python of the environment of the originals")
    parser.add_argument("--steps", type=int, default=30, help="timed steps of each")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only", choices=sorted(CONTENDERS))
    choice = parser.parse_args()
    os.environ |= {"OMP_NUM_THREADS": str(choice.threads), "MKL_NUM_THREADS": str(choice.threads)}
    file, _ = make_data(choice)
    result = describe(choice, file, PACKAGES) | {"threads": choice.threads, "steps": choice.steps}
    with tempfile.TemporaryDirectory(dir=choice.cache) as name:
        folder = Path(name)
        run_apart(prepare, file, folder)
        for model, contenders in CONTENDERS.items():
            if choice.only not in (None, model):
                continue
            order = [*contenders, *reversed(contenders)] * (TURNS // 2)
            runs: dict[str, list[dict[str, Any]]] = {}
            for contender in order:
                runs.setdefault(contender, []).append(run_contender(model, contender, choice, folder))
            best = {name: compare_with(runs, name) for name in runs}
            for row in best.values():
                relate(row, best)
            print(f"{model}: {file.name}, {choice.threads} thread(s)")
            print_table(best, COLUMNS)
            result[model] = {"best": best, "runs": runs}
    write_results("train" if choice.only is None else f"train_{choice.only}", result)


BEST = {"cells_per_second": max, "peak_bytes": max, "first_seconds": min, "first_cpu_seconds": min}


def compare_with(runs: dict[str, list[dict[str, Any]]], name: str) -> dict[str, Any]:
    """The quickest run of a contender by processor time, with the highest peak and the earliest first step."""
    found = dict(max(runs[name], key=lambda run: run.get("cpu_cells_per_second", 0.0)))
    for key, choose in BEST.items():
        found[key] = choose((run[key] for run in runs[name] if key in run), default=None)
    return found


def relate(row: dict[str, Any], best: dict[str, dict[str, Any]]) -> None:
    """Add the ratios to the original and to the bare network."""
    rate, official, bare = (
        found.get("cpu_cells_per_second") for found in (row, best["official"], best.get("bare", {}))
    )
    row["times_official"] = rate / official if rate and official else None
    row["of_bare"] = rate / bare if rate and bare else None
    first, of = row["first_cpu_seconds"], best["official"]["first_cpu_seconds"]
    row["of_official_first"] = first / of if first and of else None
    row["of_official_memory"] = row["peak_bytes"] / best["official"]["peak_bytes"]


if __name__ == "__main__":
    if sys.argv[1:2] == ["--contender"]:
        model, name, folder, steps = sys.argv[2:]
        print(json.dumps(CONTENDERS[model][name](Path(folder), int(steps))))
    else:
        main()
