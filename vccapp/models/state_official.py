"""STATE by its authors' own program: `state tx train` and `state tx infer`, run as they are, give the cells of a run.

The program works in an environment of its own (`vccapp.neural.arc_state`). It gets the controls and the cells of the
training and validation part, never one of a test perturbation, and is asked for cells of the held-out perturbations,
which are kept with the model. With `folder` nothing is trained: the network is one that it trained before.
"""

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field
from scipy.sparse import csr_matrix

from vccapp.data.paths import user_path
from vccapp.data.resources import MARGIN, VALUE_BYTES, require_disk
from vccapp.data.schema import CONTROL, label_in, positions_of, target_of
from vccapp.data.splits.split import Split
from vccapp.errors import SpecError
from vccapp.models.base import MODELS, Fitting
from vccapp.models.parts.features import EMBEDDING_PATHS, EmbeddingSpec, embedding_sources
from vccapp.models.parts.stored_cells import CellsOfLabels, StoredCells
from vccapp.models.saving import ModelState
from vccapp.neural.arc_state.command import (
    CELLS,
    FEATURES,
    HVG,
    LOG,
    PREDICTED,
    RUN,
    SPLIT,
    TEMPLATE,
    Checkpoint,
    Plan,
    infer_words,
    parse_overrides,
    train_words,
)
from vccapp.neural.arc_state.program import Program, find_program
from vccapp.neural.arc_state.size import SIZES, Cost, estimate_cost
from vccapp.neural.fitting.estimate import Estimate
from vccapp.neural.fitting.sampler import read_cells
from vccapp.parameters import Preset
from vccapp.progress import Progress, part
from vccapp.settings import open_settings
from vccapp.stats.cells.matrix import CellMatrix, cells_memory, open_cell_matrix
from vccapp.stats.cells.variable import choose_genes
from vccapp.stats.index import Index
from vccapp.stats.knowledge import Knowledge
from vccapp.wording import bytes_text, name_some

ONE_HOT = "one-hot"
N_CONTROLS = 512
"""Control cells of each context that predictions start from."""
MIN_SHARE = 0.5
"""Of an opened network's genes, below which the data are too different to use it."""
WORK, KEPT = "official", "official"
"""Folders: in the run while it trains, and in its model afterwards."""
NOT_KEPT = ("last.ckpt",)
"""Of the program's checkpoints, once the training has ended."""
WRITTEN_AT, TRAINED_AT, STARTED_AT, PREDICTED_AT = 0.05, 0.85, 0.87, 1.0
"""Of the progress: cells written, network trained, controls read, cells predicted."""

MEASURED = {
    "model.kwargs.hidden_dim": 256,
    "model.kwargs.n_encoder_layers": 2,
    "model.kwargs.n_decoder_layers": 2,
    "model.kwargs.transformer_backbone_kwargs.intermediate_size": 1024,
    "model.kwargs.transformer_backbone_kwargs.num_hidden_layers": 2,
    "model.kwargs.transformer_backbone_kwargs.head_dim": 32,
}
"""The network of docs/results.md (`benchmarks/kit/peer_models.py`), as far as it differs from state_sm."""


def _trains(chosen: Mapping[str, Any]) -> bool:
    """Whether a network is trained, and not one taken that is there."""
    return chosen["folder"] == ""


