"""A tiny run of arc-state and what its network predicts; writes state_run.zip beside itself.

    python tests/oracles/make_state_run.py          # needs arc-state 0.11.1 of PyPI; the tests do not

The zip holds the run's folder as `state tx train` left it (its 32,000 x 8 table of zeros packs well) and expected.npz:
control cells, and the cells that the loaded model predicts from them for three perturbations, in two windows of which
the second is short, as `state tx infer` cuts them.
"""

import io
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np

FILE = Path(__file__).with_name("state_run.zip")
SET_SIZE, N_CELLS, WIDTH = 8, 13, 8
LABELS = ("GENE0", "GENE3", "non-targeting")
KEPT = ("checkpoints/final.ckpt", "pert_onehot_map.pt", "batch_onehot_map.torch")
TOML = """[datasets]
toy = "{folder}"
[training]
toy = "train"
[zeroshot]
[fewshot."toy.H1"]
val = ["GENE1"]
test = ["GENE2"]
"""


def train(folder: Path) -> Path:
    import scanpy as sc

    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))
    from toy import make_counts

    data = make_counts(400, 40, 6, seed=1)
    sc.pp.normalize_total(data)
    sc.pp.log1p(data)
    data.obs["cell_type"] = "H1"
    for column in ("target_gene", "batch", "cell_type"):
        data.obs[column] = data.obs[column].astype("category")
    data.obsm["X_hvg"] = data.X[:, 5:35].toarray()
    data.var["highly_variable"] = [5 <= i < 35 for i in range(40)]
    (folder / "data").mkdir()
    data.write_h5ad(folder / "data" / "toy.h5ad")
    (folder / "toy.toml").write_text(TOML.format(folder=folder / "data"))
    model = {"cell_set_len": SET_SIZE, "hidden_dim": WIDTH, "n_encoder_layers": 2, "n_decoder_layers": 2}
    backbone = {"hidden_size": WIDTH, "intermediate_size": 16, "num_hidden_layers": 2, "head_dim": 4}
    backbone |= {"num_attention_heads": 2, "num_key_value_heads": 2}
    data_settings = {"toml_config_path": folder / "toy.toml", "num_workers": 0, "embed_key": "X_hvg"}
    data_settings |= {"output_space": "gene", "batch_col": "batch", "pert_col": "target_gene"}
    data_settings |= {"cell_type_key": "cell_type", "control_pert": "non-targeting"}
    words = [f"model.kwargs.{name}={value}" for name, value in (model | {"batch_encoder": "true"}).items()]
    words += [f"model.kwargs.transformer_backbone_kwargs.{name}={value}" for name, value in backbone.items()]
    words += [f"data.kwargs.{name}={value}" for name, value in data_settings.items()]
    words += ["model=state_sm", "training.max_steps=6", "training.val_freq=3", "training.batch_size=2"]
    words += ["training.lr=0.01", "use_wandb=false", f"output_dir={folder}", "name=run"]
    subprocess.run([str(Path(sys.executable).with_name("state")), "tx", "train", *words], check=True)
    return folder / "run"


def predict(run: Path) -> dict[str, np.ndarray]:
    import torch
    from state.tx.models.state_transition import StateTransitionPerturbationModel

    model = StateTransitionPerturbationModel.load_from_checkpoint(
        run / "checkpoints" / "final.ckpt", weights_only=False
    ).eval()
    rows = torch.load(run / "pert_onehot_map.pt", weights_only=False)
    rng = np.random.default_rng(0)
    controls = np.log1p(rng.poisson(1.5, (N_CELLS, 30))).astype(np.float32)
    batches = rng.integers(0, 3, N_CELLS)
    kept = {"controls": controls, "batches": batches}
    for label in LABELS:
        parts = []
        for window in (slice(0, SET_SIZE), slice(SET_SIZE, N_CELLS)):
            n = len(batches[window])
            batch = {
                "ctrl_cell_emb": torch.from_numpy(controls[window]),
                "pert_emb": rows[label].float().repeat(n, 1),
                "pert_name": [label] * n,
                "batch": torch.from_numpy(batches[window]),
            }
            with torch.no_grad():
                parts.append(model.predict_step(batch, 0, padded=False)["preds"].reshape(n, -1).numpy())
        kept[label] = np.concatenate(parts)
    return kept


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(FILE, "w", zipfile.ZIP_LZMA) as packed:
        run = train(Path(folder))
        for name in KEPT:
            packed.write(run / name, f"run/{name}")
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **predict(run))
        packed.writestr("expected.npz", buffer.getvalue())
    print(f"{FILE.name}: {FILE.stat().st_size:,} bytes", file=sys.stderr)


if __name__ == "__main__":
    main()
