"""Scouter's network and loss: equal to the original's on the same weights, and our shortcuts equal to the long way.

The original's numbers were written by tests/oracles/make_scouter.py; where scouter-learn is installed it is asked too.
"""

import sys

import numpy as np
import pytest
import torch
from places import ORACLES

from vccapp.losses.autofocus import autofocus
from vccapp.losses.base import Context, Tables
from vccapp.losses.direction import sign_loss
from vccapp.neural.scouter.net import ScouterNet, ScouterShape

pytestmark = pytest.mark.usefixtures("one_thread")
STORED = ORACLES / "scouter.npz"
SHAPE = ScouterShape(n_genes=30, n_features=8, encoder=(16, 12), code=4, generator=(20,))


def make_network(seed: int = 0) -> ScouterNet:
    """Trained for a moment, so that the batch norms hold something."""
    torch.manual_seed(seed)
    network = ScouterNet(SHAPE, residual=False)
    for _ in range(3):
        network(torch.rand(32, 30), torch.randn(5, 8), torch.randint(0, 5, (32,)))
    return network


def loss_of(arrays: dict[str, torch.Tensor], *, gamma: float, weight: float) -> torch.Tensor:
    """The faithful loss, from what a step holds."""
    expressed, label = arrays["expressed"].bool(), arrays["label"]
    empty = torch.zeros(expressed.shape)
    tables = Tables(*[empty] * 3, expressed, *[empty] * 3, control=torch.zeros(len(expressed), dtype=torch.int64))
    context = Context(tables, label, arrays["controls"][:, None])
    predicted, target = arrays["output"][:, None], arrays["cells"][:, None]
    return autofocus(predicted, target, context, gamma=gamma) + weight * sign_loss(predicted, target, context)


@pytest.mark.parametrize("mode", ["train", "eval"])
def test_forward_and_loss_are_those_of_the_original(mode: str) -> None:
    with np.load(STORED) as file:
        arrays = {name: torch.from_numpy(file[name]) for name in file.files}
    weights = {name.removeprefix("w."): value for name, value in arrays.items() if name.startswith("w.")}
    vectors = weights.pop("embd")[arrays["pairs"]].sum(1)
    hidden = [weights[f"encoder.{i}.weight"].shape[0] for i in (0, 3, 6)]
    n_genes, up = weights["encoder.0.weight"].shape[1], weights["generator.0.weight"].shape[0]
    shape = ScouterShape(n_genes, vectors.shape[1], encoder=tuple(hidden[:2]), code=hidden[2], generator=(up,))
    network = ScouterNet(shape, residual=False)
    network.load_state_dict(weights)
    network.train(mode == "train")
    output = network(arrays["controls"], vectors, arrays["label"])
    torch.testing.assert_close(output, arrays[f"{mode}.output"], rtol=1e-5, atol=1e-5)
    for gamma, weight in ((0.0, 0.5), (1.0, 0.05)):
        loss = loss_of(arrays | {"output": output}, gamma=gamma, weight=weight)
        torch.testing.assert_close(loss, arrays[f"{mode}.loss.{gamma:g}"], rtol=1e-5, atol=1e-5)
    if mode == "train":
        loss_of(arrays | {"output": output}, gamma=0.0, weight=0.5).backward()
        for name in ("encoder.0.weight", "generator.3.weight", "generator.0.weight"):
            gradient = network.get_parameter(name).grad
            torch.testing.assert_close(gradient, arrays[f"gradient.{name}"], rtol=1e-4, atol=1e-6)


def test_the_stored_numbers_are_those_of_the_installed_original() -> None:
    pytest.importorskip("scouter")
    sys.path.insert(0, str(STORED.parent))
    from make_scouter import compute

    with np.load(STORED) as file:
        for name, value in compute().items():
            np.testing.assert_allclose(file[name], value, rtol=1e-5, atol=1e-6)


def test_a_label_counted_once_is_the_same_as_cell_by_cell() -> None:
    network = make_network().eval()
    controls, vectors, label = torch.rand(20, 30), torch.randn(5, 8), torch.randint(0, 5, (20,))
    joined = torch.cat([vectors[label], network.encoder(controls)], 1)
    torch.testing.assert_close(network(controls, vectors, label), network.generator(joined))


def test_the_mean_output_is_the_mean_of_the_outputs() -> None:
    network = make_network().eval()
    controls, vectors = torch.rand(50, 30), torch.randn(3, 8)
    found = network.mean_output(network.encoder(controls), vectors)
    for row in range(3):
        cells = network(controls, vectors, torch.full((50,), row))
        torch.testing.assert_close(found[row], cells.mean(0), rtol=1e-5, atol=1e-6)


def test_a_residual_network_starts_at_zero() -> None:
    network = ScouterNet(SHAPE, residual=True)
    assert not network(torch.rand(20, 30), torch.randn(5, 8), torch.randint(0, 5, (20,))).any()


def test_weights_are_counted() -> None:
    for shape in (SHAPE, ScouterShape(7, 3)):
        counted = sum(value.numel() for value in ScouterNet(shape, residual=False).parameters())
        assert shape.count_weights() == counted


def test_the_gradient_has_the_same_bits_in_whatever_order_threads_work() -> None:
    """Else no training is like another of the same seed, and none ends as it would have without a stop."""
    torch.set_num_threads(4)  # put back by `one_thread`
    torch.manual_seed(0)
    network = ScouterNet(ScouterShape(30, 8, encoder=(16, 12), code=4, generator=(2048,)), residual=False)
    batch = torch.rand(256, 30), torch.randn(4, 8), torch.randint(0, 4, (256,))
    found = set()
    for _ in range(40):
        network.zero_grad()
        network(*batch).square().sum().backward()
        found.add(b"".join(value.grad.numpy().tobytes() for value in network.parameters()))
    assert len(found) == 1