class StateOfficialSpec(EmbeddingSpec):
    groups = {
        "What it learns from": ("folder", "trusted", "embedding", "missing", "genes"),
        "Network and training": (
            *("architecture", "steps", "batch_size", "set_size", "learning_rate", "validate_every"),
        ),
        "Program": ("overrides", "workers"),
        "Output": ("cells", "checkpoint", "targets"),
    }
    matters = {
        "trusted": lambda chosen: chosen["folder"] != "",
        **dict.fromkeys(
            ("embedding", "missing", "genes", *groups["Network and training"], *groups["Program"]), _trains
        ),
    }
    offers = {"folder": "trained folder", "embedding": "embedding or one-hot"}
    value_labels = {
        **EmbeddingSpec.value_labels,
        "architecture": {
            "state_sm": "state_sm (672 wide, 4 layers)",
            "state": "state (768 wide, 8 layers)",
            "state_lg": "state_lg (1488 wide, 6 layers)",
        },
        "checkpoint": {
            "final": "The last step's",
            "best": "Those of the lowest validation loss",
            "last": "The last saved",
        },
    }

    architecture: Literal["state_sm", "state", "state_lg"] = Field(
        "state_sm", title="Size", description="Configuration of the official package (model=...)."
    )
    steps: int = Field(40_000, ge=1, title="Steps", description="Training steps (training.max_steps).")
    embedding: str = Field(
        "default",
        title="Gene embedding",
        description="Vectors of the perturbed genes: default, a file (STATE's ESM2 .pt too), several joined by +, or "
        "one-hot, which knows only targets of the training part.",
    )
    genes: int = Field(
        2000, ge=0, title="Genes", description="Highly variable genes that it learns (X_hvg); 0 = all genes (X)."
    )
    cells: int = Field(
        200, ge=1, le=10_000, title="Predicted cells", description="Cells that are predicted of each perturbation."
    )
    batch_size: int = Field(16, ge=1, title="Sets per step", description="Sets of cells a step (training.batch_size).")
    set_size: int | None = Field(
        None, ge=1, title="Cells per set", description="Cells in a set (cell_set_len); by default the network's own."
    )
    learning_rate: float = Field(1e-4, gt=0, title="Learning rate", description="Of Adam, constant (training.lr).")
    validate_every: int | None = Field(
        None,
        ge=1,
        title="Steps between validations",
        description="Steps between validations, each with a checkpoint to resume from (training.val_freq); by default "
        "a tenth of the steps, 2000 at most.",
    )
    workers: int = Field(
        0, ge=0, le=64, title="Loading processes", description="Processes that load cells (data.kwargs.num_workers)."
    )
    checkpoint: Checkpoint = Field(
        "final",
        title="Checkpoint",
        description="Weights that predict: at the end, of the best val_loss, or last.",
    )
    overrides: str = Field(
        "",
        title="Overrides",
        description="Further keys of its configuration with numbers or names, divided by spaces: "
        "model.kwargs.hidden_dim=256 training.weight_decay=0.",
    )
    targets: str = Field(
        "",
        title="Further targets",
        description="A table of further perturbations to predict, for submissions (pert_counts.csv).",
    )
    folder: str = Field(
        "",
        title="Trained network",
        description="A folder that `state tx train` wrote (output_dir/name), to predict with; then nothing is trained. "
        "None: a network is trained.",
    )
    trusted: bool = Field(
        False,
        title="Trust this folder",
        description="The program reads the pickles of that folder in full, and they may run any code.",
    )


