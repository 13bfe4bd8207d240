"""STATE's state transition (ST): a transformer over sets of cells, trained on the data.

Source: Adduri et al. 2025, as the package arc-state 0.11 trains it; `faithful` does what that does. By default mended:
the energy distance without its bias, an output residual on top of a closed-form model's prediction, so that the network
starts there, sets drawn anew in each epoch, AdamW with warm-up and cosine, averaged weights, and in the end the weights
that predicted held-out perturbations best.
"""

import dataclasses
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field

from vccapp.data.paths import user_path
from vccapp.data.splits.split import Split
from vccapp.errors import SpecError
from vccapp.losses.expression import PRESETS as LOSS_PRESETS
from vccapp.losses.expression import LossText, describe_losses, parse_loss
from vccapp.models.base import MODELS, Fitting, Model
from vccapp.models.parts.features import EMBEDDING_PATHS, WIDTH, Features, embedding_sources
from vccapp.models.parts.label_rows import EmbeddedRows, TableRows
from vccapp.models.parts.residual import make_baseline
from vccapp.models.parts.residual_network import (
    GIVE_UP,
    METRIC_LABELS,
    PAIRING_LABELS,
    PRECISION_LABELS,
    PREPARING,
    Work,
)
from vccapp.models.parts.set_transformer import N_CONTROLS, SetSpec, SetTransformer
from vccapp.models.parts.state_start import check_start, open_start, start_sources
from vccapp.neural.fitting.estimate import Precision
from vccapp.neural.fitting.sampler import Cells, SetSampler, read_cells
from vccapp.neural.state.shape import PRESETS, StateShape, sets_at_once
from vccapp.parameters import Preset
from vccapp.progress import part
from vccapp.stats.cells.embedding import describe_cell_embedding, open_cell_embedding
from vccapp.stats.cells.matrix import CellMatrix
from vccapp.stats.cells.variable import choose_genes
from vccapp.stats.index import Index
from vccapp.stats.knowledge import Knowledge

if TYPE_CHECKING:
    from torch import Tensor

    from vccapp.losses.base import Tables
    from vccapp.neural.fitting.loop import LoopSpec
    from vccapp.neural.state.net import StateNet
    from vccapp.neural.state.task import Rows, SetBatch, SetLoss

ONE_HOT = "one-hot"
GENES = "genes"
CLIP = 10.0
EMA = 0.99


