"""Weights of the package arc-state (0.11) as those of StateNet: names, shapes, and what they leave to the settings.

    shape = read_shape(hyperparameters, weights)      # both from a checkpoint: `hyper_parameters` and `state_dict`
    network = StateNet(shape); network.load_state_dict(convert_weights(weights, shape))

The original carries a frozen token table of 32,000 rows that nothing reads; it is left behind.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from vccapp.errors import DataError
from vccapp.neural.state.net import DECODER_WIDTHS, StateNet
from vccapp.neural.state.shape import CONVERTED, StateShape
from vccapp.records import read_record, undamaged

UNUSED = "transformer_backbone.embed_tokens.weight"
LAYER = "transformer_backbone.layers.{}."
WHOLE = {
    "basal_encoder": "basal",
    "pert_encoder": "perturbation",
    "project_out": "head",
    "final_down_then_up": "bottleneck",
    "gene_decoder.decoder": "decoder",
    "batch_encoder": "batch",
}
GENE_VALUES = ("X_hvg", None)
"""Values of `embed_key` that stand for expression, which the original keeps from being negative."""


def read_shape(hyperparameters: Mapping[str, Any], weights: Mapping[str, Tensor]) -> StateShape:
    """The shape of an ST network. Raises DataError for a backbone or an option that StateNet does not have."""
    backbone = hyperparameters.get("transformer_backbone_kwargs") or {}
    kind = str(hyperparameters.get("transformer_backbone_key", "GPT2"))
    if kind.lower() != "llama":
        raise DataError(
            "unknown_backbone",
            f"The checkpoint's backbone is {kind}",
            fix="use a checkpoint with a llama backbone",
        )
    parts = {name.rpartition(".")[0] for name in weights}
    depths = {old: len(_linear_layers(old, weights)) for old in WHOLE}
    extra = sorted(part for part in parts if not _is_known(part))
    missing = [old for old in ("basal_encoder", "pert_encoder", "project_out") if not depths[old]]
    if extra or missing:
        what = f"holds {', '.join(extra[:3])}, which are not read" if extra else f"lacks {', '.join(missing)}"
        raise DataError(
            "unknown_network",
            f"The checkpoint is not a known ST network: it {what}",
            fix="use a checkpoint without extra heads or adapters",
        )
    first, last = _linear_layers("basal_encoder", weights)[0], _linear_layers("project_out", weights)[-1]
    decoded = _linear_layers("gene_decoder.decoder", weights)
    if decoded and tuple(w.shape[0] for w in decoded[:-1]) != DECODER_WIDTHS:
        raise DataError(
            "unknown_decoder",
            f"The checkpoint's gene decoder does not have {DECODER_WIDTHS} hidden values, the only supported widths",
        )
    n_layers = len(
        {match[1] for name in weights if (match := re.match(r"transformer_backbone\.layers\.(\d+)\.", name))}
    )
    n_heads = int(backbone["num_attention_heads"])
    return StateShape(
        n_inputs=first.shape[1],
        n_outputs=last.shape[0],
        n_features=_linear_layers("pert_encoder", weights)[0].shape[1],
        width=first.shape[0],
        inner=weights[LAYER.format(0) + "mlp.gate_proj.weight"].shape[0],
        n_layers=n_layers,
        n_heads=n_heads,
        head_width=weights[LAYER.format(0) + "self_attn.q_proj.weight"].shape[0] // n_heads,
        depth=depths["project_out"],
        encoder_depth=depths["pert_encoder"],
        basal_depth=depths["basal_encoder"],
        n_batches=len(weights["batch_encoder.weight"]) if "batch_encoder.weight" in weights else 0,
        dropout=float(hyperparameters.get("dropout", 0.1)),
        residual="hidden",
        space=hyperparameters["output_space"],
        nonnegative=hyperparameters.get("embed_key") in GENE_VALUES or not decoded,
        n_decoded=decoded[-1].shape[0] if decoded else 0,
        causal=not backbone.get("bidirectional_attention", False),
    )


def convert_weights(weights: Mapping[str, Tensor], shape: StateShape) -> dict[str, Tensor]:
    """A state dict for StateNet(shape)."""
    converted = {"norm.weight": weights["transformer_backbone.norm.weight"]}
    for i in range(shape.n_layers):
        old = {name: weights[f"{LAYER.format(i)}{name}.weight"] for name in LAYER_NAMES}
        query_key_value = torch.cat([old[f"self_attn.{name}_proj"] for name in "qkv"])
        converted |= {
            f"blocks.{i}.norm_attention.weight": old["input_layernorm"],
            f"blocks.{i}.query_key_value.weight": query_key_value,
            f"blocks.{i}.attended.weight": old["self_attn.o_proj"],
            f"blocks.{i}.norm_inner.weight": old["post_attention_layernorm"],
            f"blocks.{i}.gate_up.weight": torch.cat([old["mlp.gate_proj"], old["mlp.up_proj"]]),
            f"blocks.{i}.down.weight": old["mlp.down_proj"],
        }
    for name, value in weights.items():
        for official, ours in WHOLE.items():
            if name.startswith(official + "."):
                rest = name.removeprefix(official + ".")
                converted[f"{ours}.{rest if rest[0].isdigit() or ours == 'batch' else '0.' + rest}"] = value
    return converted


LAYER_NAMES = (
    *(f"self_attn.{name}_proj" for name in "qkvo"),
    *(f"mlp.{name}_proj" for name in ("gate", "up", "down")),
    "input_layernorm",
    "post_attention_layernorm",
)


@dataclass(frozen=True)
class Official:
    """A converted checkpoint. rows : (perturbations, n_features) float32, one a name, the control's among them."""

    network: StateNet
    genes: tuple[str, ...]
    set_size: int
    inputs: str | None  # obsm key of its cells; None for X
    control: str
    perturbations: tuple[str, ...]
    rows: np.ndarray
    batches: tuple[str, ...]
    source: str


