"""The network view: links against networkx, vectors against the formula that NetMF stands for, large graphs too."""

import networkx as nx
import numpy as np
import pytest
from scipy.sparse import csr_matrix

from vccapp.data.embeddings import network
from vccapp.data.embeddings.network import embed_network, link_genes


def draw_graph(n: int, n_groups: int, *, seed: int = 0) -> csr_matrix:
    """Weighted edges, ten times as likely within a group as between groups; no gene without a neighbour."""
    rng = np.random.default_rng(seed)
    group = np.arange(n) % n_groups
    likely = np.where(group[:, None] == group, 0.5, 0.05)
    weights = np.triu(rng.uniform(0.1, 1, (n, n)) * (rng.random((n, n)) < likely), 1)
    weights[np.arange(n - 1), np.arange(1, n)] += 0.1
    return csr_matrix(weights + weights.T)


def walk(adjacency: csr_matrix) -> np.ndarray:
    """M, from the powers of the transition matrix."""
    dense = adjacency.toarray()
    degrees = dense.sum(axis=1)
    step = dense / degrees[:, None]
    walks = sum(np.linalg.matrix_power(step, r) for r in range(1, network.WINDOW + 1))
    return np.log(np.maximum(1, degrees.sum() / network.WINDOW * walks / degrees))


def test_links_are_those_of_networkx() -> None:
    rng = np.random.default_rng(1)
    names = [f"NODE{i}" for i in range(12)]
    first, second = rng.choice(names, 80), rng.choice(names, 80)
    weights = rng.uniform(0.1, 1, 80)
    graph = nx.Graph()
    for one, other, weight in zip(first, second, weights, strict=True):
        if one != other:
            known = graph.get_edge_data(one, other, {"weight": 0})["weight"]
            graph.add_edge(one, other, weight=max(known, weight))
    genes, adjacency = link_genes(first.tolist(), second.tolist(), weights)
    np.testing.assert_allclose(adjacency.toarray(), nx.to_numpy_array(graph, nodelist=genes))


def test_names_of_one_gene_are_one_and_a_gene_linked_to_itself_alone_is_left_out() -> None:
    genes, adjacency = link_genes(["TCEB3", "stat1", "SRC"], ["STAT1", "ELOA", "src"], np.array([1.0, 2.0, 3.0]))
    assert genes == ["ELOA", "stat1"] and adjacency.toarray().tolist() == [[0, 2], [2, 0]]


def test_vectors_factor_the_sum_over_walks() -> None:
    adjacency = draw_graph(40, 4)
    values, vectors = np.linalg.eigh(walk(adjacency))
    top = np.argsort(-np.abs(values))[:8]
    found = embed_network(adjacency, width=8)
    np.testing.assert_allclose(found @ found.T, (vectors[:, top] * np.abs(values[top])) @ vectors[:, top].T, atol=1e-3)


@pytest.mark.slow
def test_a_large_network_is_decomposed_as_a_small_one(monkeypatch: pytest.MonkeyPatch) -> None:
    adjacency = draw_graph(150, 5)
    small = embed_network(adjacency, width=5)
    monkeypatch.setattr(network, "SMALL", 100)
    monkeypatch.setattr(network, "RANK", 149)
    monkeypatch.setattr(network, "BLOCK", 64)
    large = embed_network(adjacency, width=5)
    np.testing.assert_allclose(large @ large.T, small @ small.T, atol=1e-2)