class StateSpec(SetSpec):
    groups = {
        "What it learns from": (
            *("faithful", "start", "adapt", "embedding", "missing", "inputs", "genes", "baseline"),
            *("mapping", "controls_as_items"),
        ),
        "Network": ("preset", "batch_encoder", "dropout"),
        "Loss": ("loss",),
        "Training": ("steps", "set_size", "sets", "learning_rate", "weight_decay", "precision"),
        "Early stopping": ("metric", "validate_every", "patience", "give_up"),
        "Output": ("cells",),
    }
    matters = {
        "adapt": lambda chosen: chosen["start"] != "",
        "embedding": lambda chosen: chosen["start"] == "",
        "inputs": lambda chosen: chosen["start"] == "",
        "genes": lambda chosen: chosen["start"] == "",
        "baseline": lambda chosen: not chosen["faithful"],
        "preset": lambda chosen: chosen["start"] == "",
        "loss": lambda chosen: not chosen["faithful"],
        "weight_decay": lambda chosen: not chosen["faithful"],
        "metric": lambda chosen: not chosen["faithful"],
        "patience": lambda chosen: not chosen["faithful"],
        "give_up": lambda chosen: not chosen["faithful"] and chosen["baseline"] != "",
        "cells": lambda chosen: chosen["inputs"] == GENES,
    }
    offers = {
        "embedding": "embedding or one-hot",
        "baseline": "baseline",
        "inputs": "cell embedding",
        "start": "network",
    }
    value_labels = {
        **SetSpec.value_labels,
        "preset": {"xs": "xs (3 million weights)", "sm": "sm (state_sm)", "base": "base (state)"},
        "mapping": PAIRING_LABELS,
        "metric": METRIC_LABELS,
        "precision": PRECISION_LABELS,
        "adapt": {"all": "All", "background": "Background", "lora": "Background and attention (LoRA)"},
    }

    preset: Literal["xs", "sm", "base"] = Field(
        "xs",
        title="Size",
        description="Size: xs for CPUs (256 wide, 2 layers), sm and base as the original's state_sm and state.",
    )
    genes: int = Field(
        2000, ge=0, title="Genes modelled", description="Number of highly variable genes in the network; 0 = all genes."
    )
    inputs: str = Field(
        "genes",
        title="Network input",
        description="Input of the network: genes, or a cell embedding made by `vccapp model embed`, such as X_state or "
        "X_pca. Genes are predicted in either case.",
    )
    embedding: str = Field(
        "default",
        title="Gene embedding",
        description="Features of a perturbation: default (the gene embedding that ships with the app), expression, the "
        "path of a file (also STATE's .pt of features), several joined by +, or one-hot (training targets "
        "only).",
    )
    set_size: int = Field(
        128, ge=2, title="Cells per set", description="Number of cells that the network sees together."
    )
    sets: int = Field(16, ge=1, title="Sets per step", description="Number of sets in a training step.")
    steps: int = Field(1000, ge=1, title="Maximum steps", description="Number of training steps, at most.")
    learning_rate: float = Field(
        3e-4,
        gt=0,
        title="Learning rate",
        description="Peak rate of AdamW, reached after a warm-up of 10 % of the steps.",
    )
    weight_decay: float = Field(0.01, ge=0, title="Weight decay", description="Weight decay of AdamW.")
    loss: LossText = Field(
        "C2",
        examples=list(LOSS_PRESETS),
        title="Loss",
        description="C1: energy distance; C2: C1 and the error of the pseudobulk; C3: C2 and DE genes; C4: C3 and the "
        f"rank among effects. Or an expression, such as energy + 0.5*mmd, of {', '.join(describe_losses())}.",
    )
    mapping: Literal["random", "batch"] = Field(
        "random",
        title="Control pairing",
        description="Which controls are paired with a set: random ones, or ones from the same batch.",
    )
    controls_as_items: bool = Field(True, title="Train on controls", description="Also train on sets of control cells.")
    baseline: str = Field(
        "ridge",
        title="Baseline model",
        description="Closed-form model whose prediction the network corrects; none if empty.",
    )
    batch_encoder: bool = Field(
        False, title="Batch encoder", description="Give the network the batch of the cells as an input."
    )
    dropout: float = Field(0.1, ge=0, lt=1, title="Dropout", description="Dropout in the encoders and the head.")
    validate_every: int = Field(
        100,
        ge=1,
        title="Validation interval",
        description="Steps between validations on the validation part of the split.",
    )
    patience: int = Field(
        8,
        ge=0,
        title="Early-stopping patience",
        description="Validations without improvement before training stops; 0 = off.",
    )
    give_up: bool = GIVE_UP
    metric: Literal["val_pearson_delta", "val_pds", "val_mae"] = Field(
        "val_pearson_delta", title="Early-stopping metric", description="Metric that selects the best weights."
    )
    precision: Precision = Field(
        "auto",
        title="Precision",
        description="Number format in training: auto uses bfloat16 on GPUs and on CPUs that have it (AMX, "
        "AVX512-BF16), which makes training two to four times faster. Predictions use float32.",
    )
    start: str = Field(
        "",
        title="Start from",
        description="Folder of a fitted `state` model or a converted checkpoint to start from; its sizes, genes and "
        "features replace those above.",
    )
    adapt: Literal["all", "background", "lora"] = Field(
        "lora",
        title="Trained weights",
        description="Weights that are trained: background (batches and biases), lora (also a low-rank change of "
        "attention) or all.",
    )
    faithful: bool = Field(
        False,
        title="Train like the original",
        description="Train exactly like the original: hidden residual, only the biased energy distance, "
        "no baseline, Adam at a constant rate, last weights.",
    )


