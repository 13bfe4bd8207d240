"""The words of the official program's commands. Paths are relative to the folder that it works in. Pure.

train_words(plan)     tx train data.kwargs.toml_config_path=split.toml ... output_dir=. name=run
infer_words(...)      tx infer --model-dir run --checkpoint run/checkpoints/final.ckpt ...
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vccapp.data.schema import CONTROL
from vccapp.errors import SpecError

CELLS, SPLIT, FEATURES, RUN = "cells.h5ad", "split.toml", "features.pt", "run"
TEMPLATE, PREDICTED, LOG = "template.h5ad", "predicted.h5ad", "log.txt"
PERTURBATION, CONTEXT, BATCH = "target_gene", "cell_type", "batch"
"""obs columns of the files that we write for it."""
HVG: Literal["X_hvg"] = "X_hvg"
Checkpoint = Literal["final", "best", "last"]
Inputs = Literal["X_hvg"] | None
"""What the network takes and gives: the chosen genes in obsm, or X with all genes."""
MAX_SEED = 2**32
OVERRIDE = re.compile(r"\+{0,2}(?:model\.kwargs|data\.kwargs|training)\.[A-Za-z_][\w.]*=[\w.+-]+")
OURS = frozenset(
    f"{part}.{name}"
    for part, names in {
        "data.kwargs": "toml_config_path embed_key output_space num_workers batch_col pert_col cell_type_key "
        "control_pert perturbation_features_file",
        "training": "max_steps val_freq ckpt_every_n_steps batch_size lr train_seed log_every_n_steps",
        "model.kwargs": "init_from cell_set_len",
    }.items()
    for name in names.split()
)
"""Keys that the other choices set, or that would read a pickle."""


@dataclass(frozen=True)
class Plan:
    """All that decides the command of a training; features : whether perturbations have vectors of a file"""

    architecture: str
    inputs: Inputs
    features: bool
    steps: int
    validate_every: int
    batch_size: int
    learning_rate: float
    set_size: int
    workers: int
    seed: int
    overrides: tuple[str, ...] = ()

    @property
    def log_every(self) -> int:
        """Steps from one logged loss to the next: a hundred or more of them, at least every 50 steps."""
        return max(1, min(50, self.steps // 100))


def train_words(plan: Plan) -> list[str]:
    """`tx train` with the overrides of its configuration."""
    data = {
        "toml_config_path": SPLIT,
        "embed_key": plan.inputs or "null",
        "output_space": "gene" if plan.inputs else "all",
        "num_workers": plan.workers,
        "batch_col": BATCH,
        "pert_col": PERTURBATION,
        "cell_type_key": CONTEXT,
        "control_pert": CONTROL,
    }
    data |= {"perturbation_features_file": FEATURES} if plan.features else {}
    training = {
        "max_steps": plan.steps,
        "val_freq": plan.validate_every,
        "ckpt_every_n_steps": plan.validate_every,
        "batch_size": plan.batch_size,
        "lr": plan.learning_rate,
        "train_seed": plan.seed % MAX_SEED,
    }
    return [
        "tx",
        "train",
        *(f"data.kwargs.{name}={value}" for name, value in data.items()),
        *(f"training.{name}={value}" for name, value in training.items()),
        f"+training.log_every_n_steps={plan.log_every}",
        f"model={plan.architecture}",
        f"model.kwargs.cell_set_len={plan.set_size}",
        *plan.overrides,
        "use_wandb=false",
        "output_dir=.",
        f"name={RUN}",
    ]


def infer_words(
    *, run: str | Path, checkpoint: str | Path, cells: str, output: str, inputs: Inputs, control: str, seed: int
) -> list[str]:
    """`tx infer` for a file of controls and of cells to fill in, as `data.write_template` writes it."""
    words = ["tx", "infer", "--model-dir", str(run), "--checkpoint", str(checkpoint), "--adata", cells]
    words += ["--output", output, "--pert-col", PERTURBATION, "--celltype-col", CONTEXT, "--batch-col", BATCH]
    words += ["--control-pert", control, "--seed", str(seed % MAX_SEED)]
    return [*words, "--embed-key", inputs] if inputs else words


def parse_overrides(text: str) -> tuple[str, ...]:
    """Words that change its configuration further: 'model.kwargs.hidden_dim=256 training.weight_decay=0'.

    Raises SpecError for what is no such word, and for a key that another choice sets: values are numbers and names, so
    that none leads to a file.
    """
    words: Sequence[str] = text.split()
    for word in words:
        key = word.lstrip("+").partition("=")[0]
        if not OVERRIDE.fullmatch(word):
            raise SpecError(
                "bad_override",
                f"'{word}' is not an override",
                fix="write model.kwargs.NAME=VALUE or training.NAME=VALUE, with a number or a name as its value",
            )
        if key in OURS:
            raise SpecError("override_taken", f"{key} is set by another choice", fix="use that one")
    return tuple(words)
