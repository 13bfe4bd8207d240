"""What the mean baselines of arc-state learn from toy cells of two contexts; writes state_means.npz beside itself.

    python tests/oracles/make_state_means.py      # needs arc-state 0.11.1 of PyPI; the tests do not

`context_mean` of each context (2, genes), and `perturb_mean` offsets of each perturbation (labels, genes), that of a
label never seen the last; both trained by Lightning, as `state tx train` does.
"""

import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))
from toy import make_counts

FILE = Path(__file__).with_name("state_means.npz")
CONTEXTS = ("H1", "K562")
LABELS = ("GENE0", "GENE1", "GENE2", "GENE3")


def make_logs(context: str) -> Any:
    """AnnData of log1p values, 50 cells of every perturbation and 100 controls."""
    cells = make_counts(300, 60, 4, seed=CONTEXTS.index(context))
    totals = np.asarray(cells.X.sum(axis=1)).ravel()
    cells.X.data = np.log1p(cells.X.data / np.repeat(totals / np.median(totals), np.diff(cells.X.indptr)))
    cells.X = cells.X.astype(np.float32)
    return cells


def train(kind: type, batches: list[dict[str, Any]]) -> Any:
    import lightning
    from torch.utils.data import DataLoader

    class Batches(lightning.LightningDataModule):
        def train_dataloader(self) -> DataLoader:
            return DataLoader(batches, batch_size=None)

    n_genes = batches[0]["pert_cell_emb"].shape[1]
    sizes = {"input_dim": n_genes, "hidden_dim": 8, "output_dim": n_genes, "pert_dim": 4, "gene_dim": n_genes}
    model = kind(**sizes, embed_key=None, output_space="gene", gene_decoder_bool=False)
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    lightning.Trainer(max_epochs=1, accelerator="cpu", **quiet).fit(model, datamodule=Batches())
    return model.eval()


def main() -> None:
    import torch
    from state.tx.models.context_mean import ContextMeanPerturbationModel
    from state.tx.models.perturb_mean import PerturbMeanPerturbationModel

    batches = []
    for context in CONTEXTS:
        cells = make_logs(context)
        values = torch.from_numpy(cells.X.toarray())
        names = cells.obs["target_gene"].tolist()
        batches.append({"pert_cell_emb": values, "pert_name": names, "cell_type": [context] * len(names)})
        batches[-1]["ctrl_cell_emb"] = torch.zeros_like(values)
    context_mean = train(ContextMeanPerturbationModel, batches)
    perturb_mean = train(PerturbMeanPerturbationModel, batches)
    zeros = torch.zeros((5, values.shape[1]))
    asked = {"pert_name": [*LABELS, "NEVER SEEN"], "ctrl_cell_emb": zeros, "pert_cell_emb": zeros}
    with torch.no_grad():
        means = [context_mean(asked | {"cell_type": [context] * 5}) for context in CONTEXTS]
        offsets = perturb_mean(asked)
    assert all((mean == mean[0]).all() for mean in means)
    np.savez_compressed(
        FILE,
        provenance=np.array(f"arc-state {version('arc-state')}, torch {torch.__version__}"),
        context_mean=np.stack([mean[0].numpy() for mean in means]),
        perturb_mean=offsets.numpy(),
    )
    print(f"{FILE.name}: {FILE.stat().st_size:,} bytes", file=sys.stderr)


if __name__ == "__main__":
    main()
