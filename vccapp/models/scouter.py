"""Scouter: a compressor of control cells and a generator from gene vectors, trained on pairs of cells.

Source: Zhu & Li, "Scouter predicts transcriptional responses to genetic perturbations with large language model
embeddings" (2024), and its package scouter-learn 0.1.10, which `faithful` follows to the letter. By default mended:

    faithful                                              ours
    a control is paired with a cell once and for all      pairs are drawn anew in each epoch
    the direction term has no gradient                    it has one, see `vccapp.losses.direction`
    the last weights are kept                             those that predicted held-out perturbations best
    the network predicts the cell                         what a closed-form baseline leaves over; it starts there
    gene vectors as they are                              centred, of unit length, and the number of targets beside them
"""

import dataclasses
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Literal, Self

import numpy as np
import pandas as pd
from pydantic import Field, model_validator

from vccapp.data.embeddings import open_embedding
from vccapp.data.splits.split import Split
from vccapp.losses.expression import LossText, parse_loss, refuse_set_losses
from vccapp.models.base import MODELS, Fitting, Model, ModelSpec, targets
from vccapp.models.parts.features import EMBEDDING_PATHS, MISSING_LABELS, Features, embedding_sources
from vccapp.models.parts.residual import make_baseline
from vccapp.models.parts.residual_network import (
    GIVE_UP,
    METRIC_LABELS,
    PAIRING_LABELS,
    PRECISION_LABELS,
    PREPARING,
    ResidualNetwork,
    Work,
)
from vccapp.models.saving import ModelState
from vccapp.neural.fitting.estimate import Precision
from vccapp.neural.fitting.sampler import Cells, Pairs, PairSampler, read_cells
from vccapp.parameters import Preset
from vccapp.progress import part
from vccapp.stats.cells.variable import choose_genes
from vccapp.stats.index import Index
from vccapp.stats.knowledge import Knowledge

if TYPE_CHECKING:
    from torch import Tensor

    from vccapp.losses.base import Loss, Tables
    from vccapp.neural.fitting.loop import LoopSpec
    from vccapp.neural.scouter.net import ScouterNet, ScouterShape
    from vccapp.neural.scouter.task import PairBatch, PairLoss, ScouterTask

HELD = 16
"""Numbers that a step holds for each gene and each unit of the wide layers of a cell; see benchmarks/estimates.py."""
N_VALIDATED = 4096
"""Cells of the validation loss at most, drawn once."""