@MODELS.register("state_official")
class StateOfficial(StoredCells):
    name = "state_official"
    label = "STATE, official program"
    description = "Trained and predicted by arc-state, the program of STATE's authors, in an environment of its own."
    Spec = StateOfficialSpec
    paths = EMBEDDING_PATHS | {"targets": "", "folder": ""}
    purpose = "For figures of STATE as its authors publish it; large screens and a GPU."
    use = "Network"
    order = 53
    is_network = True
    presets = {
        "quick": Preset(
            "Quick",
            "To see that it works: 500 genes, 2 sets of 32 cells a step, 100 steps. Not for comparisons.",
            "chosen for speed",
            {"genes": 500, "batch_size": 2, "set_size": 32, "steps": 100, "cells": 50},
        ),
        "paper": Preset(
            "Paper",
            "What the authors train for the challenge of 2025: state_sm on all genes for 40,000 steps, days on a CPU. "
            "They took ESM2 features; choose their .pt file as gene embedding.",
            "the challenge's notebook of arc-state",
            {"genes": 0},
        ),
        "strong": Preset(
            "Strong",
            "As our measurements trained it: 256 wide, 2 layers, 600 steps of 8 sets of 32 cells.",
            "docs/results.md",
            {
                **{"steps": 600, "batch_size": 8, "set_size": 32, "learning_rate": 3e-4},
                "overrides": " ".join(f"{key}={value}" for key, value in MEASURED.items()),
            },
        ),
    }

    spec: StateOfficialSpec
    official: dict[str, Any]  # versions, the words of the commands, which checkpoint
    _kept: Path | None = None  # what the program wrote, to be kept with the model

    @property
    def source(self) -> str:
        return "The official program's prediction"

    def sources(self, index: Index, split: Split) -> list[Knowledge]:
        if self.spec.folder:
            return [Knowledge(source=f"The network of the official program in {self.spec.folder}")]
        return embedding_sources(self.spec.embedding)

    def check_inputs(self, index: Index, split: Split, *, device: str) -> None:
        """Whether the program is there, and knows or will know the perturbations."""
        from vccapp.neural.arc_state.work import check_folder

        find_program(open_settings())
        parse_overrides(self.spec.overrides)
        wanted = self.wanted(index, split)
        if self.spec.folder:
            if not self.spec.trusted:
                raise SpecError(
                    "untrusted_checkpoint",
                    f"The official program reads the pickles in {self.spec.folder}, which may run any code",
                    fix="set trusted if you trust who made them",
                )
            check_folder(user_path(self.spec.folder), self.spec.checkpoint)
            return
        if not split.val:
            raise SpecError(
                "needs_val",
                f"The split '{split.name}' has no validation part, which the official program needs",
                fix="make a split with one",
            )
        if self.spec.embedding == ONE_HOT:
            known = set(map(target_of, split.train))
            lacking = [label for label in wanted if target_of(label) not in known]
        else:
            from vccapp.data.embeddings import open_embedding

            found = open_embedding(self.spec.embedding, index).coverage([*split.train, *wanted])
            none = (found["n_known"] == 0).to_numpy() & (self.spec.missing == "error")
            lacking = found["perturbation"][none].tolist()
        if lacking:
            raise SpecError(
                "no_vector",
                f"The embedding {self.spec.embedding} has no vector for {name_some(lacking)}",
                fix="choose another embedding" + ("" if self.spec.embedding == ONE_HOT else ", or missing = mean"),
            )

    def wanted(self, index: Index, split: Split) -> list[str]:
        """The perturbations to predict: the held-out ones, then further targets, in each context."""
        held_out = [*split.val, *split.test]
        if not self.spec.targets:
            return held_out
        from vccapp.seasons.targets import read_targets

        asked = [target.label for target in read_targets(user_path(self.spec.targets)).targets]
        contexts: Sequence[str | None] = index.contexts or [None]
        return list(dict.fromkeys([*held_out, *(label_in(name, context) for context in contexts for name in asked)]))

    @property
    def plan(self) -> Plan:
        """The command of its training, but for the seed."""
        spec = self.spec
        return Plan(
            architecture=spec.architecture,
            inputs=HVG if spec.genes else None,
            features=spec.embedding != ONE_HOT,
            steps=spec.steps,
            validate_every=spec.validate_every or min(2000, max(1, spec.steps // 10)),
            batch_size=spec.batch_size,
            learning_rate=spec.learning_rate,
            set_size=spec.set_size or SIZES[spec.architecture].cell_set_len,
            workers=spec.workers,
            seed=0,
            overrides=parse_overrides(spec.overrides),
        )

    def commands(self, program: Path | str, *, seed: int = 0) -> list[list[str]]:
        """What is run, word by word, in the folder of the run's checkpoints."""
        folder, plan = self.spec.folder or RUN, replace(self.plan, seed=seed)
        inputs = None if self.spec.folder else plan.inputs
        infer = infer_words(
            run=folder,
            checkpoint=f"{folder}/checkpoints/{self.spec.checkpoint}.ckpt",
            cells=TEMPLATE,
            output=PREDICTED,
            inputs=inputs,
            control=CONTROL,
            seed=seed,
        )
        return [[str(program), *words] for words in ([infer] if self.spec.folder else [train_words(plan), infer])]

    def cost(self, index: Index, split: Split) -> Cost:
        """Of its training."""
        plan = self.plan
        size = SIZES[plan.architecture].changed([f"cell_set_len={plan.set_size}", *plan.overrides])
        width = 1024 if plan.features else len({*map(target_of, split.train)}) + 1
        n_genes = min(self.spec.genes or len(index.genes), len(index.genes))
        return estimate_cost(
            size,
            n_genes=n_genes,
            n_features=width,
            chosen=bool(plan.inputs),
            steps=0 if self.spec.folder else plan.steps,
            batch_size=plan.batch_size,
            workers=plan.workers,
        )

    def disk_bytes(self, index: Index, split: Split) -> int:
        """Of the cells that are written for the program, of three checkpoints, and of the predicted cells."""
        cells = index.perturbations.set_index("perturbation")["n_cells"]
        n_seen = 0 if self.spec.folder else int(cells.loc[[*index.controls, *split.train, *split.val]].sum())
        n_genes = min(self.spec.genes or len(index.genes), len(index.genes))
        a_cell = 4 * n_genes if self.spec.genes else VALUE_BYTES * float(index.cells["genes"].mean())
        checkpoints = 0 if self.spec.folder else 3 * self.cost(index, split).checkpoint_bytes
        return int(
            n_seen * a_cell + checkpoints + 3 * VALUE_BYTES * self.spec.cells * len(self.wanted(index, split)) * n_genes
        )

    def estimate(self, index: Index, split: Split, *, memory_bytes: int) -> Estimate:
        cost = self.cost(index, split)
        disk = bytes_text(self.disk_bytes(index, split))
        network = "a network trained before" if self.spec.folder else f"{cost.weights / 1e6:.0f} million weights"
        text = f"official program, {network}, {disk} of disk"
        return Estimate(seconds=cost.seconds, memory_bytes=cost.memory_bytes, text=text)

    def learn(self, index: Index, split: Split, fitting: Fitting) -> None:
        from vccapp.neural.arc_state.work import open_network, predict

        self.check_inputs(index, split, device=fitting.device)
        if fitting.folder is None:
            raise SpecError("needs_folder", "The official program works in the folder of a run", fix="train a run")
        program = find_program(open_settings())
        work = fitting.folder / WORK
        work.mkdir(parents=True, exist_ok=True)
        folder = user_path(self.spec.folder) if self.spec.folder else self._train(program, index, split, work, fitting)
        network = open_network(program, folder, self.spec.checkpoint)
        columns = self._place(network.genes)
        rows, matrix = self._read_controls(index, split, columns, fitting)
        controls = np.zeros((len(rows), len(columns)), np.float32)
        controls[:, columns >= 0] = matrix.rows(rows)
        del matrix
        labels = [name for name in self.wanted(index, split) if target_of(name) in network.perturbations]
        if not labels:
            raise SpecError(
                "unknown_to_network",
                f"The network in {folder} knows none of the held-out perturbations of the split '{split.name}'",
                fix="choose another split",
            )
        if self.spec.folder:
            self.trained_on, self.seen = (), self.seen[1:]  # nobody says on what
        cells = index.cells.iloc[rows]
        made = predict(
            program,
            network,
            self.spec.checkpoint,
            work,
            controls=controls,
            control_labels=cells["perturbation"].astype(str).tolist(),
            batches=cells["batch"].astype(str).tolist(),
            wanted=[(label, self.spec.cells) for label in labels],
            memory_bytes=fitting.memory_bytes,
            device=fitting.device,
            seed=fitting.seed,
            progress=part(fitting.progress, STARTED_AT, PREDICTED_AT),
        )
        present = np.zeros(len(self.genes), bool)
        present[columns[columns >= 0]] = True
        self.keep_cells(self._place_cells(made, labels, columns), labels, present, fitting)
        self.official = {"versions": dict(program.versions), "checkpoint": self.spec.checkpoint, "folder": folder.name}
        self._kept = None if self.spec.folder else folder

    def _train(self, program: Program, index: Index, split: Split, work: Path, fitting: Fitting) -> Path:
        """Write what the program reads, as far as it is not there, and train or go on; returns the network's folder."""
        from vccapp.data.embeddings import open_embedding
        from vccapp.neural.arc_state import data
        from vccapp.neural.arc_state.work import train

        plan = replace(self.plan, seed=fitting.seed)
        if not (work / CELLS).exists():
            require_disk(
                work,
                MARGIN * self.disk_bytes(index, split),
                purpose="A run of the official program",
                fix="free some space, choose fewer genes, or set VCCAPP_CHECKPOINTS to a larger disk",
            )
            progress = part(fitting.progress, 0.0, WRITTEN_AT)
            matrix = self._open_matrix(
                index, choose_genes(index, self.spec.genes, seen=split.train), fitting, part(progress, 0.0, 0.5)
            )
            rows = data.seen_rows(index, split)
            data.write_cells(work / CELLS, index, rows, matrix, inputs=plan.inputs, progress=part(progress, 0.5, 1.0))
        data.write_split(work / SPLIT, split)
        if plan.features and not (work / FEATURES).exists():
            labels = [*split.train, *self.wanted(index, split)]
            data.write_features(work / FEATURES, open_embedding(self.spec.embedding, index), labels)
        return train(
            program,
            plan,
            work,
            device=fitting.device,
            log=fitting.log,
            progress=part(fitting.progress, WRITTEN_AT, TRAINED_AT),
        )

    def _open_matrix(self, index: Index, genes: np.ndarray, fitting: Fitting, progress: Progress) -> CellMatrix:
        return open_cell_matrix(index, genes, memory_bytes=cells_memory(fitting.memory_bytes), progress=progress)

    def _place(self, genes: Sequence[str]) -> np.ndarray:
        """Position of each of the network's genes among the data's, -1 where they lack it."""
        position = positions_of(self.genes.tolist())
        columns = np.array([position.get(gene, -1) for gene in genes])
        repeated = np.ones(len(columns), bool)
        repeated[np.unique(columns, return_index=True)[1]] = False
        columns[repeated] = -1
        if (columns >= 0).sum() < MIN_SHARE * len(genes):
            raise SpecError(
                "genes_lacking",
                f"The dataset has {(columns >= 0).sum():,} of the network's {len(genes):,} genes, which is too few",
                fix="use a network trained on these genes",
            )
        return columns

    def _read_controls(
        self, index: Index, split: Split, columns: np.ndarray, fitting: Fitting
    ) -> tuple[np.ndarray, CellMatrix]:
        """Rows of up to `N_CONTROLS` control cells of each context, drawn by the seed; cells over the genes found."""
        known = read_cells(index, split.train)
        rng = np.random.default_rng((fitting.seed, 5))
        drawn = [rng.permutation(known.of(context))[:N_CONTROLS] for context in range(known.n_contexts)]
        progress = part(fitting.progress, TRAINED_AT, STARTED_AT)
        return np.sort(np.concatenate(drawn)), self._open_matrix(index, columns[columns >= 0], fitting, progress)

    def _place_cells(
        self, made: Iterator[tuple[str, np.ndarray]], labels: list[str], columns: np.ndarray
    ) -> Iterator[CellsOfLabels]:
        """Predicted cells over the data's genes."""
        place, known = positions_of(labels), columns >= 0
        for label, block in made:
            own = csr_matrix(block[:, known])
            placed = csr_matrix((own.data, columns[known][own.indices], own.indptr), (len(block), len(self.genes)))
            placed.sort_indices()
            yield placed, np.full(len(block), place[label]), np.zeros(len(block), np.float32)

    def state(self) -> ModelState:
        return super().state() | ModelState({}, {"official": self.official})

    def restore(self, state: ModelState) -> None:
        super().restore(state)
        self.official = state.meta["official"]

    def write_files(self, folder: Path) -> None:
        """Its cells, and what the program wrote, so that it can be used by the program again."""
        super().write_files(folder)
        if self._kept is not None:
            shutil.copytree(
                self._kept, folder / KEPT, copy_function=_link, ignore=lambda _, names: set(names) & set(NOT_KEPT)
            )
            for name in (SPLIT, LOG):
                shutil.copyfile(self._kept.with_name(name), folder / KEPT / name)


def _link(source: str, target: str) -> None:
    """The same file under another name; a copy where the disk has no such."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