@MODELS.register("state")
class State(SetTransformer):
    name = "state"
    label = "STATE (ST)"
    description = (
        "A transformer that predicts sets of perturbed cells from control cells and the gene vectors of the targets."
    )
    purpose = "A transformer over sets of cells for large screens, better with a GPU; it starts from ridge."
    use = "Network"
    order = 51
    Spec = StateSpec
    takes_embedding = True
    shared = True
    presets = {
        "quick": Preset(
            "Quick",
            "A first look that ends soon: 500 genes, small sets, 100 steps. Not for comparisons.",
            "chosen for speed",
            {"genes": 500, "set_size": 32, "sets": 8, "steps": 100, "validate_every": 25},
        ),
        "paper": Preset(
            "Paper",
            "What the authors train for the challenge of 2025: state_sm on all genes for 40,000 steps, days on a CPU. "
            "They took ESM2 features; choose their .pt file as gene embedding. Like theirs it adds to no baseline, and "
            "is never stopped for not helping one.",
            "Adduri et al. 2025 and the challenge's notebook of arc-state 0.11",
            {
                **{"faithful": True, "preset": "sm", "genes": 0},
                **{"steps": 40_000, "learning_rate": 1e-4, "validate_every": 2000},
            },
        ),
        "strong": Preset(
            "Strong",
            "What our measurements were made with: 600 steps of 8 sets of 32 cells, on top of ridge.",
            "docs/results.md",
            {"set_size": 32, "sets": 8, "steps": 600},
        ),
    }

    paths = EMBEDDING_PATHS | {"start": ""}
    spec: StateSpec

    def sources(self, index: Index, split: Split) -> list[Knowledge]:
        """What it starts from, or the gene embedding; the cell embedding that it takes as input; its baseline's."""
        start = user_path(self.spec.start) if self.spec.start else None
        found = [
            *super().sources(index, split),
            *(start_sources(start) if start else embedding_sources(self.spec.embedding)),
        ]
        return found if self.spec.inputs == GENES else [*found, describe_cell_embedding(index, self.spec.inputs)]

    def check_inputs(self, index: Index, split: Split, *, device: str) -> None:
        super().check_inputs(index, split, device=device)
        if self.spec.inputs != GENES:
            self._open_cell_embedding(index)
        if self.spec.start:
            check_start(user_path(self.spec.start), self.genes)
        else:
            self._make_rows(index, split).of([*split.train], missing=self.spec.missing)

    def learn(self, index: Index, split: Split, fitting: Fitting) -> None:
        import torch

        from vccapp.losses.base import read_tables
        from vccapp.neural.fitting.device import choose_device
        from vccapp.neural.fitting.loop import run_loop
        from vccapp.neural.state.adapt import choose_trained, merge_adapters, replace_batches
        from vccapp.neural.state.net import StateNet
        from vccapp.neural.state.task import SetTask

        spec, device = self.spec, choose_device(fitting.device)
        start = open_start(user_path(spec.start)) if spec.start else None
        genes = choose_genes(index, spec.genes, seen=split.train) if start is None else start.positions(self.genes)
        self.columns = self.predicted = genes
        matrix = self.open_cells(index, split, genes, fitting)
        cells = read_cells(index, split.train)
        self.rows = self._make_rows(index, split) if start is None else start.rows
        inputs = self._open_inputs(index, matrix)
        self._keep_controls(inputs, matrix.rows, cells, seed=fitting.seed)
        torch.manual_seed(fitting.seed)
        self.set_size = spec.set_size
        n_batches = cells.n_batches if spec.batch_encoder else 0
        if start is None:
            sizes = {"n_inputs": self.controls.shape[1], "n_features": self.rows.width, "n_batches": n_batches}
            self.network = StateNet(self._shape(len(self.predicted), **sizes)).to(device)
        else:
            self.network = start.network.to(device)
            replace_batches(self.network, cells.n_batches)
            choose_trained(self.network, spec.adapt)
        task = SetTask(
            SetSampler(
                cells,
                n_sets=spec.sets,
                set_size=spec.set_size,
                seed=fitting.seed,
                mapping=spec.mapping,
                with_controls=spec.controls_as_items,
            ),
            inputs=inputs,
            outputs=matrix.rows,
            features=self.rows.of(cells.labels, missing=spec.missing),
            shifts=self.fit_baseline(index, split, cells.labels, seed=fitting.seed),
            loss=self._make_loss(read_tables(index, cells.labels, self.predicted).to(device)),
            n_genes=len(self.predicted),
            device=device,
            precision=spec.precision,
            rank=fitting.rank,
            ranks=fitting.ranks,
        )
        judge = self.judge(index, split, fitting)
        result = run_loop(
            self.network,
            next_batch=task.batch,
            step_loss=task.step_loss,
            shares=task.shares,
            validate=None if judge is None else lambda network: judge(self._validation_deltas(network, split.val)),
            spec=self._loop(fitting),
            fitting=dataclasses.replace(fitting, progress=part(fitting.progress, PREPARING, 1.0)),
        )
        merge_adapters(self.network)
        self.end_training(index, split, fitting, result)

    def count_work(self, index: Index, split: Split) -> Work:
        spec, n_genes = self.spec, min(self.spec.genes or len(index.genes), len(index.genes))
        shape = self._shape(n_genes, n_features=WIDTH)
        cells, weights = spec.sets * spec.set_size, shape.count_weights()
        # Forward and backward are three products of each weight, but the inputs need no gradient.
        flops = 2 * (3 * weights - n_genes * shape.width)
        flops += 12 * spec.set_size * (shape.n_layers * shape.width + 2 * n_genes)
        at_once = min(cells, spec.set_size * sets_at_once(spec.set_size, n_genes))
        return Work(
            n_genes=n_genes,
            weights=weights,
            operations=spec.steps * cells * flops,
            step_bytes=4 * at_once * shape.count_kept(),
            precision=spec.precision,
            text=f"{weights / 1e6:.1f} million weights, at most {spec.steps:,} steps of {cells:,} cells",
        )

    def baseline_maker(self) -> Callable[[], Model] | None:
        spec = self.spec
        network = getattr(self, "network", None)  # not there yet where a run is checked
        if not spec.baseline or (self._residual if network is None else network.shape.residual) == "hidden":
            return None
        embedding = "default" if spec.embedding == ONE_HOT else spec.embedding
        return partial(make_baseline, spec.baseline, embedding=embedding)

    @property
    def _residual(self) -> Literal["hidden", "output"]:
        return "hidden" if self.spec.faithful else "output"

    def _make_rows(self, index: Index, split: Split) -> EmbeddedRows | TableRows:
        if self.spec.embedding == ONE_HOT:
            return TableRows.one_hot(split.train)
        return EmbeddedRows(Features.open(self.spec.embedding, index))

    def _open_inputs(self, index: Index, matrix: CellMatrix) -> "Rows":
        """What reads the network's inputs of cells. Raises SpecError for an embedding that is not there."""
        if self.spec.inputs == GENES:
            return matrix.rows
        embedded = self._open_cell_embedding(index)
        return lambda rows: np.asarray(embedded[rows], np.float32)

    def _open_cell_embedding(self, index: Index) -> np.ndarray:
        if self.spec.cells == "network":
            raise SpecError(
                "cells_need_genes",
                f"A network with the input {self.spec.inputs} cannot generate cells of genes",
                fix="set cells = anchored",
            )
        return open_cell_embedding(index, self.spec.inputs)

    def _keep_controls(self, inputs: "Rows", outputs: "Rows", cells: Cells, *, seed: int) -> None:
        rows = self.draw_controls(cells, N_CONTROLS, seed=seed)
        self.controls = inputs(rows).astype(np.float16)
        self.control_values = self.controls if self.spec.inputs == GENES else outputs(rows).astype(np.float16)
        self.control_batches = cells.batch[rows].astype(np.int64)

    def _validation_deltas(self, network: "StateNet", perturbations: Sequence[str]) -> np.ndarray:
        """As `predict`, of a network in training, from a quarter of the controls."""
        deltas = self.network_deltas(perturbations, network=network, n_controls=N_CONTROLS // 4)
        return self.complete(perturbations, deltas)

    def _shape(self, n_genes: int, *, n_features: int, n_inputs: int | None = None, n_batches: int = 0) -> StateShape:
        return StateShape(
            n_inputs=n_inputs or n_genes,
            n_outputs=n_genes,
            n_features=n_features,
            n_batches=n_batches,
            dropout=self.spec.dropout,
            residual=self._residual,
            nonnegative=self.spec.faithful,
            **PRESETS[self.spec.preset],
        )

    def _make_loss(self, tables: "Tables") -> "SetLoss":
        from vccapp.losses.base import Context, combine
        from vccapp.losses.energy import energy

        weights = parse_loss("C1" if self.spec.faithful else self.spec.loss)
        instead = {"energy": partial(energy, v_statistic=True)} if self.spec.faithful else {}

        def loss(cells: "Tensor", batch: "SetBatch") -> dict[str, "Tensor"]:
            context = Context(tables, batch.label, batch.values, batch.whole)
            return combine(weights, cells, batch.cells, context, instead=instead)

        return loss

    def _loop(self, fitting: Fitting) -> "LoopSpec":
        from vccapp.neural.fitting.loop import LoopSpec

        spec = self.spec
        loop = LoopSpec(
            steps=spec.steps,
            learning_rate=spec.learning_rate,
            clip=CLIP,
            validate_every=spec.validate_every if fitting.validate else 0,
            metric=spec.metric,
            better="low" if spec.metric == "val_mae" else "high",
        )
        if spec.faithful:
            return dataclasses.replace(loop, keep="last", validate_start=False)
        return dataclasses.replace(
            loop,
            schedule="cosine",
            warmup=max(1, spec.steps // 10),
            final=0.05,
            optimiser="adamw",
            weight_decay=spec.weight_decay,
            ema=EMA,
            patience=spec.patience,
            trial=self.trial_step(spec.steps, fitting) if spec.give_up else 0,
        )
