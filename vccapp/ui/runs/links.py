"""A run in the form of Train: the parameters of its address that fill the form with what the run was trained with."""

from typing import Any

from vccapp.errors import SpecError
from vccapp.models.base import MODELS
from vccapp.training import RunSpec
from vccapp.training.runs.differences import full_params


def clone_link(spec: RunSpec) -> dict[str, str]:
    """What the page Train takes from its address. Raises SpecError for a model that there is not, or has no form."""
    kind = MODELS[spec.model]
    if not kind.trainable:
        raise SpecError("not_trainable", f"'{spec.model}' is not trained")
    link = {"train_model": kind.label, "train_split": spec.split, "train_seed": str(spec.seed)}
    for name, value in full_params(spec.model, spec.params).items():
        default = kind.Spec.model_fields[name].get_default(call_default_factory=True)
        if value != default and value is not None:
            link[f"train_{spec.model}_{name}"] = _text(value)
    return link


def _text(value: Any) -> str:
    """As a widget that is bound to the address writes it."""
    return str(value).lower() if isinstance(value, bool) else str(value)