def open_official(folder: Path) -> Official:
    """What `vccapp.neural.state.convert` wrote. Raises DataError when it is missing or damaged."""
    fields, network = read_record(folder / "official.json", CONVERTED, _parse)
    with undamaged(folder / "weights.safetensors", SafetensorError, fix=CONVERTED.fix):
        tensors = load_file(folder / "weights.safetensors")
        rows = tensors.pop("perturbations").numpy()
        network.load_state_dict({name.removeprefix("network."): value for name, value in tensors.items()})
    return Official(network=network, rows=rows, **fields)


def _parse(saved: dict[str, Any]) -> tuple[dict[str, Any], StateNet]:
    """Fields of `Official`, and the network without its weights."""
    network = StateNet(StateShape(**saved["shape"])).eval()
    fields = {name: saved[name] for name in ("set_size", "inputs", "control", "source")}
    return fields | {name: tuple(saved[name]) for name in ("genes", "perturbations", "batches")}, network


def _is_known(part: str) -> bool:
    inner = re.fullmatch(r"transformer_backbone\.layers\.\d+\.(.+)", part)
    if inner:
        return inner[1] in LAYER_NAMES
    whole = next((old for old in WHOLE if re.fullmatch(re.escape(old) + r"(\.\d+)?", part)), None)
    return whole is not None or part in ("transformer_backbone.norm", UNUSED.rpartition(".")[0])


def _linear_layers(part: str, weights: Mapping[str, Tensor]) -> list[Tensor]:
    """The matrices of a part in the order of its layers; a part of one layer may have no number."""
    pattern = re.compile(re.escape(part) + r"(?:\.(\d+))?\.weight")
    found = {
        int(match[1] or 0): w for name, w in weights.items() if (match := pattern.fullmatch(name)) and w.dim() == 2
    }
    return [found[number] for number in sorted(found)]
