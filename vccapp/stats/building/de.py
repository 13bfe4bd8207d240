"""Differential expression of every perturbation against its context's controls, over all genes, from the gene store.

Two-sided Mann-Whitney U on log1p values with mid-ranks, tie correction and continuity, normal approximation: equal to
`scipy.stats.mannwhitneyu(group, control, method="asymptotic")`. FDR is Benjamini-Hochberg per perturbation over all
genes. Fold changes: geometric, of expm1(mean log1p) (2025), and arithmetic, of mean counts per million (2026).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from vccapp.data.atomic import reserve, write_json
from vccapp.progress import Progress, part, silent
from vccapp.records import Format, read_record
from vccapp.stats.building.executor import LOCAL, Executor, cut_evenly
from vccapp.stats.building.read_ahead import read_ahead
from vccapp.stats.false_discovery import adjust_p_values
from vccapp.stats.store import GeneStore

COLUMNS = {
    "p_value": np.float64,
    "fdr": np.float32,
    "statistic": np.float64,
    "lfc_2025": np.float32,
    "lfc_2026": np.float32,
}
"""One .npy file a column, (n_perturbations, n_genes), the control's row left at 1 or 0."""

EPSILON_2026 = 1e-9

DONE = Format("genes compared", fix="delete the folder and build the index again")
CHECKPOINT_GENES = 2048
"""Finished genes are noted as often as this."""

TASKS_PER_SLOT = 4
"""On a cluster, so that slower machines take fewer."""


def compute_de(
    store: GeneStore,
    scaling: np.ndarray,
    codes: np.ndarray,
    control: np.ndarray,
    *,
    target_sums: Sequence[float],
    folder: Path,
    executor: Executor = LOCAL,
    block_genes: int = 64,
    progress: Progress = silent,
) -> None:
    """Write COLUMNS into `folder`, going on after the last gene that an interrupted call finished.

    scaling : (n_cells,) float32, zeros for log1p input; codes : (n_cells,) perturbation of each cell
    control : (n_perturbations,) perturbation that each is compared with; target_sums : of each context, (n_contexts,)
    Memory of a task: about 4 bytes x block_genes x n_cells, six times.
    """
    n_perturbations = len(control)
    shape = (n_perturbations, store.n_genes)
    folder.mkdir(exist_ok=True)
    done_file = folder / "genes_done.json"
    done = read_record(done_file, DONE, lambda saved: int(saved["genes"])) if done_file.exists() else 0
    mode = "r+" if done else "w+"
    out = {
        name: np.lib.format.open_memmap(folder / f"{name}.npy", mode, None if done else dtype, None if done else shape)
        for name, dtype in COLUMNS.items()
    }
    for name in COLUMNS:
        reserve(folder / f"{name}.npy")
    left = store.n_genes - done
    n_ranges = max(-(-left // CHECKPOINT_GENES), TASKS_PER_SLOT * executor.slots if executor.slots > 1 else 1)
    ranges = [(done + a, done + b) for a, b in cut_evenly(left, parts=n_ranges, unit=block_genes)]
    work = partial(_compare_genes, store, scaling, codes, control, target_sums, block_genes)
    results = executor.map(work, ranges, progress=part(progress, done / store.n_genes, 1.0))
    for (first, last), columns in zip(ranges, results, strict=True):
        for name, values in columns.items():
            out[name][:, first:last] = values
        for column in out.values():
            column.flush()
        write_json(done_file, DONE.stamp({"genes": last}))
    for row in range(n_perturbations):
        out["fdr"][row] = adjust_p_values(out["p_value"][row])
    for column in out.values():
        column.flush()


def _compare_genes(
    store: GeneStore,
    scaling: np.ndarray,
    codes: np.ndarray,
    control: np.ndarray,
    target_sums: Sequence[float],
    block_genes: int,
    genes: tuple[int, int],
    progress: Progress,
) -> dict[str, np.ndarray]:
    """COLUMNS but for the FDR of a range of genes: (n_perturbations, genes of the range) each."""
    begin, end = genes
    out = {name: np.empty((len(control), end - begin), dtype) for name, dtype in COLUMNS.items() if name != "fdr"}
    contexts = _split_contexts(codes, control, target_sums)

    def read_blocks() -> Iterator[tuple[int, int, np.ndarray, np.ndarray]]:
        for first in range(begin, end, block_genes):
            last = min(end, first + block_genes)
            values = store.read(first, last)
            if scaling.any():
                values /= scaling
                yield first, last, np.log1p(values), values
            else:
                yield first, last, values, np.expm1(values)

    for first, last, log_values, linear_values in read_ahead(read_blocks()):
        here = slice(first - begin, last - begin)
        for context in contexts:
            for name, column in context.compare(log_values, linear_values).items():
                out[name][context.perturbations, here] = column
        progress((last - begin) / (end - begin), f"differential expression, gene {last:,} of {store.n_genes:,}")
    return out


@dataclass(frozen=True)
class _Context:
    """The cells and perturbations that are compared with each other.

    perturbations : numbers of its perturbations, the control first; cells : which are its own, None for all
    codes : (its cells,) int32 places among its perturbations; sizes : cells of each; million : of its depth
    """

    perturbations: np.ndarray
    cells: np.ndarray | None
    codes: np.ndarray
    sizes: np.ndarray
    million: float

    def compare(self, log_values: np.ndarray, linear_values: np.ndarray) -> dict[str, np.ndarray]:
        """Columns, (its perturbations, genes) each, of the values of some genes over all cells, (genes, n_cells)."""
        from numba import get_num_threads

        from vccapp.stats import kernels

        if self.cells is not None:
            log_values, linear_values = log_values[:, self.cells], linear_values[:, self.cells]
        threads = min(get_num_threads(), len(log_values))
        u, ties, logs, linear = kernels.rank_sums(
            log_values, linear_values, self.codes, len(self.sizes), self.sizes, threads
        )
        with np.errstate(divide="ignore", invalid="ignore"):
            geometric = np.expm1(logs / self.sizes)
            arithmetic = linear / self.sizes * self.million + EPSILON_2026
            lfc_2025 = np.log2(geometric / geometric[:, :1])
            lfc_2026 = np.log2(arithmetic / arithmetic[:, :1])
        return {
            "statistic": u.T,
            "p_value": kernels.p_values(u, ties, self.sizes).T,
            "lfc_2025": np.nan_to_num(lfc_2025, nan=0.0, posinf=np.inf, neginf=-np.inf).T,
            "lfc_2026": lfc_2026.T,
        }


def _split_contexts(codes: np.ndarray, control: np.ndarray, target_sums: Sequence[float]) -> list[_Context]:
    contexts = []
    for number, target_sum in enumerate(target_sums):
        perturbations = np.flatnonzero(control == number)  # their control is the first of them
        place = np.full(len(control), -1, np.int32)
        place[perturbations] = np.arange(len(perturbations))
        cells = None if len(target_sums) == 1 else np.flatnonzero(place[codes] >= 0)
        own = place[codes if cells is None else codes[cells]]
        sizes = np.bincount(own, minlength=len(perturbations)).astype(np.int64)
        contexts.append(_Context(perturbations, cells, own, sizes, 1e6 / target_sum))
    return contexts
