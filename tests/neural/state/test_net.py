"""The ST network equals arc-state's on the same weights, and is what its text says: equivariant, a residual."""

import json

import numpy as np
import pytest
import torch
from oracles.make_state import CASES, CELLS, FEATURES, FILE, GENES, SETS, draw, draw_batches, hyperparameters
from refusals import refusal

from vccapp.errors import DataError
from vccapp.losses.energy import energy
from vccapp.neural.state.net import StateNet
from vccapp.neural.state.official import convert_weights, read_shape
from vccapp.neural.state.shape import PRESETS, StateShape

OFFICIAL = np.load(FILE)


def official_weights(case: str) -> dict[str, torch.Tensor]:
    names = json.loads(str(OFFICIAL[f"{case}/weights"]))
    return {name: torch.from_numpy(draw(f"{case}/{name}", tuple(size))) for name, size in names.items()}


def official_network(case: str) -> StateNet:
    weights = official_weights(case)
    shape = read_shape(hyperparameters(case), weights)
    network = StateNet(shape).eval()
    network.load_state_dict(convert_weights(weights, shape))
    return network


def inputs() -> tuple[torch.Tensor, torch.Tensor]:
    cells = draw("control cells", (SETS * CELLS, GENES)).reshape(SETS, CELLS, GENES)
    return torch.from_numpy(cells), torch.from_numpy(draw("features", (SETS, FEATURES)))


def toy_network(**changes: object) -> StateNet:
    torch.manual_seed(0)
    sizes = {"n_inputs": 12, "n_outputs": 12, "n_features": 4, "width": 16, "inner": 32, "n_layers": 2, "n_heads": 2}
    shape = StateShape(**sizes | {"head_width": 8, "depth": 2, "encoder_depth": 2} | changes)
    return StateNet(shape).eval()


@pytest.mark.parametrize("case", CASES)
def test_the_forward_pass_equals_the_original(case: str) -> None:
    network = official_network(case)
    with torch.no_grad():
        cells = network(*inputs(), torch.from_numpy(draw_batches()))
        np.testing.assert_allclose(cells.numpy(), OFFICIAL[f"{case}/cells"], atol=1e-5, rtol=1e-5)
        if f"{case}/decoded" in OFFICIAL:
            np.testing.assert_allclose(network.decoder(cells).numpy(), OFFICIAL[f"{case}/decoded"], atol=1e-5)


@pytest.mark.parametrize("case", CASES)
def test_the_energy_distance_equals_the_original_s(case: str) -> None:
    cells = torch.from_numpy(OFFICIAL[f"{case}/cells"]).double()
    target = torch.from_numpy(draw("perturbed cells", (SETS * CELLS, GENES))).reshape(SETS, CELLS, GENES).double()
    each = [energy(cells[i : i + 1], target[i : i + 1], v_statistic=True).item() for i in range(SETS)]
    np.testing.assert_allclose(each, OFFICIAL[f"{case}/loss"], atol=1e-5, rtol=1e-5)


def test_the_cases_tell_wrong_networks_apart() -> None:
    network = official_network("causal")
    for block in network.blocks:
        block.causal = False
    with torch.no_grad():
        assert np.abs(network(*inputs()).numpy() - OFFICIAL["causal/cells"]).max() > 1e-3


@pytest.mark.parametrize("residual", ["hidden", "output"])
def test_permuting_the_cells_permutes_the_output(residual: str) -> None:
    network = toy_network(residual=residual)
    for weight in network.parameters():
        torch.nn.init.normal_(weight, std=0.3)
    controls, features, order = torch.rand(3, 7, 12), torch.rand(3, 4), torch.randperm(7)
    with torch.no_grad():
        torch.testing.assert_close(network(controls[:, order], features), network(controls, features)[:, order])


def test_the_output_residual_starts_at_the_controls_and_the_shift() -> None:
    controls, shift = torch.rand(2, 5, 12), torch.rand(2, 12)
    network = toy_network(residual="output")
    with torch.no_grad():
        assert torch.equal(network(controls, torch.rand(2, 4)), controls)
        assert torch.equal(network(controls, torch.rand(2, 4), shift=shift), controls + shift[:, None])


@pytest.mark.parametrize("changes", [{}, {"n_batches": 3}, {"residual": "hidden", "space": "all"}])
def test_every_parameter_learns(changes: dict) -> None:
    network = toy_network(**changes)
    for weight in network.parameters():
        torch.nn.init.normal_(weight, std=0.3)
    network(torch.rand(4, 5, 12), torch.rand(4, 4), torch.tensor([0, 1, 2, 2])).square().sum().backward()
    dead = [name for name, weight in network.named_parameters() if weight.grad is None or not weight.grad.any()]
    assert not dead


@pytest.mark.slow
def test_the_presets_have_the_stated_sizes() -> None:
    def count(preset: str) -> int:
        with torch.device("meta"):
            sizes = {"n_inputs": 2000, "n_outputs": 2000, "n_features": 40}
            return sum(w.numel() for w in StateNet(StateShape(**sizes, **PRESETS[preset])).parameters())

    assert count("xs") == pytest.approx(3.3e6, rel=0.05)
    assert count("sm") == pytest.approx(34.3e6, rel=0.01)


def test_unknown_checkpoints_are_refused() -> None:
    weights = official_weights("gene")
    with refusal(DataError, "unknown_backbone"):
        read_shape(hyperparameters("gene") | {"transformer_backbone_key": "GPT2"}, weights)
    with refusal(DataError, "unknown_network"):
        read_shape(hyperparameters("gene"), weights | {"confidence_token.weight": torch.zeros(1)})
    del weights["pert_encoder.0.weight"]
    with refusal(DataError, "unknown_network"):
        read_shape(hyperparameters("gene"), {k: v for k, v in weights.items() if "pert_encoder" not in k})
