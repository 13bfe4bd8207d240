"""Expressions of losses: what they mean, how they are written, and that a form can list the losses without torch."""

import subprocess
import sys

import pytest
from refusals import refusal

from vccapp.errors import SpecError
from vccapp.losses.base import LOSSES
from vccapp.losses.expression import PRESETS, describe_losses, normalise_loss, parse_loss, refuse_set_losses
from vccapp.models.base import make_model


@pytest.mark.parametrize(
    ("text", "weights"),
    [
        ("energy", {"energy": 1}),
        (" energy+ 1.0*pseudobulk_mae + .5 * de", {"energy": 1, "pseudobulk_mae": 1, "de": 0.5}),
        ("1e-3*mmd + 2e+1*rank", {"mmd": 1e-3, "rank": 20}),
        ("C1 + 0.1*mmd", {"energy": 1, "mmd": 0.1}),
        ("2*C3 + de", {"energy": 2, "pseudobulk_mae": 2, "de": 2}),
        ("C4", {"energy": 1, "pseudobulk_mae": 1, "de": 0.5, "rank": 0.5}),
    ],
)
def test_an_expression_is_weights(text: str, weights: dict[str, float]) -> None:
    assert parse_loss(text) == weights
    assert list(parse_loss(text)) == list(weights)
    assert parse_loss(normalise_loss(text)) == weights
    assert normalise_loss(normalise_loss(text)) == normalise_loss(text)


def test_there_is_one_way_to_write_it() -> None:
    assert normalise_loss("energy+1.0*mmd +0.50 * de") == "energy + mmd + 0.5*de"
    assert [normalise_loss(f" {name} ") for name in PRESETS] == list(PRESETS)
    assert [len(parse_loss(name)) for name in PRESETS] == [1, 2, 3, 4]


@pytest.mark.parametrize(
    "text", ["", "+", "energy +", "energy mmd", "-1*energy", "0*energy", "1e999*energy", "energy*2"]
)
def test_what_cannot_be_read_is_said(text: str) -> None:
    with pytest.raises(SpecError) as told:
        normalise_loss(text)
    assert told.value.code == "loss_syntax"


@pytest.mark.parametrize("model", ["state", "scouter"])
def test_an_unknown_name_is_told_with_those_that_there_are(model: str) -> None:
    with pytest.raises(SpecError) as told:
        make_model(model, {"loss": "energy + hinge"})
    assert (told.value.code, told.value.found) == ("unknown_loss", "hinge")
    assert all(name in told.value.fix for name in LOSSES)


def test_every_loss_is_listed_without_torch() -> None:
    assert list(describe_losses()) == sorted(LOSSES)
    assert all(describe_losses().values())
    code = "import sys; from vccapp.losses.expression import normalise_loss; normalise_loss('C1 + mmd'); "
    assert subprocess.run([sys.executable, "-c", code + "sys.exit('torch' in sys.modules)"]).returncode == 0


@pytest.mark.parametrize("name", ["energy", "mmd"])
def test_a_network_of_single_cells_refuses_losses_of_sets(name: str) -> None:
    with pytest.raises(SpecError) as told:
        refuse_set_losses({"autofocus": 1, name: 1})
    assert told.value.code == "loss_of_sets" and told.value.found == [name]
    with refusal(SpecError, "loss_of_sets"):
        make_model("scouter", {"loss": f"autofocus + {name}"})
    assert make_model("scouter", {"loss": "autofocus + 2*direction"}).spec.weights == {
        "autofocus": 1,
        "direction": 2.01,
    }
