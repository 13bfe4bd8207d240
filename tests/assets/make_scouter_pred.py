"""Write scouter_pred.h5ad: what scouter-learn predicts after four epochs on simulated cells.

    vccapp data simulate cells.h5ad --cells 600 --n-genes 150 --perturbations 6
    python tests/assets/make_scouter_pred.py cells.h5ad      # needs scouter-learn 0.1.10 of PyPI, and not vccapp

The steps are those of the package's tutorial; gene vectors are drawn at random. The file is written as docs/scores.md
tells users of Scouter to write theirs.
"""

import sys
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd

CONDITIONS = ["GENE130+ctrl", "GENE146+ctrl"]


def main(cells: Path) -> None:
    import scanpy as sc
    import torch
    from scouter import Scouter, ScouterData

    torch.manual_seed(0)
    adata = ad.read_h5ad(cells)
    sc.pp.normalize_total(adata)
    sc.pp.log1p(adata)
    label = adata.obs["target_gene"].astype(str)
    adata.obs["condition"] = pd.Categorical(np.where(label == "non-targeting", "ctrl", label + "+ctrl"))
    adata.var["gene_name"] = adata.var_names
    genes = [*sorted(set(label) - {"non-targeting"}), "ctrl"]
    vectors = pd.DataFrame(np.random.default_rng(0).normal(size=(len(genes), 16)), index=genes)
    vectors.loc["ctrl"] = 0
    data = ScouterData(adata=adata, embd=vectors, key_label="condition", key_var_genename="gene_name")
    data.setup_ad("embd_index")
    data.gene_ranks()
    data.get_dropout_non_zero_genes()
    others = sorted(set(adata.obs["condition"]) - {"ctrl", *CONDITIONS})
    data.split_Train_Val_Test(val_conds=others[:1], test_conds=CONDITIONS, seed=0)
    scouter = Scouter(data, device="cpu")
    scouter.model_init()
    scouter.train(n_epochs=4, batch_size=32)
    pred = scouter.pred(CONDITIONS, n_pred=12)
    obs = pd.DataFrame({"condition": np.repeat(list(pred), [len(x) for x in pred.values()])}).astype(str)
    written = ad.AnnData(np.concatenate(list(pred.values())), obs=obs, var=adata.var[[]])
    written.write_h5ad(Path(__file__).with_name("scouter_pred.h5ad"), compression="gzip")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
