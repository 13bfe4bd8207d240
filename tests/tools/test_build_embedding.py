"""The builder of the default embedding: symbols of today, unambiguous aliases, views joined, vectors kept as bytes."""

from pathlib import Path

import numpy as np
from build_embedding import Gene, Names, choose_aliases, embed, present_symbol, write_embedding

from vccapp.data.embeddings import read_embedding

GENES = ["STAT1", "MED12", "SRC", "TET1"]
VECTORS = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)


def test_quantised_vectors_come_back(tmp_path: Path) -> None:
    write_embedding(tmp_path / "q.npz", GENES, VECTORS)
    back = read_embedding(tmp_path / "q.npz")
    assert np.abs(back.matrix - VECTORS).max() <= np.abs(VECTORS).max() / 254 + 1e-6


def test_aliases_of_several_genes_and_symbols_are_left_out() -> None:
    names = Names({}, {"A": {"OLD"}, "B": {"A"}}, {"A": {"OLD", "SHARED", "ENSG1"}, "B": {"OLD", "SHARED", "B2"}})
    assert choose_aliases(names, ["A", "B"]) == {"OLD": "A", "ENSG1": "A", "B2": "B"}


def test_symbols_of_2016_become_those_of_today() -> None:
    names = Names(
        {1: ["NEIGHBOUR", "NEW"], 2: ["NEIGHBOUR", "SAME"], 3: ["ONLY"], 4: ["NEIGHBOUR"]}, {"NEW": {"OLD"}}, {}
    )
    names.others.update(SAME=set(), KEPT=set())
    genes = [Gene(1, "OLD", ""), Gene(2, "SAME", ""), Gene(3, "GONE", ""), Gene(4, "KEPT", ""), Gene(5, "LOC5", "")]
    assert [present_symbol(gene, names) for gene in genes] == ["NEW", "SAME", "ONLY", "KEPT", "LOC5"]


def test_building_joins_the_views_and_completes_genes_without_sets() -> None:
    rng = np.random.default_rng(4)
    groups = np.repeat([0, 1], 20)
    texts = rng.normal(size=(40, 6)).astype(np.float32) + 4 * np.eye(6, dtype=np.float32)[groups]
    members = {"first": list(range(0, 15)), "second": list(range(20, 35)), "other": [0, 20, 5]}
    vectors = embed(texts, rng.normal(size=(3, 6)).astype(np.float32), members)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)
    cosine = vectors @ vectors.T
    alone = np.array([i for i in range(40) if i % 20 >= 15])
    same = groups[alone][:, None] == groups
    assert cosine[alone][same].mean() > cosine[alone][~same].mean() + 0.3
