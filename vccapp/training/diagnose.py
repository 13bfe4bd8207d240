"""Diagnostics of a run, on its stored predictions and on a few of its cells.

findings = diagnose_run("20261121-142233-state-a1b2", "test", settings)
"""

import numpy as np
from scipy.sparse import csr_matrix, vstack

from vccapp.data.reading.dataset import Dataset
from vccapp.data.schema import context_of, control_of, is_control
from vccapp.data.workspace import open_registered
from vccapp.evaluation.comparison.diagnostics import CellStatistics, Finding, compute_diagnostics
from vccapp.evaluation.quality import count_profiles, sign_cells, sum_counts
from vccapp.models.base import Model, load_model
from vccapp.models.imported import Imported
from vccapp.settings import Settings
from vccapp.stats.index import Index, load_index
from vccapp.training.cells import iter_cells
from vccapp.training.record import Part, load_run

MAX_LABELS, MAX_CELLS = 8, 100
"""Perturbations and cells of each that are looked at: 1 to 2 s at 18,080 genes."""


def diagnose_run(
    run_id: str, name: Part, settings: Settings, *, context: str | None = None, seed: int = 0
) -> list[Finding]:
    """Findings on the `name` part, the worst first. Raises SpecError where the run predicts nothing of it."""
    run = load_run(run_id, settings)
    labels, deltas = run.require_prediction(name)
    index = load_index(settings.index_of(run.spec.dataset))
    if context is not None:
        index.within(context)
        kept = [i for i, label in enumerate(labels) if context_of(label) == context]
        labels, deltas = [labels[i] for i in kept], deltas[kept]
    model = load_model(run.folder / "model", genes=index.genes["gene"].tolist())
    dataset = open_registered(run.spec.dataset, settings)
    spread = np.unique(np.linspace(0, len(labels) - 1, min(MAX_LABELS, len(labels))).astype(int))
    cells = measure_cells(dataset, index, model, [labels[i] for i in spread], seed=seed)
    own = None
    if isinstance(model, Imported):
        found = [control for label in labels if (control := model.control_of_file(label)) is not None]
        own = np.stack(found) if len(found) == len(labels) else None
    return compute_diagnostics(index, labels, deltas, cells=cells, file_control=own)


def measure_cells(
    dataset: Dataset, index: Index, model: Model, labels: list[str], *, n_cells: int = MAX_CELLS, seed: int = 0
) -> CellStatistics:
    """Statistics of at most `n_cells` predicted cells of each perturbation."""
    wanted = dict.fromkeys(map(control_of, labels), n_cells)
    for label in labels:
        available = model.available_cells(label)
        wanted[label] = n_cells if available is None else min(n_cells, available)
    blocks: dict[str, list[csr_matrix]] = {}
    for label, made in iter_cells(dataset, index, model, wanted, seed=seed):
        blocks.setdefault(label, []).append(made.block)
    cells = {label: vstack(parts, format="csr") for label, parts in blocks.items()}
    controls = {label: _median_total(block) for label, block in cells.items() if is_control(label)}
    return CellStatistics(
        labels=tuple(labels),
        variance=np.array([_variance(cells[label]) for label in labels]),
        total=np.array([_median_total(cells[label]) for label in labels]),
        control_total=np.array([controls[control_of(label)] for label in labels]),
        n_cells=np.array([cells[label].shape[0] for label in labels]),
        n_profiles=np.array([count_profiles(sign_cells(cells[label])) for label in labels]),
    )


def _variance(cells: csr_matrix) -> np.ndarray:
    """(n_genes,) population variance, float64."""
    cells = cells.astype(np.float64)
    mean = np.asarray(cells.mean(axis=0)).ravel()
    return np.asarray(cells.multiply(cells).mean(axis=0)).ravel() - mean**2


def _median_total(cells: csr_matrix) -> float:
    return float(np.median(sum_counts(cells)))