class ScouterSpec(ModelSpec):
    groups = {
        "What it learns from": ("faithful", "embedding", "missing", "genes", "baseline", "mapping"),
        "Network": ("width", "inner", "code"),
        "Loss": ("loss", "gamma", "direction"),
        "Training": ("epochs", "epoch_steps", "steps", "batch_size", "learning_rate", "decay", "precision"),
        "Early stopping": ("metric", "patience", "min_improvement", "give_up"),
        "Output": ("n_controls",),
    }
    matters = {
        "baseline": lambda chosen: not chosen["faithful"],
        "gamma": lambda chosen: "autofocus" in chosen["loss"],
        "epoch_steps": lambda chosen: not chosen["faithful"],
        "precision": lambda chosen: not chosen["faithful"],
        "metric": lambda chosen: not chosen["faithful"],
        "min_improvement": lambda chosen: chosen["patience"] != 0,
        "give_up": lambda chosen: not chosen["faithful"] and chosen["baseline"] != "",
    }
    offers = {"embedding": "embedding", "baseline": "baseline"}
    value_labels = {
        "missing": MISSING_LABELS,
        "mapping": PAIRING_LABELS,
        "metric": METRIC_LABELS | {"val_loss": "Loss on held-out cells"},
        "precision": PRECISION_LABELS,
    }

    genes: int = Field(
        2000,
        ge=0,
        title="Genes modelled",
        description="Number of highly variable genes in the network; the others are derived from them. 0 = all genes.",
    )
    embedding: str = Field(
        "default",
        title="Gene embedding",
        description="Source of the gene vectors: default (ships with the app), expression (from the "
        "controls), the path of a file (GenePT pickle, .pt, npz, parquet, csv, .gmt), or "
        "several joined by +.",
    )
    missing: Literal["mean", "error"] = Field(
        "mean",
        title="Genes without a vector",
        description="Targets without a vector: mean uses an average gene, error stops.",
    )
    baseline: str = Field(
        "ridge",
        title="Baseline model",
        description="Closed-form model whose prediction the network corrects; none if empty.",
    )
    epochs: int = Field(
        40, ge=1, title="Maximum epochs", description="How often every perturbed cell is used for training, at most."
    )
    epoch_steps: int = Field(
        50,
        ge=1,
        title="Least steps of an epoch",
        description="An epoch of few cells goes on for so many steps, drawn again. Learning rate, validation and "
        "patience count epochs.",
    )
    steps: int = Field(0, ge=0, title="Maximum steps", description="0 = as many as the epochs take.")
    batch_size: int = Field(
        256, ge=2, title="Batch size", description="Pairs of a perturbed and a control cell per step."
    )
    learning_rate: float = Field(1e-3, gt=0, title="Learning rate", description="Rate of Adam in the first epoch.")
    decay: float = Field(
        0.9,
        gt=0,
        le=1,
        title="Learning-rate decay",
        description="Factor applied to the learning rate after each epoch.",
    )
    loss: LossText = Field(
        "autofocus",
        title="Loss",
        description="An expression of losses of single cells, such as autofocus + 0.1*pseudobulk_mae; the direction "
        "loss is added.",
    )
    gamma: float = Field(
        0.0, ge=0, title="Autofocus exponent", description="Errors are raised to the power of 2 plus this."
    )
    direction: float = Field(
        0.01, ge=0, title="Direction loss weight", description="Lambda in the paper (0.01 to 0.5)."
    )
    patience: int = Field(
        5,
        ge=0,
        title="Early-stopping patience",
        description="Epochs without improvement before training stops; 0 = off.",
    )
    min_improvement: float = Field(
        0.001,
        ge=0,
        title="Minimum improvement",
        description="Smallest change of the metric that counts as an improvement.",
    )
    give_up: bool = GIVE_UP
    metric: Literal["val_pearson_delta", "val_pds", "val_mae", "val_loss"] = Field(
        "val_pearson_delta",
        title="Early-stopping metric",
        description="Metric that selects the best weights; val_loss is the loss on held-out cells.",
    )
    mapping: Literal["random", "batch"] = Field(
        "random",
        title="Control pairing",
        description="Which control is paired with a cell: a random one, or one from the same batch.",
    )
    n_controls: int = Field(
        300,
        ge=1,
        title="Control cells averaged",
        description="Number of control cells over which a prediction is averaged.",
    )
    width: int = Field(2048, ge=1, title="Hidden width", description="Width of the widest layers.")
    inner: int = Field(512, ge=1, title="Encoder width", description="Width of the encoder's second layer.")
    code: int = Field(
        64, ge=1, title="Bottleneck size", description="Number of values to which a control cell is compressed."
    )
    precision: Precision = Field(
        "auto",
        title="Precision",
        description="Number format in training: auto uses bfloat16 on GPUs and on CPUs that have it (AMX, "
        "AVX512-BF16), except in faithful mode. Predictions use float32.",
    )
    faithful: bool = Field(
        False,
        title="Train like the original",
        description="Train exactly like the original: no baseline, fixed pairs, a direction loss without "
        "gradient, early stopping on val_loss, last weights.",
    )

    @model_validator(mode="after")
    def _check_loss(self) -> Self:
        if self.loss != "autofocus":
            refuse_set_losses(self.weights)
        return self

    @property
    def weights(self) -> dict[str, float]:
        """Of each loss."""
        weights = parse_loss(self.loss)
        return weights | {"direction": weights.get("direction", 0.0) + self.direction}


