"""A fitted model on disk: arrays in state.safetensors, all else as JSON in model.json; nothing is ever unpickled.

    write_model(folder, record, ModelState({"mean_delta": delta}, {"residual": 0.2}))
    record, state = read_model(folder)

What is made of other fitted things keeps their states under a name: `ModelState.of({"rest": rest.state()})`, and back
by `state.part("rest")`.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field
from safetensors import SafetensorError

from vccapp.records import Format, read_record, undamaged
from vccapp.stats.knowledge import Knowledge
from vccapp.textfiles import read_bytes

RECORD, ARRAYS = "model.json", "state.safetensors"
MODEL = Format(
    "model",
    4,
    {
        1: lambda fields: fields | {"state": None},
        2: lambda fields: fields | {"contexts": []},
        3: lambda fields: (
            fields | {"seen": [{"source": f"The model {fields['name']}", "learnt": fields["trained_on"]}]}
        ),
    },
    fix="train the model again",
)
"""Version 1 had all of a state in arrays; `read_model` takes the text and the numbers out of them. 2 knew no contexts,
3 did not say of which data it had seen what.
"""


class _Fields(BaseModel):
    """What model.json says."""

    model_config = ConfigDict(strict=True)

    name: str
    spec: dict[str, Any]
    genes: list[str] = Field(min_length=1)
    genes_hash: str
    trained_on: list[str]
    contexts: list[str]
    seen: list[Knowledge]
    state: dict[str, Any] | None


@dataclass(frozen=True)
class ModelState:
    """What was learnt: arrays, and text, lists and numbers (JSON) apart from them. Names are parted by dots."""

    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)
    meta: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, parts: Mapping[str, "ModelState"]) -> "ModelState":
        """Several states as one, each under its name."""
        return cls(
            {f"{name}.{key}": value for name, part in parts.items() for key, value in part.arrays.items()},
            {f"{name}.{key}": value for name, part in parts.items() for key, value in part.meta.items()},
        )

    def part(self, name: str) -> "ModelState":
        """The state that `of` put under a name."""
        return ModelState(_under(self.arrays, name), _under(self.meta, name))

    def __or__(self, other: "ModelState") -> "ModelState":
        return ModelState({**self.arrays, **other.arrays}, {**self.meta, **other.meta})


def write_model(folder: Path, record: Mapping[str, Any], state: ModelState) -> None:
    """Write into a new folder."""
    from safetensors.numpy import save_file

    content = MODEL.stamp({**record, "state": dict(state.meta)})
    (folder / RECORD).write_text(json.dumps(content, allow_nan=False) + "\n")
    save_file({key: np.ascontiguousarray(array) for key, array in state.arrays.items()}, folder / ARRAYS)


def read_model(folder: Path) -> tuple[dict[str, Any], ModelState]:
    """The record and the state. Raises DataError when one is missing, damaged or of a newer version."""
    from safetensors.numpy import load_file

    record = read_record(folder / RECORD, MODEL, lambda fields: dict(_Fields.model_validate(fields)))
    with undamaged(folder / ARRAYS, SafetensorError, fix=MODEL.fix):
        arrays = load_file(folder / ARRAYS)
        meta = record.pop("state")
        return record, _take_out(arrays, folder) if meta is None else ModelState(arrays, meta)


def read_scope(folder: Path) -> tuple[list[str], list[str]]:
    """Genes and contexts of a fitted model, without its arrays. Raises what `read_model` raises."""
    record = read_record(folder / RECORD, MODEL, lambda fields: _Fields.model_validate(fields).model_dump())
    return record["genes"], record["contexts"]


def read_seen(folder: Path) -> list[Knowledge]:
    """What a fitted model has seen, itself and by its sources. Raises what `read_model` raises."""
    return read_record(folder / RECORD, MODEL, lambda fields: _Fields.model_validate(fields).seen)


def _under(items: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {key.removeprefix(f"{name}."): value for key, value in items.items() if key.startswith(f"{name}.")}


def _take_out(arrays: Mapping[str, np.ndarray], folder: Path) -> ModelState:
    """A state of version 1 as one of today: `TEXTS` and `NUMBERS` say what became of arrays that were none."""
    kept, imported = dict(arrays), folder / "import.json"
    meta = json.loads(read_bytes(imported)) if imported.exists() else {}
    for key, array in arrays.items():
        *path, name = key.split(".")
        read = (TEXTS if array.dtype == np.uint8 else NUMBERS).get(name)
        if read is not None and "network" not in path:
            meta |= {".".join([*path, new]): value for new, value in read(kept.pop(key)).items()}
    return ModelState(kept, meta)


def _lines(array: np.ndarray) -> list[str]:
    return array.tobytes().decode().split("\n")


def _number(array: np.ndarray) -> float | None:
    return float(array[0]) if np.isfinite(array[0]) else None


def _named_lines(name: str, rest: str) -> Callable[[np.ndarray], dict[str, Any]]:
    return lambda array: {name: _lines(array)[0], rest: _lines(array)[1:]}


def _shape_and_size(array: np.ndarray) -> dict[str, Any]:
    shape = json.loads(array.tobytes())
    return {"set_size": shape.pop("set_size"), "shape": shape}


TEXTS: dict[str, Callable[[np.ndarray], dict[str, Any]]] = {
    "feature_genes": _named_lines("embedding", "feature_genes"),
    "row_names": _named_lines("control", "row_names"),
    "singles": lambda array: {"singles": _lines(array)},
    "known": lambda array: {"known": _lines(array)},
    "names": lambda array: {"members": _lines(array)},
    "shape": _shape_and_size,
}
NUMBERS: dict[str, Callable[[np.ndarray], dict[str, Any]]] = {
    "residual": lambda array: {"residual": _number(array)},
    "chosen": lambda array: {"neighbours": int(array[0]), "share": float(array[1])},
    "numbers": lambda array: {"width": float(array[0]), "shrinkage": _number(array[1:])},
    "amplitude": lambda array: {"amplitude": float(array[0])},
    "n_genes": lambda array: {},
}
