"""A twin of real data, from published tables alone: no cell of it is read.

    python tools/twin.py twin.h5ad --like FOLDER ... [--cells 4000] [--seed 0]

Taken over: gene names and order, mean and non-zero fraction of every gene, cells per target and batch, library size,
and how many genes each perturbation changes. Invented: which genes those are, guides, and batch effects.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import ndtr, ndtri

from vccapp.data.schema import CONTROL
from vccapp.data.significance import FDR
from vccapp.data.simulation.experiment import (
    EFFICACY,
    Simulation,
    SimulationSpec,
    assemble,
    draw_effects,
    draw_programmes,
    find_targets,
    share_out,
)
from vccapp.data.simulation.simulate import write_simulation
from vccapp.errors import DataError, SpecError
from vccapp.progress import Progress, silent

FILES = {  # name: the columns that are read
    "gene_names.csv": (),
    "gene_statistics.csv": ("gene", "mean", "nonzero_fraction"),
    "gene_delta_with_nonzero_fraction.csv": ("gene", "ctrl_mean"),
    "perturbation_batch_counts.csv": ("target_gene", "batch", "cell_n"),
    "pert_counts_Training.csv": ("target_gene", "n_cells"),
    "perturbation_strength.csv": ("gene", "cell_count", "affected_genes"),
    "cell_eval_results_30_targets.csv": ("perturbation", "de_nsig_counts_real"),
}
NUMBERS = {
    "mean",
    "nonzero_fraction",
    "ctrl_mean",
    "cell_n",
    "n_cells",
    "cell_count",
    "affected_genes",
    "de_nsig_counts_real",
}
MIN_CELLS = 3  # of each perturbation, however far the twin is scaled down
DISPERSION = (0.001, 20.0)
MEAN_EFFICACY = EFFICACY[0] / sum(EFFICACY)


@dataclass(frozen=True)
class Tables:
    """What the tables say. Control is perturbation 0."""

    genes: list[str]
    mean: np.ndarray  # (genes,) UMIs a cell over all cells
    nonzero_fraction: np.ndarray  # (genes,)
    control_umis: float  # mean UMIs of a control cell
    perturbations: list[str]
    batches: list[str]
    cells: np.ndarray  # (perturbations, batches) int64
    degs: np.ndarray  # (perturbations,) genes at Wilcoxon FDR < 0.05 against the controls; NaN for the controls


def read_tables(*folders: Path) -> Tables:
    """Find the files by name in `folders` and read them. Raises DataError naming what is missing or does not agree."""
    read = {name: _read(name, columns, folders) for name, columns in FILES.items()}
    genes = read["gene_names.csv"].iloc[:, 0].tolist()
    statistics = _by_gene(read["gene_statistics.csv"], genes, "gene_statistics.csv")
    control = _by_gene(read["gene_delta_with_nonzero_fraction.csv"], genes, "gene_delta_with_nonzero_fraction.csv")
    cells = read["perturbation_batch_counts.csv"].pivot_table(
        index="target_gene", columns="batch", values="cell_n", aggfunc="sum", fill_value=0
    )
    told = read["pert_counts_Training.csv"].set_index("target_gene")["n_cells"]
    if CONTROL not in cells.index:
        raise DataError(
            "tables_disagree",
            f"perturbation_batch_counts.csv has no '{CONTROL}' rows",
            fix="the twin needs the control cells of each batch",
        )
    cells = cells.loc[[CONTROL, *cells.index.drop(CONTROL)]]
    if not told.sort_index().equals(cells.sum(axis=1).sort_index().rename_axis("target_gene").rename("n_cells")):
        raise DataError(
            "tables_disagree",
            "perturbation_batch_counts.csv and pert_counts_Training.csv disagree on cells per target",
            fix="use one release",
        )
    return Tables(
        genes=genes,
        mean=statistics["mean"].to_numpy(np.float64),
        nonzero_fraction=statistics["nonzero_fraction"].to_numpy(np.float64),
        control_umis=float(control["ctrl_mean"].sum()),
        perturbations=cells.index.tolist(),
        batches=cells.columns.tolist(),
        cells=cells.to_numpy(np.int64),
        degs=_deg_counts(cells.index, read["perturbation_strength.csv"], read["cell_eval_results_30_targets.csv"]),
    )


def _read(name: str, columns: tuple[str, ...], folders: tuple[Path, ...]) -> pd.DataFrame:
    path = next((Path(folder) / name for folder in folders if (Path(folder) / name).is_file()), None)
    if path is None:
        raise DataError(
            "table_missing",
            f"The twin needs {name}, which is not in {', '.join(map(str, folders)) or 'any folder'}",
            fix="add its folder",
        )
    try:
        table = pd.read_csv(path, header="infer" if columns else None, keep_default_na=False)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise DataError(
            "table_unreadable",
            f"{path} is not a readable CSV table ({error})",
            fix="fetch it again",
        ) from None
    missing = [column for column in columns if column not in table.columns]
    if missing:
        raise DataError(
            "no_column",
            f"{path} has no column {', '.join(missing)} but {', '.join(map(str, table.columns))}",
            fix="fetch it again",
        )
    for column in set(columns) & NUMBERS:
        table[column] = pd.to_numeric(table[column], errors="coerce")
        bad = table[column].isna().sum()
        if bad:
            raise DataError(
                "not_numbers",
                f"{path} has {bad:,} values in column {column} that are no numbers",
                fix="fetch it again",
            )
    return table


def _by_gene(table: pd.DataFrame, genes: list[str], name: str) -> pd.DataFrame:
    table = table.drop_duplicates("gene").set_index("gene")
    absent = [gene for gene in genes if gene not in table.index]
    if absent:
        raise DataError(
            "genes_differ",
            f"{name} lacks {len(absent):,} genes of gene_names.csv ({absent[0]} first)",
            fix="use tables of one release",
        )
    return table.loc[genes]


def _deg_counts(labels: pd.Index, strength: pd.DataFrame, known: pd.DataFrame) -> np.ndarray:
    """Wilcoxon DEGs of each perturbation: as published where it is, else from its count of clearly affected genes.

    The published count of clearly affected genes has a fold-change cut; on the perturbations with both counts,
    ln(DEGs) is regressed on ln(affected genes) and ln(cells), and kept within the published range.
    """
    strength = strength.set_index("gene").reindex(labels)
    predictors = np.log(strength[["affected_genes", "cell_count"]].clip(lower=1).to_numpy(np.float64))
    design = np.column_stack([np.ones(len(labels)), predictors])
    degs = known.set_index("perturbation")["de_nsig_counts_real"].reindex(labels).to_numpy(np.float64)
    both = np.isfinite(degs) & np.isfinite(design).all(axis=1)
    if both.sum() < design.shape[1]:
        raise DataError(
            "tables_disagree",
            f"Only {both.sum()} perturbations have both an affected-gene and a DEG count",
            fix="use tables of one release",
        )
    coefficients, *_ = np.linalg.lstsq(design[both], np.log(np.maximum(degs[both], 1)), rcond=None)
    fitted = np.clip(np.exp(design @ coefficients), np.nanmin(degs), np.nanmax(degs))
    degs = np.where(np.isfinite(degs), degs, fitted)
    absent = [label for label, n in zip(labels, degs, strict=True) if label != CONTROL and not np.isfinite(n)]
    if absent:
        raise DataError(
            "tables_disagree",
            f"perturbation_strength.csv lacks {len(absent)} targets ({absent[0]} first)",
            fix="use tables of one release",
        )
    return degs


def simulate_twin(spec: SimulationSpec, out: Path, tables: Tables, *, progress: Progress = silent) -> Path:
    """Write a twin of the data behind `tables` to `out` and its truth beside it; returns `out`."""
    return write_simulation(lambda: draw_twin(spec, tables), out, compression=spec.compression, progress=progress)


def draw_twin(spec: SimulationSpec, tables: Tables) -> Simulation:
    """The truth of a twin. Of the spec it takes n_cells, n_guides, spreads, n_programmes and seed; the rest is told."""
    rng = np.random.default_rng([spec.seed, 2])
    cells = scale_cells(tables.cells, tables.cells.sum() if spec.n_cells is None else spec.n_cells, rng)
    dispersion = solve_dispersion(tables.mean, tables.nonzero_fraction, library_spread=spec.library_spread)
    targets = find_targets(tables.perturbations, tables.genes)
    singles, owner = np.unique(targets[1:, 0], return_inverse=True)
    embedding, directions = draw_programmes(rng, len(tables.genes), singles, spec.n_programmes)
    rows = np.argsort(owner) + 1
    n_cells = tables.cells.sum(axis=1)
    for single, row in enumerate(rows):
        noise = np.sqrt((1 / np.maximum(tables.mean, 1e-9) + dispersion) * (1 / n_cells[row] + 1 / n_cells[0]))
        directions[single] *= calibrate_amplitude(MEAN_EFFICACY * directions[single], noise, n_degs=tables.degs[row])
    effects, knockdown = draw_effects(rng, targets, singles, directions)
    order = rng.permutation(cells.sum())
    cell_perturbation, cell_batch = (
        np.repeat(index, cells.ravel())[order] for index in np.indices(cells.shape).reshape(2, -1)
    )
    response = np.exp(MEAN_EFFICACY * effects)
    response /= (response @ tables.mean / tables.mean.sum())[:, None]
    return assemble(
        rng,
        spec,
        genes=tables.genes,
        labels=tables.perturbations,
        effects=effects,
        knockdown=knockdown,
        embedding=embedding,
        shares=tables.mean / (n_cells @ response / n_cells.sum()),
        dispersion=dispersion,
        batches=tables.batches,
        cell_perturbation=cell_perturbation,
        cell_batch=cell_batch,
        median_umis=tables.control_umis * np.exp(-(spec.library_spread**2) / 2),
    )


def scale_cells(cells: np.ndarray, n_cells: int, rng: np.random.Generator) -> np.ndarray:
    """Cells (perturbations, batches) of a twin with `n_cells`: proportional, each perturbation at least MIN_CELLS.

    At the size of the tables it returns the tables. Raises SpecError when there are too few cells to go round.
    """
    totals = cells.sum(axis=1)
    if n_cells < 2 * MIN_CELLS * len(totals):
        least = 2 * MIN_CELLS * len(totals)
        raise SpecError(
            "too_few_cells",
            f"{n_cells:,} cells are too few for {len(totals)} perturbations",
            fix=f"take {least:,} or more",
        )
    wanted = MIN_CELLS + share_out(
        n_cells - MIN_CELLS * len(totals), np.maximum(totals - MIN_CELLS * totals.sum() / n_cells, 0)
    )
    scaled = np.zeros_like(cells)
    for row, (total, real) in enumerate(zip(wanted, cells, strict=True)):
        quotas = total * real / real.sum()
        scaled[row] = np.floor(quotas + 1e-9)
        rest = np.maximum(quotas - scaled[row], 0)
        left = total - scaled[row].sum()
        if left:
            scaled[row, rng.choice(len(real), left, replace=False, p=rest / rest.sum())] += 1
    return scaled


def solve_dispersion(mean: np.ndarray, nonzero_fraction: np.ndarray, *, library_spread: float) -> np.ndarray:
    """Negative binomial dispersion (genes,) at which a gene of this mean is seen in this fraction of cells.

    Solves 1 - nonzero = E[(1 + m phi)^(-1/phi)] over m = mean x relative library size, ln-normal of mean 1, by
    bisection on ln(phi); the expectation is a Gauss-Hermite sum. Ends at the bounds DISPERSION where no phi fits.
    """
    nodes, weights = np.polynomial.hermite_e.hermegauss(12)
    library = np.exp(library_spread * nodes - library_spread**2 / 2)
    rates = mean[:, None] * library
    low, high = (np.full(len(mean), np.log(bound)) for bound in DISPERSION)
    for _ in range(30):
        middle = (low + high) / 2
        phi = np.exp(middle)[:, None]
        zero = np.exp(-np.log1p(rates * phi) / phi) @ weights / weights.sum()
        too_many = zero > 1 - nonzero_fraction
        low, high = np.where(too_many, low, middle), np.where(too_many, middle, high)
    return np.exp((low + high) / 2)


def calibrate_amplitude(direction: np.ndarray, noise: np.ndarray, *, n_degs: float) -> float:
    """Scale of `direction` (genes,) at which about `n_degs` genes pass FDR < 0.05; `noise` is the standard error.

    Benjamini-Hochberg with k rejections of g tests cuts at p = FDR k / g, so the expected k solves
    sum_g P(|z_g| > cut) = k with z_g normal around scale x direction / noise. Bisection on ln(scale).
    """
    n_degs = min(n_degs, 0.9 * np.count_nonzero(direction))
    cut = -ndtri(FDR * n_degs / len(direction) / 2)
    low, high = np.log(1e-4), np.log(5.0)
    for _ in range(30):
        middle = (low + high) / 2
        shift = np.abs(np.exp(middle) * direction / noise)
        found = (ndtr(shift - cut) + ndtr(-shift - cut)).sum()
        low, high = (low, middle) if found > n_degs else (middle, high)
    return float(np.exp((low + high) / 2))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path, help="the .h5ad to write")
    parser.add_argument("--like", type=Path, nargs="+", required=True, help="folders of the tables")
    parser.add_argument("--cells", type=int, help="cells in all; without it, as many as the tables say")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    spec = SimulationSpec(n_cells=args.cells, seed=args.seed)
    print(simulate_twin(spec, args.out, read_tables(*args.like)))


if __name__ == "__main__":
    main()
