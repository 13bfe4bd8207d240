"""Differential expression of every perturbation against the controls, over all genes, from the gene-major store.

Two-sided Mann-Whitney U on log1p values with mid-ranks, tie correction and continuity, normal approximation: equal to
`scipy.stats.mannwhitneyu(group, control, method="asymptotic")`. FDR is Benjamini-Hochberg per perturbation over all
genes. Fold changes: geometric, of expm1(mean log1p) (2025), and arithmetic, of mean counts per million (2026).
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from vccapp.data.atomic import read_json, write_json
from vccapp.progress import Progress, silent
from vccapp.stats.read_ahead import read_ahead
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

CHECKPOINT_GENES = 2048
"""Finished genes are noted as often as this."""


def compute_de(
    store: GeneStore,
    scaling: np.ndarray,
    codes: np.ndarray,
    n_perturbations: int,
    *,
    target_sum: float,
    folder: Path,
    block_genes: int = 64,
    progress: Progress = silent,
) -> None:
    """Write COLUMNS into `folder`, going on after the last gene that an interrupted call finished.

    scaling : (n_cells,) float32, zeros for log1p input; codes : (n_cells,) perturbation of each cell, 0 the control.
    Memory: about 4 bytes x block_genes x n_cells, six times.
    """
    from numba import get_num_threads

    from vccapp.stats import kernels

    sizes = np.bincount(codes, minlength=n_perturbations).astype(np.int64)
    codes = codes.astype(np.int32)
    shape = (n_perturbations, store.n_genes)
    folder.mkdir(exist_ok=True)
    done_file = folder / "genes_done.json"
    done = read_json(done_file) if done_file.exists() else 0
    mode = "r+" if done else "w+"
    out = {
        name: np.lib.format.open_memmap(folder / f"{name}.npy", mode, None if done else dtype, None if done else shape)
        for name, dtype in COLUMNS.items()
    }
    million = 1e6 / target_sum

    def read_blocks() -> Iterator[tuple[int, int, np.ndarray, np.ndarray]]:
        for first in range(done, store.n_genes, block_genes):
            last = min(store.n_genes, first + block_genes)
            values = store.read(first, last)
            if scaling.any():
                values /= scaling
                yield first, last, np.log1p(values), values
            else:
                yield first, last, values, np.expm1(values)

    for first, last, log_values, linear_values in read_ahead(read_blocks()):
        u, ties, logs, linear = kernels.rank_sums(
            log_values, linear_values, codes, n_perturbations, sizes, min(get_num_threads(), last - first)
        )
        out["statistic"][:, first:last] = u.T
        out["p_value"][:, first:last] = kernels.p_values(u, ties, sizes).T
        with np.errstate(divide="ignore", invalid="ignore"):
            geometric = np.expm1(logs / sizes)
            arithmetic = linear / sizes * million + EPSILON_2026
            out["lfc_2025"][:, first:last] = np.nan_to_num(
                np.log2(geometric / geometric[:, :1]), nan=0.0, posinf=np.inf, neginf=-np.inf
            ).T
            out["lfc_2026"][:, first:last] = np.log2(arithmetic / arithmetic[:, :1]).T
        if last // CHECKPOINT_GENES > first // CHECKPOINT_GENES:
            for column in out.values():
                column.flush()
            write_json(done_file, last)
        progress(last / store.n_genes, f"differential expression, gene {last:,} of {store.n_genes:,}")
    for row in range(n_perturbations):
        out["fdr"][row] = benjamini_hochberg(out["p_value"][row])
    for column in out.values():
        column.flush()
    done_file.unlink(missing_ok=True)


def benjamini_hochberg(p: np.ndarray) -> np.ndarray:
    """Adjusted p-values over the last axis (Benjamini & Hochberg 1995)."""
    from scipy.stats import false_discovery_control

    return false_discovery_control(p, axis=-1)