@MODELS.register("scouter")
class Scouter(ResidualNetwork):
    name = "scouter"
    label = "Scouter"
    description = "A network that predicts perturbed cells from control cells and the gene vectors of the targets."
    purpose = "A small network for large screens; it starts from ridge and learns what ridge leaves over."
    use = "Network"
    order = 50
    Spec = ScouterSpec
    takes_embedding = True
    shared = True
    grid = {"direction": (0.01, 0.05, 0.5), "learning_rate": (0.001, 0.01)}  # the paper's
    presets = {
        "quick": Preset(
            "Quick",
            "A first look that ends soon: 500 genes, narrow layers, 5 epochs. Not for comparisons.",
            "chosen for speed",
            {"genes": 500, "width": 256, "inner": 128, "epochs": 5},
        ),
        "paper": Preset(
            "Paper",
            "What the authors trained on the Replogle K562 and RPE1 screens, with 5,000 variable genes. They "
            "took GenePT vectors; choose your file of them as gene embedding. Like theirs it adds to no baseline, and "
            "is never stopped for not helping one.",
            "Zhu & Li 2024, scripts of scouter_misc: lambda 0.5, learning rate 0.001; 0.01 to 0.05 for other screens",
            {"faithful": True, "genes": 5000, "direction": 0.5},
        ),
        "strong": Preset(
            "Strong",
            "What did best in our measurements: the defaults, which start from ridge.",
            "docs/results.md",
            {},
        ),
    }

    paths = EMBEDDING_PATHS
    spec: ScouterSpec
    features: Features
    network: "ScouterNet"

    def sources(self, index: Index, split: Split) -> list[Knowledge]:
        return [*super().sources(index, split), *embedding_sources(self.spec.embedding)]

    def check_inputs(self, index: Index, split: Split, *, device: str) -> None:
        super().check_inputs(index, split, device=device)
        self.features = self._open_features(index)
        self._vectors([*split.train, *split.val, *split.test])

    def learn(self, index: Index, split: Split, fitting: Fitting) -> None:
        import torch

        from vccapp.losses.base import read_tables
        from vccapp.neural.fitting.device import choose_device
        from vccapp.neural.fitting.loop import run_loop
        from vccapp.neural.scouter.net import ScouterNet
        from vccapp.neural.scouter.task import ScouterTask

        spec, device = self.spec, choose_device(fitting.device)
        matrix = self.open_cells(index, split, choose_genes(index, spec.genes, seen=split.train), fitting)
        self.features = self._open_features(index)
        cells = read_cells(index, (*split.train, *split.val))
        self.controls = matrix.rows(self.draw_controls(cells, spec.n_controls, seed=fitting.seed)).astype(np.float16)
        deltas = self.fit_baseline(index, split, cells.labels, seed=fitting.seed)
        held_out = cells.label >= cells.n_contexts + len(split.train)
        seen = dataclasses.replace(cells, label=np.where(held_out, -1, cells.label))
        sampler = PairSampler(
            seen, batch_size=spec.batch_size, seed=fitting.seed, mapping=spec.mapping, fixed=spec.faithful
        )
        task = ScouterTask(
            sampler,
            read=matrix.rows,
            vectors=self._vectors(cells.labels),
            base=None if deltas is None else self.control_means.of(cells.labels)[:, self.modelled] + deltas,
            loss=self._make_loss(read_tables(index, cells.labels, self.modelled).to(device)),
            device=device,
            precision=self._precision,
            rank=fitting.rank,
            ranks=fitting.ranks,
        )
        torch.manual_seed(fitting.seed)
        self.network = ScouterNet(self._shape(), residual=deltas is not None).to(device)
        result = run_loop(
            self.network,
            next_batch=task.batch,
            step_loss=task.step_loss,
            validate=self._validation(index, cells, split, task, fitting),
            spec=self._loop(self._count_epoch(sampler.steps_per_epoch), split, fitting),
            fitting=dataclasses.replace(fitting, progress=part(fitting.progress, PREPARING, 1.0)),
        )
        self.end_training(index, split, fitting, result)

    def predict_deltas(self, perturbations: list[str]) -> np.ndarray:
        import torch

        device = next(self.network.parameters()).device
        vectors = torch.from_numpy(self._vectors(perturbations)).to(device)
        output = np.empty((len(perturbations), len(self.modelled)), np.float32)
        for own, kept in self.by_context(perturbations, len(self.controls)):
            controls = torch.from_numpy(self.controls[kept].astype(np.float32)).to(device)
            with torch.inference_mode():
                code = self.network.encoder(controls)
                output[own] = self.network.mean_output(code, vectors[own]).cpu().numpy()
        shift = self.predict_baseline(perturbations)
        if shift is None:
            return self.other_genes.complete(output - self.control_means.of(perturbations)[:, self.modelled])
        return self.other_genes.complete(shift[:, self.modelled] + output, shift=shift)

    def coverage(self, perturbations: Sequence[str]) -> pd.DataFrame:
        """As the base class; n_known counts the targets that have a gene vector."""
        return super().coverage(perturbations).assign(n_known=self.features.count_known(perturbations))

    def count_work(self, index: Index, split: Split) -> Work:
        spec, n_genes = self.spec, min(self.spec.genes or len(index.genes), len(index.genes))
        sizes = index.perturbations.set_index("perturbation")["n_cells"]
        n_cells = int(sizes.loc[list(split.train)].sum())
        steps = self._count_steps(self._count_epoch(max(1, n_cells // min(spec.batch_size, max(n_cells, 1)))))
        vector = 256 + spec.code
        weights = 2 * n_genes * spec.width + spec.width * (spec.inner + vector) + spec.inner * spec.code
        # Forward and backward are three products of each weight, but the first layer's input needs no gradient.
        flops = 2 * spec.batch_size * (3 * weights - n_genes * spec.width) + 12 * weights
        return Work(
            n_genes=n_genes,
            weights=weights,
            operations=steps * flops,
            step_bytes=HELD * spec.batch_size * (n_genes + 2 * spec.width) * 4,
            precision=self._precision,
            text=f"{weights / 1e6:.1f} million weights, at most {steps:,} steps of {spec.batch_size:,} cells",
        )

    def baseline_maker(self) -> Callable[[], Model] | None:
        spec = self.spec
        if spec.faithful or not spec.baseline:
            return None
        return partial(make_baseline, spec.baseline, embedding=spec.embedding)

    def make_network(self, state: ModelState) -> "ScouterNet":
        from vccapp.neural.scouter.net import ScouterNet

        return ScouterNet(self._shape(), residual=False)

    def state(self) -> ModelState:
        return super().state() | self.features.state()

    def restore(self, state: ModelState) -> None:
        self.features = Features.restore(state)
        super().restore(state)

    @property
    def _precision(self) -> Precision:
        return "float32" if self.spec.faithful else self.spec.precision

    def _open_features(self, index: Index) -> Features:
        if not self.spec.faithful:
            return Features.open(self.spec.embedding, index)
        embedding = open_embedding(self.spec.embedding, index)
        return Features(embedding.genes, embedding.matrix, name=embedding.name)

    def _vectors(self, perturbations: Sequence[str]) -> np.ndarray:
        """(n, d) float32: sums over the targets; ours with their number, which tells an unknown gene from none."""
        vectors = self.features.rows(perturbations, missing=self.spec.missing)
        if self.spec.faithful:
            return vectors
        return np.hstack([vectors, np.array([[len(targets(label))] for label in perturbations], np.float32)])

    def _shape(self) -> "ScouterShape":
        from vccapp.neural.scouter.net import ScouterShape

        spec = self.spec
        return ScouterShape(
            n_genes=len(self.modelled),
            n_features=self._vectors(self.trained_on[:1]).shape[1],
            encoder=(spec.width, spec.inner),
            code=spec.code,
            generator=(spec.width,),
        )

    def _make_loss(self, tables: "Tables") -> "PairLoss":
        from vccapp.losses.autofocus import autofocus
        from vccapp.losses.base import Context, combine
        from vccapp.losses.direction import sign_loss

        weights = self.spec.weights
        instead: dict[str, Loss] = {"autofocus": partial(autofocus, gamma=self.spec.gamma)}
        if self.spec.faithful:
            instead["direction"] = sign_loss

        def loss(cells: "Tensor", batch: "PairBatch") -> dict[str, "Tensor"]:
            context = Context(tables, batch.label, batch.controls[:, None], batch.whole)
            return combine(weights, cells[:, None], batch.cells[:, None], context, instead=instead)

        return loss

    def _validation(
        self, index: Index, cells: Cells, split: Split, task: "ScouterTask", fitting: Fitting
    ) -> "Callable[[ScouterNet], dict[str, float]] | None":
        """Loss of held-out cells, each with a control, and scores of the predicted deltas."""
        rng = np.random.default_rng((fitting.seed, 6))
        rows = rng.permutation(np.flatnonzero(cells.label >= cells.n_contexts + len(split.train)))[:N_VALIDATED]
        if not len(rows):
            return None
        contexts, controls = cells.control[cells.label[rows]], np.empty(len(rows), np.int64)
        for context in np.unique(contexts):
            here = contexts == context
            controls[here] = rng.choice(cells.of(context), int(here.sum()))

        judge = self.judge(index, split, fitting)

        def validate(network: "ScouterNet") -> dict[str, float]:
            total = 0.0
            for first in range(0, len(rows), self.spec.batch_size):
                at = slice(first, first + self.spec.batch_size)
                batch = task.gather(Pairs(rows[at], controls[at], cells.label[rows[at]]))
                total += task.step_loss(network, batch)["loss"].item() * len(rows[at])
            scores = judge(self.predict_deltas(list(split.val))) if judge else {}
            return {"val_loss": total / len(rows)} | scores

        return validate

    def _count_epoch(self, steps: int) -> int:
        """Steps of an epoch, where one pass over the cells takes so many."""
        return steps if self.spec.faithful else max(steps, self.spec.epoch_steps)

    def _count_steps(self, steps_per_epoch: int) -> int:
        whole = self.spec.epochs * steps_per_epoch
        return min(whole, self.spec.steps or whole)

    def _loop(self, steps_per_epoch: int, split: Split, fitting: Fitting) -> "LoopSpec":
        from vccapp.neural.fitting.loop import LoopSpec

        spec, steps = self.spec, self._count_steps(steps_per_epoch)
        metric = spec.metric if fitting.validate and not spec.faithful else "val_loss"
        return LoopSpec(
            steps=steps,
            learning_rate=spec.learning_rate,
            schedule="exponential",
            decay=spec.decay,
            decay_every=steps_per_epoch,
            clip=1.0,
            validate_every=steps_per_epoch if split.val else 0,
            validate_start=not spec.faithful,
            metric=metric,
            better="low" if metric in ("val_loss", "val_mae") else "high",
            patience=spec.patience,
            min_improvement=spec.min_improvement,
            trial=self.trial_step(steps, fitting) if spec.give_up else 0,
            keep="last" if spec.faithful else "best",
        )
