"""The original Scouter and STATE as contenders of accuracy.py, each trained in its own environment.

    cells = predict_with("state", python, case, split, seed=0)    # {perturbation: (n, n_genes) float32 log1p}
    python benchmarks/peer_models.py MODEL FOLDER                 # the other environment's side of it

They get the cells of the training and validation part (never those of the test part), the gene vectors that our models
get, and their own defaults, but for what would take days on two cores: STATE is 256 wide with 2 layers, as our preset
`xs`, and takes STATE_STEPS steps of SETS sets of SET_SIZE cells at LEARNING_RATE, as ours do here. Of Scouter's lambda
the middle one of its paper is taken. A target without a vector is zeros to STATE, by its own rule; Scouter has no rule
and gets zeros too.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from benchmarks.accuracy import Case
    from vccapp.data.splits.split import Split

CONTROL, CONTROL_OF_SCOUTER = "non-targeting", "ctrl"
SETS, SET_SIZE, STATE_STEPS, LEARNING_RATE = 8, 32, 600, 3e-4
WIDTH, LAYERS, HEADS, INNER, DEPTH = 256, 2, 8, 1024, 2
SCOUTER_LAMBDA = 0.05
MAX_CELLS = 500
"""Predicted of a perturbation at most."""


def predict_with(model: str, python: Path, case: "Case", split: "Split", *, seed: int) -> dict[str, np.ndarray]:
    """Train a peer on a split and predict its test perturbations, as many cells of each as there are real ones."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _write_data(case, split, folder, seed=seed)
        with (folder / "log.txt").open("w") as log:
            ended = subprocess.run([python, __file__, model, folder], stdout=log, stderr=subprocess.STDOUT, check=False)
        if ended.returncode:
            sys.exit(f"{model} failed on {case.title}:\n" + (folder / "log.txt").read_text()[-2000:])
        with np.load(folder / "predicted.npz") as file:
            return dict(file)


def _write_data(case: "Case", split: "Split", folder: Path, *, seed: int) -> None:
    import anndata as ad
    import pandas as pd

    from vccapp.data.embeddings import open_embedding
    from vccapp.data.schema import genes_of

    dataset = case.open()
    labels = dataset.cells["perturbation"].to_numpy(str)
    rows = np.flatnonzero(np.isin(labels, [CONTROL, *split.train, *split.val]))
    obs = pd.DataFrame({"target_gene": labels[rows], "cell_type": "A", "batch": "b"}, index=[f"c{i}" for i in rows])
    obs = obs.astype("category")
    obs["condition"] = [CONTROL_OF_SCOUTER if x == CONTROL else _condition(x) for x in labels[rows]]
    genes = case.index.genes["gene"].to_numpy(str)
    var = pd.DataFrame({"gene_name": genes, "highly_variable": True}, index=genes)
    cells = case.index.normalise(dataset.read_rows(rows), rows)
    data = ad.AnnData(cells, obs=obs, var=var)
    data.obsm["X_hvg"] = cells.toarray()
    (folder / "data").mkdir()
    data.write_h5ad(folder / "data" / "cells.h5ad")
    embedding = open_embedding(case.embedding, case.index)
    wanted = [*split.train, *split.val, *split.test]
    targets = sorted({gene for label in wanted for gene in genes_of(label)})
    place = {gene: i for i, gene in enumerate(embedding.genes)}
    known = [gene in place for gene in targets]
    vectors = np.zeros((len(targets), embedding.matrix.shape[1]), np.float32)
    vectors[known] = embedding.matrix[[place[gene] for gene in targets if gene in place]]
    np.savez(folder / "vectors.npz", genes=np.array(targets), vectors=vectors)
    counts = case.index.perturbations.set_index("perturbation")["n_cells"]
    job = {"train": split.train, "val": split.val, "seed": seed}
    job["test"] = {label: int(min(counts[label], MAX_CELLS)) for label in split.test}
    (folder / "job.json").write_text(json.dumps(job))


def _condition(label: str) -> str:
    return label if "+" in label else f"{label}+{CONTROL_OF_SCOUTER}"


def _read_vectors(folder: Path) -> dict[str, np.ndarray]:
    with np.load(folder / "vectors.npz") as file:
        return dict(zip(file["genes"].tolist(), file["vectors"], strict=True))


