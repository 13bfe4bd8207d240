"""A training folder of arc-state as plain files; run in a process of its own, as such folders hold pickles.

    python -m vccapp.neural.state.convert RUN OUT [--trust]

RUN : the folder of a run (checkpoints/final.ckpt, else best, else last) or one .ckpt in it.
OUT : official.json     shape, genes, set size, names of batches and perturbations, where it came from
      weights.safetensors     network.* as StateNet names them, and `perturbations`, one row a name

Files are read with torch's `weights_only`, which admits tensors, numbers and text; numpy's numbers are admitted too.
With --trust they are read as full pickles, which may run any code.
"""

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file

from vccapp.data.atomic import write_folder
from vccapp.errors import DataError, VccAppError
from vccapp.faults import refuse_shortage
from vccapp.neural.state.official import convert_weights, read_shape
from vccapp.neural.state.shape import CONVERTED
from vccapp.wording import reason_text

CHECKPOINTS = ("final.ckpt", "best.ckpt", "last.ckpt")
"""Looked for in this order, as the original's own commands do."""


def convert(run: Path, out: Path, *, trusted: bool = False) -> dict[str, Any]:
    """Write OUT and return its record. Raises DataError when files are missing, refused or of another network."""
    checkpoint = find_checkpoint(run)
    folder = checkpoint.parent.parent
    content = _load(checkpoint, trusted=trusted)
    settings, weights = content.get("hyper_parameters"), content.get("state_dict")
    if not isinstance(settings, dict) or not isinstance(weights, dict):
        raise DataError(
            "not_a_checkpoint",
            f"{checkpoint.name} does not hold hyper_parameters and state_dict",
            fix="use a checkpoint written by arc-state",
        )
    shape = read_shape(settings, weights)
    perturbations = _read_map(folder / "pert_onehot_map.pt", trusted=trusted)
    batches = _read_map(folder / "batch_onehot_map.torch", trusted=trusted) if shape.n_batches else {}
    genes = [str(gene) for gene in settings.get("gene_names") or ()]
    record = {
        "shape": asdict(shape),
        "genes": genes,
        "set_size": int(settings["cell_set_len"]),
        "control": str(settings["control_pert"]),
        "inputs": settings.get("embed_key"),
        "perturbations": list(perturbations),
        "batches": sorted(batches, key=lambda name: int(batches[name].argmax())),
        "source": f"{folder.name}/{checkpoint.name}, step {content.get('global_step')}",
    }
    rows = torch.stack([torch.as_tensor(row).float() for row in perturbations.values()])
    if rows.shape[1] != shape.n_features:
        raise DataError(
            "checkpoint_mismatch",
            f"The perturbations have {rows.shape[1]:,} values each, but the network expects {shape.n_features:,}",
        )
    tensors = {f"network.{name}": value.float() for name, value in convert_weights(weights, shape).items()}
    with write_folder(out) as beside:
        (beside / "official.json").write_text(json.dumps(CONVERTED.stamp(record)) + "\n")
        save_file({name: value.contiguous() for name, value in tensors.items()} | {"perturbations": rows},
                  beside / "weights.safetensors")  # fmt: skip
    return record


def find_checkpoint(run: Path) -> Path:
    """The .ckpt that a path means. Raises DataError when there is none."""
    found = [run] if run.is_file() else [run / "checkpoints" / name for name in CHECKPOINTS]
    for path in found:
        if path.is_file():
            return path
    raise DataError(
        "checkpoint_missing",
        f"There is no checkpoint at {run}",
        fix="use the folder of an arc-state run or one of its .ckpt files",
    )


def _read_map(path: Path, *, trusted: bool) -> dict[str, Any]:
    if not path.is_file():
        raise DataError(
            "file_missing",
            f"{path.name} is not in {path.parent}",
            fix="use the whole folder that arc-state wrote",
        )
    return {str(name): row for name, row in _load(path, trusted=trusted).items()}


def _load(path: Path, *, trusted: bool) -> Any:
    scalar = np.float32(0).__reduce__()[0]
    kinds = (type(np.dtype(kind)) for kind in ("U1", "S1", "f4", "f8", "i4", "i8", "b1"))
    admitted: list[Callable[..., Any] | tuple[Callable[..., Any], str]] = [np.dtype, *kinds]
    admitted += [scalar] if callable(scalar) else []
    try:
        with torch.serialization.safe_globals(admitted):
            return torch.load(path, map_location="cpu", weights_only=not trusted)
    except Exception as error:
        refuse_shortage(error, name=path.name)
        reason = reason_text(error)
        hint = "" if trusted else " If you trust its author, --trust loads it anyway, which may run code in it."
        raise DataError(
            "checkpoint_unreadable",
            f"{path.name} cannot be read ({type(error).__name__}: {reason}).{hint}",
        ) from None


def main(words: Sequence[str]) -> int:
    paths, flags = [Path(word) for word in words[:2]], words[2:]  # a path may be called --trust
    try:
        convert(*paths, trusted=flags == ["--trust"])
    except VccAppError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
