"""Simulate perturb-seq counts with known truth, streamed to an .h5ad file of any size within 1 GB of memory.

    simulate(SimulationSpec(seed=1), Path("cells.h5ad"))                     # 3,600 cells x 2,000 genes

Writes `out` (raw counts, CSR float32; obs target_gene, guide_id, batch) and beside it the folder `<stem>.truth/`:

    truth.npz            perturbations (n,), genes (g,), effects (n, g) float32 ln units at efficacy 1, targets in it,
                         knockdown (n, 2) residual of each target at efficacy 1 (NaN: none),
                         guides (m,), guide_perturbation (m,) label, guide_efficacy (m,) 0..1; of several states of
                         the cells (obs state) each label, as in 'GENE1@state_2'
    gene_embedding.npz   genes (g,), embedding (g, k) float32, from which the effects can be predicted
"""

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from vccapp.data.atomic import require_new, write_file, write_folder
from vccapp.data.resources import MARGIN, VALUE_BYTES, require_disk
from vccapp.data.schema import context_of, target_of
from vccapp.data.simulation.experiment import Simulation, SimulationSpec, draw_simulation
from vccapp.data.simulation.states import put_in_states
from vccapp.data.stores.sizes import check_memory
from vccapp.progress import Progress, silent

if TYPE_CHECKING:
    import pandas as pd

BLOCK_VALUES = 2**22  # cells x genes sampled at a time by one thread: 34 MB


GENE_BYTES, CELL_BYTES = 800, 100
"""Of the truth of one gene (its name, its place among the programmes) and of one cell."""


def simulate(
    spec: SimulationSpec,
    out: Path,
    *,
    genes: Sequence[str] | None = None,
    memory_bytes: int = 4 * 10**9,
    progress: Progress = silent,
) -> Path:
    """Write simulated cells to `out` and their truth beside it; returns `out`.

    genes : names to use; without them GENE1, GENE2, ... Raises SpecError for choices that do not fit, ResourceError for
    a full disk, or where the truth does not fit `memory_bytes`.
    """
    n_genes = spec.n_genes if genes is None else len(genes)
    needed = n_genes * (GENE_BYTES + 8 * (spec.n_programmes + _count_labels(spec))) + CELL_BYTES * (spec.n_cells or 0)
    check_memory(needed, f"A simulation of {n_genes:,} genes and {spec.n_cells or 3600:,} cells", memory_bytes)
    return write_simulation(
        lambda: put_in_states(draw_simulation(spec, genes=genes), spec),
        out,
        compression=spec.compression,
        progress=progress,
    )


def _count_labels(spec: SimulationSpec) -> int:
    given = spec.perturbations
    return spec.n_states * (len(given) if given is not None else spec.n_perturbations + spec.n_pairs)


def write_simulation(
    draw: Callable[[], Simulation],
    out: Path,
    *,
    compression: Literal["gzip"] | None = None,
    progress: Progress = silent,
) -> Path:
    """Write the cells of the truth that `draw` returns to `out`, and that truth beside it; returns `out`."""
    require_new(out, suffix=".h5ad", what="Simulated cells")
    progress(0.0, "Drawing the truth")
    truth = draw()
    out.parent.mkdir(parents=True, exist_ok=True)
    _check_disk(truth, out)
    with write_file(out, new=True) as beside, write_folder(out.parent / f"{out.stem}.truth") as folder:
        _write_truth(truth, folder)
        _write_cells(truth, beside, compression=compression, progress=progress)
    progress(1.0, f"{truth.n_cells:,} cells x {truth.n_genes:,} genes written")
    return out


def _check_disk(truth: Simulation, out: Path) -> None:
    mean = truth.shares.mean(axis=0, dtype=np.float64) * float(np.median(truth.cell_depth))
    detected = 1.0 - np.exp(-np.log1p(mean * truth.dispersion) / truth.dispersion)
    needed = MARGIN * VALUE_BYTES * truth.n_cells * detected.sum()
    require_disk(out.parent, needed, purpose=f"The file {out.name}", fix="take fewer cells")


