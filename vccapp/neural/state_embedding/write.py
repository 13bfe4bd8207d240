"""STATE's state embedding (SE), trained on the cells of a dataset and written beside its index as "X_state".

    write_state_embedding(index, StateEmbeddingSpec(preset="xs"), fitting)       # obsm-like (n_cells, n_out + 10)

Self-supervised: from the vector of a cell, its log1p counts are predicted of genes that it expresses, of genes that it
does not, and of genes that all cells of the step share. The loss is that of STATE, with one cell a set: the length of
each cell's error plus the length of each shared gene's, and the cross-entropy of telling batches apart by DS.
The original's defaults: 8 layers of 512, 2,048 tokens, 128 cells a step, AdamW at 1e-5; its paper's width is 672.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional

from vccapp.data.embeddings import open_embedding
from vccapp.errors import SpecError
from vccapp.neural.fitting.device import choose_device
from vccapp.neural.fitting.fitting import Fitting
from vccapp.neural.fitting.loop import LoopSpec, run_loop
from vccapp.neural.state_embedding.net import EmbeddingShape, StateEmbeddingNet
from vccapp.neural.state_embedding.spec import DATASET_WIDTH, NAME, SIZES, Size, StateEmbeddingSpec
from vccapp.progress import part
from vccapp.stats.cells.embedding import write_cell_embedding
from vccapp.stats.cells.matrix import CellMatrix, open_cell_matrix
from vccapp.stats.cells.variable import choose_genes, seen_cells
from vccapp.stats.index import Index

CELLS_AT_ONCE = 64
MIN_GENES = 16


def write_state_embedding(
    index: Index, spec: StateEmbeddingSpec, fitting: Fitting, *, seen: Sequence[str] | None = None
) -> Path:
    """Train an SE, embed all cells, and write the array and the network; returns the folder.

    seen : perturbations whose cells it is trained on, beside the controls; None: all

    Raises SpecError for gene vectors that know too few of the data's genes.
    """
    torch.backends.mha.set_fastpath_enabled(False)  # which takes twice as long on a CPU
    task = _open_task(index, spec, fitting, seen)
    size, device = SIZES[spec.preset], task.device
    torch.manual_seed(fitting.seed)
    network = StateEmbeddingNet(
        EmbeddingShape(
            n_features=task.vectors.shape[1],
            width=size.width,
            inner=size.inner,
            n_layers=size.n_layers,
            n_heads=size.n_heads,
            n_out=size.n_out,
            n_datasets=task.n_batches if task.n_batches > 1 else 0,
        )
    ).to(device)
    loop = LoopSpec(
        steps=spec.steps,
        learning_rate=spec.learning_rate,
        schedule="cosine",
        warmup=max(1, spec.steps * 3 // 100),
        final=0.3,
        optimiser="adamw",
        weight_decay=0.01,
        clip=0.8,
    )
    parts = part(fitting.progress, 0.0, 0.8), part(fitting.progress, 0.8, 1.0)
    run_loop(
        network,
        next_batch=task.batch,
        step_loss=task.step_loss,
        spec=loop,
        fitting=Fitting(seed=fitting.seed, log=fitting.log, progress=parts[0], folder=fitting.folder),
    )
    n_cells = task.matrix.shape[0]

    def blocks() -> Iterator[tuple[int, np.ndarray]]:
        for first in range(0, n_cells, CELLS_AT_ONCE):
            rows = np.arange(first, min(first + CELLS_AT_ONCE, n_cells))
            yield first, task.embed(network, rows)
            parts[1](first / n_cells, f"{first:,} of {n_cells:,} cells embedded")

    def write_network(folder: Path) -> None:
        weights = {name: value.cpu().contiguous() for name, value in network.state_dict().items()}
        save_file(weights, folder / "network.safetensors")

    about = {"method": "state_embedding", "spec": spec.model_dump(), "seed": fitting.seed, "seen": seen}
    width = size.n_out + DATASET_WIDTH
    return write_cell_embedding(index, NAME, width=width, blocks=blocks(), about=about, files=write_network)


@dataclass(frozen=True)
class Sentences:
    """A step, on the device: tokens with their shares (percent), what to predict, and the batch of each cell."""

    genes: Tensor  # (cells, tokens) int64
    share: Tensor  # (cells, tokens)
    asked: Tensor  # (cells, 3 n_task) int64; the last third is the same for all cells
    counts: Tensor  # (cells, 3 n_task) log1p
    depth: Tensor  # (cells,) mean of the expressed genes
    batch: Tensor  # (cells,) int64


@dataclass(frozen=True)
class EmbeddingTask:
    matrix: CellMatrix
    trained: np.ndarray  # row numbers of the cells that it learns from
    is_counts: bool
    vectors: Tensor  # (n_genes, d), each of length 1
    batches: np.ndarray  # (n_cells,) int64
    n_batches: int
    size: Size
    batch_size: int
    seed: int
    device: torch.device

    def batch(self, step: int) -> Sentences:
        rng = np.random.default_rng((self.seed, 7, step))
        rows = self.trained[rng.integers(0, len(self.trained), self.batch_size)]
        return self.sentences(rows, rng)

    def sentences(self, rows: np.ndarray, rng: np.random.Generator) -> Sentences:
        values = self.matrix.counts(rows)
        logs = np.log1p(values) if self.is_counts else values
        n_genes, n_task = logs.shape[1], self.size.n_task
        # Ties, zeros above all, are broken at random, anew each time.
        order = logs + rng.random(logs.shape, np.float32) * 1e-4
        n_tokens = min(self.size.n_tokens - 1, n_genes)
        genes = np.argpartition(-order, n_tokens - 1, axis=1)[:, :n_tokens]
        total = np.maximum(logs.sum(axis=1, keepdims=True), 1e-6)
        drawn = np.argsort(np.where(logs > 0, 0, 2) + rng.random(logs.shape, np.float32), axis=1)
        expressed = np.maximum((logs > 0).sum(axis=1, keepdims=True), 1)
        asked = np.empty((len(rows), 3 * n_task), np.int64)
        places = np.arange(n_task)
        asked[:, :n_task] = np.take_along_axis(drawn, places % expressed, axis=1)
        asked[:, n_task : 2 * n_task] = drawn[:, n_genes - 1 - places % n_genes]
        asked[:, 2 * n_task :] = rng.permutation(n_genes)[places % n_genes]
        arrays = (
            genes,
            100 * np.take_along_axis(logs, genes, axis=1) / total,
            asked,
            np.take_along_axis(logs, asked, axis=1),
            (logs.sum(axis=1) / expressed[:, 0]).astype(np.float32),
            self.batches[rows],
        )
        return Sentences(*(torch.from_numpy(np.ascontiguousarray(array)).to(self.device) for array in arrays))

    def step_loss(self, network: StateEmbeddingNet, batch: Sentences) -> dict[str, Tensor]:
        cell, dataset, table = network(self.vectors, batch.genes, batch.share)
        error = network.decode(table, batch.asked, cell, batch.depth, dataset) - batch.counts
        shared = error[:, 2 * self.size.n_task :]
        terms = {"cells": error.norm(dim=1).mean(), "genes": shared.norm(dim=0).mean()}
        if network.classes is not None:
            terms["batches"] = functional.cross_entropy(network.classes(dataset), batch.batch)
        return {"loss": sum(terms.values())} | terms

    def embed(self, network: StateEmbeddingNet, rows: np.ndarray) -> np.ndarray:
        """(n, n_out + 10) float32; the same cells, the same vectors."""
        batch = self.sentences(rows, np.random.default_rng((self.seed, 8, int(rows[0]))))
        with torch.inference_mode():
            cell, dataset, _ = network.eval()(self.vectors, batch.genes, batch.share)
        return torch.cat([cell, dataset], dim=1).cpu().numpy()


def _open_task(index: Index, spec: StateEmbeddingSpec, fitting: Fitting, seen: Sequence[str] | None) -> EmbeddingTask:
    embedding = open_embedding(spec.embedding)
    names = index.genes["gene"].to_numpy(str)
    chosen = choose_genes(index, spec.genes, seen=seen)
    genes = np.array([i for i in chosen if embedding.find(names[i]) is not None], np.int64)
    if len(genes) < MIN_GENES:
        raise SpecError(
            "too_few_vectors",
            f"{embedding.name} has vectors of {len(genes):,} of the chosen genes, but {MIN_GENES} are needed",
            fix="choose another gene embedding, or all genes",
        )
    vectors = torch.from_numpy(embedding.rows(names[genes].tolist()))
    codes, labels = index.cells["batch"].factorize(sort=True)
    device = choose_device(fitting.device)
    return EmbeddingTask(
        matrix=open_cell_matrix(index, genes, memory_bytes=fitting.memory_bytes // 3),
        trained=seen_cells(index, seen),
        is_counts=index.meta["value_space"] == "counts",
        vectors=functional.normalize(vectors, dim=1).to(device),
        batches=codes.astype(np.int64),
        n_batches=len(labels),
        size=SIZES[spec.preset],
        batch_size=spec.batch_size,
        seed=fitting.seed,
        device=device,
    )
