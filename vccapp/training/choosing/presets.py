"""Presets and losses as short words: they become ordinary parameters, which is what a run records.

choose_params("state", preset="paper", loss="C3", own={"steps": 500})
find_preset("scouter", {"genes": 500, "width": 256, "inner": 128, "epochs": 5})    # "quick"
"""

from collections.abc import Mapping
from typing import Any

from vccapp.errors import SpecError
from vccapp.models.base import MODELS
from vccapp.parameters import Preset, label_of, label_value


def choose_params(model: str, *, preset: str = "", loss: str = "", own: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of a preset, then the loss, then own ones, which count most.

    Raises SpecError for a preset that the model lacks, or a loss where it has none.
    """
    params: dict[str, Any] = {}
    if preset:
        params |= open_preset(model, preset).values
    if loss:
        if "loss" not in MODELS[model].Spec.model_fields:
            raise SpecError("no_loss", f"'{model}' is not trained by a loss", fix="leave out --loss")
        params["loss"] = loss
    return params | dict(own)


def open_preset(model: str, preset: str) -> Preset:
    """Raises SpecError for one that the model lacks."""
    presets = MODELS[model].presets
    if preset not in presets:
        known = f"choose one of {', '.join(presets)}" if presets else "its defaults are what there is"
        raise SpecError("unknown_preset", f"'{model}' has no preset '{preset}'", found=preset, fix=known)
    return presets[preset]


def find_preset(model: str, params: Mapping[str, Any]) -> str:
    """The preset with exactly these parameters (those that are not the defaults); empty where there is none."""
    return next((name for name, preset in MODELS[model].presets.items() if dict(preset.values) == dict(params)), "")


def describe_preset(model: str, preset: str) -> str:
    """What a preset sets: 'Genes modelled 500, Maximum epochs 5'."""
    spec = MODELS[model].Spec
    values = open_preset(model, preset).values
    said = [f"{label_of(spec, name)} {label_value(spec, name, value)}" for name, value in values.items()]
    return ", ".join(said) or "the defaults"
