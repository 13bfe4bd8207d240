"""Write scouter.npz: what scouter-learn 0.1.10 (PyPI, MIT) computes with weights of a fixed seed.

    pip install scouter-learn==0.1.10 && python tests/oracles/make_scouter.py

Holds the weights, a step of cells, controls and pairs of targets, and of it the output, the loss (gamma 0, lambda 0.5;
gamma 1, lambda 0.05) and some gradients, in training and in evaluation mode.
"""

from pathlib import Path

import numpy as np
import torch

N_GENES, N_EMBEDDED, WIDTH, CELLS = 40, 9, 6, 24


def compute() -> dict[str, np.ndarray]:
    from scouter._model import ScouterModel
    from scouter._utils import gears_loss

    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    embedding = torch.cat([torch.randn(N_EMBEDDED, WIDTH), torch.zeros(1, WIDTH)])  # the last row is the control's
    shape = {"n_encoder": (16, 12), "n_out_encoder": 5, "n_decoder": (20,)}
    network = ScouterModel(N_GENES, embedding, **shape, use_batch_norm=True, use_layer_norm=False, dropout_rate=0.0)
    pairs = torch.tensor([[i, N_EMBEDDED] for i in range(4)] + [[4, 5]])
    label = torch.from_numpy(rng.integers(0, len(pairs), CELLS))
    cells, controls = torch.from_numpy(rng.gamma(1.0, 0.7, (2, CELLS, N_GENES)).astype(np.float32))
    expressed = rng.random((len(pairs), N_GENES)) > 0.2
    genes = {str(p): np.flatnonzero(expressed[p]) for p in range(len(pairs))}
    out = {f"w.{name}": value.clone().numpy() for name, value in network.state_dict().items()}
    out |= {"pairs": pairs.numpy(), "label": label.numpy(), "expressed": expressed}
    out |= {"cells": cells.numpy(), "controls": controls.numpy()}
    for mode in ("eval", "train"):
        network.train(mode == "train")
        output = network(pairs[label], controls)
        out[f"{mode}.output"] = output.detach().numpy()
        for gamma, weight in ((1.0, 0.05), (0.0, 0.5)):
            group = [str(p) for p in label.tolist()]
            loss = gears_loss(output, cells, controls, group, genes, gamma, weight)
            out[f"{mode}.loss.{gamma:g}"] = loss.detach().numpy()
    loss.backward()
    for name in ("encoder.0.weight", "generator.0.weight", "generator.3.weight"):
        out[f"gradient.{name}"] = network.get_parameter(name).grad.numpy()
    return out


if __name__ == "__main__":
    np.savez_compressed(Path(__file__).parent / "scouter.npz", **compute())
