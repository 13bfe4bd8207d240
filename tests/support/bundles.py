"""Bundles as the organisers give them: controls of each context, genes, pert_counts and manifest."""

import json
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
from scipy.sparse import random as random_sparse

GENES_2026 = tuple(f"GENE{i}" for i in range(18_533))
TARGETS_2026 = ("GENE3", "GENE10", "GENE200")


def control_cells(
    context: str, genes: Sequence[str] = GENES_2026, *, n_cells: int = 20, density: float = 0.01, seed: int = 0
) -> ad.AnnData:
    """Raw counts of control cells."""
    rng = np.random.default_rng(seed)
    x = random_sparse(n_cells, len(genes), density, format="csr", random_state=rng, dtype=np.float32)
    x.data = np.ceil(x.data * 9).astype(np.float32)
    names = [f"{context}-{i}" for i in range(n_cells)]
    obs = pd.DataFrame({"context": context, "ntc_id": "ntc1", "target_gene": "non-targeting"}, index=names)
    return ad.AnnData(x, obs=obs.astype("category"), var=pd.DataFrame(index=list(genes)))


def make_bundle(
    folder: Path,
    contexts: Sequence[str] = ("A", "B", "C"),
    *,
    genes: Sequence[str] = GENES_2026,
    targets: Sequence[str] = TARGETS_2026,
    n_cells: int = 20,
    density: float = 0.01,
    **manifest: Any,
) -> Path:
    """A folder of one phase of 2026. manifest : further keys of manifest.json"""
    folder.mkdir(parents=True)
    for seed, context in enumerate(contexts):
        cells = control_cells(context, genes, n_cells=n_cells, density=density, seed=seed)
        cells.write_h5ad(folder / f"context_{context}.h5ad")
    (folder / "gene_names.csv").write_text("\n".join(["gene_name", *genes]) + "\n")
    (folder / "pert_counts.csv").write_text("\n".join(["target_gene", *targets]) + "\n")
    said = {"contexts": list(contexts), "panel_id": f"panel-{''.join(contexts)}", "n_genes": len(genes)} | manifest
    (folder / "manifest.json").write_text(json.dumps(said))
    return folder


def zip_bundle(folder: Path, *, inside: str = "") -> Path:
    """The same as a zip. inside : the folder in it that holds the files"""
    path = folder.with_suffix(".zip")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(folder.iterdir()):
            archive.write(file, f"{inside}{file.name}")
    return path
