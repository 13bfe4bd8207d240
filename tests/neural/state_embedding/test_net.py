"""The network of the STATE embedding gives the same training for the same seed, whatever its threads do."""

import pytest
import torch

from vccapp.neural.state_embedding.net import EmbeddingShape, StateEmbeddingNet


@pytest.mark.usefixtures("one_thread")
def test_the_gradient_has_the_same_bits_in_whatever_order_threads_work() -> None:
    torch.set_num_threads(4)  # put back by `one_thread`
    torch.manual_seed(0)
    shape = EmbeddingShape(n_features=8, width=64, inner=32, n_layers=1, n_heads=2, n_out=8, dropout=0.0)
    network = StateEmbeddingNet(shape)
    vectors, genes, share = torch.randn(40, 8), torch.randint(0, 40, (32, 64)), torch.rand(32, 64)
    found = set()
    for _ in range(20):
        network.zero_grad()
        cell, dataset, table = network(vectors, genes, share)
        network.decode(table, genes, cell, torch.ones(32), dataset).square().sum().backward()
        grads = (value.grad for value in network.parameters() if value.grad is not None)
        found.add(b"".join(grad.numpy().tobytes() for grad in grads))
    assert len(found) == 1