def run_scouter(folder: Path, job: dict[str, Any]) -> dict[str, np.ndarray]:
    import anndata as ad
    import pandas as pd
    import torch
    from scouter import Scouter, ScouterData

    torch.manual_seed(job["seed"])
    table = pd.DataFrame(_read_vectors(folder)).T
    table.loc[CONTROL_OF_SCOUTER] = 0.0
    data = ScouterData(ad.read_h5ad(folder / "data" / "cells.h5ad"), table, "condition", "gene_name")
    data.setup_ad("embd_index", slim=False)
    data.gene_ranks()
    data.get_dropout_non_zero_genes()
    data.split_Train_Val_Test(val_conds=[_condition(label) for label in job["val"]], if_test=False, seed=job["seed"])
    model = Scouter(data, device="cpu")
    model.model_init()
    model.train(loss_lambda=SCOUTER_LAMBDA)
    return {
        label: model.pred([_condition(label)], n_pred=n, seed=job["seed"])[_condition(label)]
        for label, n in job["test"].items()
    }


def run_state(folder: Path, job: dict[str, Any]) -> dict[str, np.ndarray]:
    import anndata as ad
    import torch
    from state.__main__ import main
    from state.tx.models.state_transition import StateTransitionPerturbationModel

    vectors = _read_vectors(folder)
    features = {
        label: torch.from_numpy(np.sum([vectors[gene] for gene in label.split("+")], axis=0))
        for label in (*job["train"], *job["val"], *job["test"])
    }
    features[CONTROL] = torch.zeros_like(next(iter(features.values())))
    torch.save(features, folder / "features.pt")
    tables = ["[datasets]", f'bench = "{folder / "data"}"', "[training]", 'bench = "train"', "[zeroshot]"]
    tables += ['[fewshot."bench.A"]', f"val = {json.dumps(job['val'])}", "test = []", ""]
    (folder / "state.toml").write_text("\n".join(tables))
    settings = {"toml_config_path": folder / "state.toml", "num_workers": 0, "embed_key": "X_hvg"}
    settings |= {"output_space": "gene", "batch_col": "batch", "pert_col": "target_gene", "cell_type_key": "cell_type"}
    settings |= {"control_pert": CONTROL, "perturbation_features_file": folder / "features.pt"}
    size = {"cell_set_len": SET_SIZE, "hidden_dim": WIDTH, "n_encoder_layers": DEPTH, "n_decoder_layers": DEPTH}
    backbone = {"intermediate_size": INNER, "num_hidden_layers": LAYERS, "head_dim": WIDTH // HEADS}
    training = {"max_steps": STATE_STEPS, "val_freq": STATE_STEPS // 3, "batch_size": SETS, "lr": LEARNING_RATE}
    words = [f"data.kwargs.{name}={value}" for name, value in settings.items()]
    words += [f"model.kwargs.{name}={value}" for name, value in size.items()]
    words += [f"model.kwargs.transformer_backbone_kwargs.{name}={value}" for name, value in backbone.items()]
    words += [f"training.{name}={value}" for name, value in training.items()]
    words += [f"training.train_seed={job['seed']}", "model=state_sm", "use_wandb=false"]
    sys.argv = ["state", "tx", "train", *words, f"output_dir={folder}", "name=run"]
    main()
    file = folder / "run" / "checkpoints" / "final.ckpt"
    model = StateTransitionPerturbationModel.load_from_checkpoint(file, weights_only=False, map_location="cpu").eval()
    data = ad.read_h5ad(folder / "data" / "cells.h5ad")
    controls = data.obsm["X_hvg"][(data.obs["target_gene"] == CONTROL).to_numpy()]
    rng = np.random.default_rng(job["seed"])
    predicted = {}
    for label, n in job["test"].items():
        drawn, parts = controls[rng.integers(0, len(controls), n)], []
        for first in range(0, n, SET_SIZE):  # windows, the last of which may be short, as its `infer` has them
            window = torch.from_numpy(drawn[first : first + SET_SIZE])
            row = features[label].repeat(len(window), 1)
            batch = {"ctrl_cell_emb": window, "pert_emb": row, "pert_name": [label] * len(window)}
            batch["batch"] = torch.zeros(len(window), dtype=torch.long)
            with torch.no_grad():
                parts.append(model.predict_step(batch, 0, padded=False)["preds"].reshape(len(window), -1).numpy())
        predicted[label] = np.concatenate(parts)
    return predicted


if __name__ == "__main__":
    name, folder = sys.argv[1], Path(sys.argv[2])
    run = {"scouter": run_scouter, "state": run_state}[name]
    np.savez(folder / "predicted.npz", **run(folder, json.loads((folder / "job.json").read_text())))
