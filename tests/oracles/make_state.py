"""What arc-state computes on made-up weights and cells; writes state.npz beside itself, which the tests compare with.

    python tests/oracles/make_state.py      # needs arc-state 0.11.1 of PyPI; the tests do not

Each case is one network of the package's `StateTransitionPerturbationModel`. Its weights and inputs are drawn by
`draw`, so the file holds only their names and shapes, the outputs and the losses.
"""

import json
import sys
import zlib
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

FILE = Path(__file__).with_name("state.npz")
SETS, CELLS, GENES, FEATURES, BATCHES, WIDTH = 2, 6, 16, 5, 3, 24
CASES: dict[str, dict[str, Any]] = {
    "gene": {},
    "gene_batch": {"batch_encoder": True, "n_encoder_layers": 1, "n_decoder_layers": 1, "use_basal_projection": True},
    "all": {"output_space": "all"},
    "all_batch": {"output_space": "all", "batch_encoder": True},
    "embedding": {"output_space": "embedding", "embed_key": "X_state"},
    "embedding_decoder": {"gene_decoder_bool": True, "embed_key": "X_state"},
    "gene_decoder": {"gene_decoder_bool": True, "use_basal_projection": True},
    "causal": {"bidirectional": False},
}


def draw(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Numbers that depend on the name and the shape alone: weights, biases and cells, float32."""
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    if name.endswith("cells"):
        return np.log1p(rng.poisson(1.5, shape)).astype(np.float32)
    scale = 1.5 / np.sqrt(shape[-1]) if len(shape) > 1 else 0.3
    around = 1.0 if len(shape) == 1 and name.endswith("weight") else 0.0
    return (around + scale * rng.standard_normal(shape)).astype(np.float32)


def draw_batches() -> np.ndarray:
    """(sets, cells) batch of each cell."""
    return np.random.default_rng(0).integers(0, BATCHES, (SETS, CELLS))


def hyperparameters(case: str) -> dict[str, Any]:
    """What the package's model is made with, the names being its own."""
    changes = dict(CASES[case])
    bidirectional = changes.pop("bidirectional", True)
    backbone = {
        "bidirectional_attention": bidirectional,
        "max_position_embeddings": 512,
        "hidden_size": WIDTH,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "head_dim": 12,
        "use_cache": False,
        "attention_dropout": 0.0,
        "n_positions": CELLS,
    }
    return {
        "input_dim": GENES,
        "hidden_dim": WIDTH,
        "output_dim": GENES,
        "gene_dim": GENES,
        "hvg_dim": GENES,
        "pert_dim": FEATURES,
        "batch_dim": BATCHES,
        "output_space": "gene",
        "embed_key": "X_hvg",
        "basal_mapping_strategy": "random",
        "predict_residual": True,
        "distributional_loss": "energy",
        "loss": "energy",
        "blur": 0.05,
        "cell_set_len": CELLS,
        "n_encoder_layers": 3,
        "n_decoder_layers": 3,
        "use_basal_projection": False,
        "gene_decoder_bool": False,
        "batch_encoder": False,
        "transformer_backbone_key": "llama",
        "transformer_backbone_kwargs": backbone,
        "decoder_cfg": {
            "latent_dim": GENES,
            "gene_dim": GENES,
            "hidden_dims": [1024, 1024, 512],
            "dropout": 0.1,
            "residual_decoder": False,
        },
    } | changes


def main() -> None:
    import torch
    from state.tx.models.state_transition import StateTransitionPerturbationModel

    kept: dict[str, np.ndarray] = {}
    for case in CASES:
        settings = hyperparameters(case)
        model = StateTransitionPerturbationModel(**settings).eval()
        weights = {
            name: torch.from_numpy(draw(f"{case}/{name}", tuple(value.shape)))
            for name, value in model.state_dict().items()
            if "embed_tokens" not in name
        }
        missing, unexpected = model.load_state_dict(weights, strict=False)
        assert not unexpected and all("embed_tokens" in name for name in missing), (missing, unexpected)
        features = draw("features", (SETS, FEATURES)).repeat(CELLS, axis=0)
        batch = {
            "ctrl_cell_emb": torch.from_numpy(draw("control cells", (SETS * CELLS, GENES))),
            "pert_cell_emb": torch.from_numpy(draw("perturbed cells", (SETS * CELLS, GENES))),
            "pert_emb": torch.from_numpy(features),
            "batch": torch.from_numpy(draw_batches().ravel()),
            "pert_name": ["A"] * (SETS * CELLS),
        }
        with torch.no_grad():
            cells = model(batch).reshape(SETS, CELLS, -1)
            target = batch["pert_cell_emb"].reshape(SETS, CELLS, -1)
            kept[f"{case}/cells"] = cells.numpy()
            kept[f"{case}/loss"] = model.loss_fn(cells.double(), target.double()).numpy()
            if model.gene_decoder is not None:
                kept[f"{case}/decoded"] = model.gene_decoder(cells).numpy()
        kept[f"{case}/weights"] = np.array(json.dumps({name: list(value.shape) for name, value in weights.items()}))
    np.savez_compressed(
        FILE, provenance=np.array(f"arc-state {version('arc-state')}, torch {torch.__version__}"), **kept
    )
    print(f"{FILE.name}: {FILE.stat().st_size:,} bytes", file=sys.stderr)


if __name__ == "__main__":
    main()
