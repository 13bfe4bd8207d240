"""A user's own table and list of edges: what is missing, repeated or turned is told, and not guessed."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from refusals import refusal

from vccapp.data.embeddings import open_embedding
from vccapp.data.embeddings.network import embed_network, link_genes
from vccapp.errors import DataError

GENES = ["STAT1", "MED12", "SRC", "TET1"]
EDGES = [("STAT1", "SRC", 0.5), ("SRC", "MED12", 1.0), ("MED12", "TET1", 0.2), ("TET1", "STAT1", 0.9)]


def test_a_table_as_of_depmap_has_its_genes_as_columns(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
    columns = [f"{gene} ({i})" for i, gene in enumerate(GENES, 6772)]
    pd.DataFrame(values, ["ACH-1", "ACH-2", "ACH-3"], columns).to_csv(tmp_path / "effect.csv")
    embedding = open_embedding(tmp_path / "effect.csv")
    assert embedding.genes == tuple(GENES)
    np.testing.assert_allclose(embedding.matrix, values.T, rtol=1e-5)


@pytest.mark.parametrize("name", ["t.csv", "t.parquet"])
def test_missing_numbers_are_filled_and_counted(name: str, tmp_path: Path) -> None:
    nan = float("nan")
    table = pd.DataFrame({"a": [1.0, 3.0, nan, nan], "b": [2.0, nan, nan, 4.0]}, pd.Index(GENES, name="gene"))
    table.to_csv(tmp_path / name) if name.endswith("csv") else table.to_parquet(tmp_path / name)
    embedding = open_embedding(tmp_path / name)
    assert embedding.genes == ("STAT1", "MED12", "TET1")
    assert embedding.matrix.tolist() == [[1, 2], [3, 3], [2, 4]]
    assert "2 missing" in embedding.note and "1 gene" in embedding.note


def test_wide_tables_are_reduced_to_their_components(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=(80, 70)) * np.r_[np.full(3, 50.0), np.full(67, 1.0)]
    pd.DataFrame(values, [f"NODE{i}" for i in range(80)]).to_csv(tmp_path / "wide.csv")
    embedding = open_embedding(tmp_path / "wide.csv")
    assert embedding.width == 64 and "70" in embedding.note
    left, size, _ = np.linalg.svd(values - values.mean(axis=0), full_matrices=False)
    best = (left[:, :64] * size[:64]) @ (left[:, :64] * size[:64]).T
    np.testing.assert_allclose(embedding.matrix @ embedding.matrix.T, best, atol=0.2)


def test_two_names_of_one_gene_are_told(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("gene,x\nTCEB3,1\nELOA,2\nSRC,3\n")
    embedding = open_embedding(tmp_path / "t.csv")
    assert "ELOA" in embedding.note and "SRC" not in embedding.note


@pytest.mark.parametrize("name", ["header.csv", "bare.csv", "bare.tsv", "bare.txt.gz"])
def test_a_list_of_edges_is_a_network(name: str, tmp_path: Path) -> None:
    rows = [*EDGES, ("SRC", "STAT1", 0.4), ("SRC", "SRC", 1.0)]
    header = ["from", "to", "weight"] if name.startswith("header") else False
    pd.DataFrame(rows).to_csv(tmp_path / name, sep="," if ".csv" in name else "\t", header=header, index=False)
    embedding = open_embedding(tmp_path / name)
    first, second, weights = zip(*EDGES, strict=True)
    genes, adjacency = link_genes(first, second, np.array(weights))
    assert embedding.genes == tuple(genes) and embedding.note.startswith("4 edges of 4 genes; 2 ")
    np.testing.assert_allclose(embedding.matrix, embed_network(adjacency), rtol=1e-5)


def test_edges_without_weights_weigh_alike(tmp_path: Path) -> None:
    first, second = ["STAT1", "SRC", "MED12", "TET1", "MYC"], ["SRC", "MED12", "STAT1", "MYC", "SRC"]
    (tmp_path / "e.csv").write_text("".join(map("{},{}\n".format, first, second)))
    genes, adjacency = link_genes(first, second, np.ones(5))
    np.testing.assert_allclose(open_embedding(tmp_path / "e.csv").matrix, embed_network(adjacency), rtol=1e-5)


def test_a_network_that_tells_no_genes_apart_is_refused(tmp_path: Path) -> None:
    (tmp_path / "e.csv").write_text("".join(f"{first},{second}\n" for first, second, _ in EDGES))
    with refusal(DataError, "not_a_network"):
        open_embedding(tmp_path / "e.csv")


@pytest.mark.parametrize("weight", ["-1", "0", "nan", "inf"])
def test_an_edge_without_a_weight_above_zero_is_refused(weight: str, tmp_path: Path) -> None:
    lines = [f"{first},{second},{own}" for first, second, own in EDGES]
    (tmp_path / "e.csv").write_text("\n".join([*lines, f"SRC,TET1,{weight}", ""]))
    with refusal(DataError, "not_a_network") as caught:
        open_embedding(tmp_path / "e.csv")
    assert caught.value.found == 5