def _write_truth(truth: Simulation, folder: Path) -> None:
    labels = np.array(truth.perturbations)
    np.savez(
        folder / "truth.npz",
        perturbations=labels[1:],
        genes=np.array(truth.genes),
        effects=truth.effects[1:],
        knockdown=truth.knockdown[1:],
        guides=np.array(truth.guides),
        guide_perturbation=labels[truth.guide_perturbation],
        guide_efficacy=truth.guide_efficacy,
    )
    np.savez(folder / "gene_embedding.npz", genes=np.array(truth.genes), embedding=truth.embedding)


def sample_blocks(truth: Simulation) -> Iterator[tuple[int, np.ndarray, np.ndarray, np.ndarray]]:
    """The cells in order, block by block: first cell, row ends within the block, gene indices int32, counts float32."""
    from vccapp.data.simulation.sampling import sample_cells

    perturbation = truth.guide_perturbation[truth.cell_guide]
    efficacy = truth.guide_efficacy[truth.cell_guide]
    size = max(1, BLOCK_VALUES // truth.n_genes)

    def sample(first: int) -> tuple[int, np.ndarray, np.ndarray, np.ndarray]:
        rows = slice(first, min(first + size, truth.n_cells))
        n_rows = rows.stop - first
        indices = np.empty(n_rows * truth.n_genes, np.int32)
        values = np.empty(n_rows * truth.n_genes, np.float32)
        ends = np.empty(n_rows, np.int64)
        written = sample_cells(
            np.uint64(truth.seed),
            first,
            truth.cell_batch[rows],
            truth.cell_depth[rows],
            perturbation[rows],
            truth.shares,
            truth.effects,
            efficacy[rows],
            truth.dispersion,
            indices,
            values,
            ends,
        )
        return first, ends, indices[:written], values[:written]

    threads = min(8, os.cpu_count() or 1)
    pool = ThreadPoolExecutor(threads)
    starts = iter(range(0, truth.n_cells, size))
    try:
        waiting = deque(pool.submit(sample, first) for first in islice(starts, threads + 1))
        while waiting:
            block = waiting.popleft().result()
            following = next(starts, None)
            if following is not None:
                waiting.append(pool.submit(sample, following))
            yield block
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _write_cells(truth: Simulation, path: Path, *, compression: Literal["gzip"] | None, progress: Progress) -> None:
    """An .h5ad, the matrix appended block by block."""
    import pandas as pd

    from vccapp.data.h5ad import GrowingCsr, create_h5, write_tables

    with create_h5(path) as file:
        x = GrowingCsr(file, n_genes=truth.n_genes, compression=compression)
        for first, ends, indices, values in sample_blocks(truth):
            x.append(values, indices, ends)
            done = first + len(ends)
            progress(done / truth.n_cells, f"{done:,} of {truth.n_cells:,} cells")
        x.close()
        width = len(str(truth.n_cells))
        columns = {
            "target_gene": (truth.guide_perturbation[truth.cell_guide], truth.perturbations),
            "guide_id": (truth.cell_guide, truth.guides),
            "batch": (truth.cell_batch, truth.batches),
        }
        if truth.states:  # the labels are of one state each
            label, labels = columns["target_gene"]
            columns = {name: (codes, [target_of(text) for text in texts]) for name, (codes, texts) in columns.items()}
            columns["state"] = (label, [context_of(text) or "" for text in labels])
        obs = pd.DataFrame(
            {name: _categorise(*column) for name, column in columns.items()},
            index=[f"cell_{i:0{width}d}" for i in range(1, truth.n_cells + 1)],
        )
        uns = {"simulated": True, "seed": truth.seed}
        write_tables(file, obs=obs, var=pd.DataFrame(index=truth.genes), uns=uns)


def _categorise(codes: np.ndarray, names: Sequence[str]) -> "pd.Categorical":
    """The name of each cell; names may be there twice."""
    import pandas as pd

    kinds = list(dict.fromkeys(names))
    place = np.array([kinds.index(name) for name in names])
    return pd.Categorical.from_codes(place[codes], kinds).remove_unused_categories()
