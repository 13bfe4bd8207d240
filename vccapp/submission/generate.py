"""The cells of a submission, streamed from the training controls and a model into an h5ad: controls first, then each
perturbation in the plan's order.
"""

from pathlib import Path

from vccapp.challenges.base import CHALLENGES
from vccapp.data.h5ad import CsrWriter
from vccapp.data.reading.dataset import Dataset
from vccapp.data.schema import is_control, target_of
from vccapp.errors import SpecError
from vccapp.models.base import Model
from vccapp.progress import Progress, silent
from vccapp.stats.index import Index
from vccapp.submission.gene_list import find_columns, read_gene_list
from vccapp.submission.plan import Plan
from vccapp.training.cells import iter_cells, order_genes


def generate(
    plan: Plan, dataset: Dataset, index: Index, model: Model, out_h5ad: Path, *, progress: Progress = silent
) -> None:
    """Write the plan's cells to `out_h5ad` (log1p float32 CSR, genes in the gene list's order).

    Raises SpecError when the plan is of other data, or the model makes values that no submission may have.
    """
    if plan.dataset != index.meta["fingerprint"] or plan.dataset != dataset.fingerprint:
        raise SpecError(
            "data_changed",
            f"The plan is for the dataset {plan.dataset}, but the open one is {dataset.fingerprint}",
            fix="create the plan again",
        )
    challenge = CHALLENGES[plan.challenge]
    training_genes = index.genes["gene"].tolist()
    genes = read_gene_list(plan.genes).genes if plan.genes is not None else tuple(training_genes)
    columns = find_columns(genes, training_genes)
    total, done = plan.estimate.n_cells, 0
    progress(0.0, f"Making {total:,} cells")
    with CsrWriter(out_h5ad, genes=genes, pert_col=challenge.pert_col, reserved=plan.estimate.h5ad_bytes) as writer:
        for label, cells in iter_cells(dataset, index, model, plan.labels_in_order, seed=plan.seed):
            name = challenge.control_label if is_control(label) else target_of(label)
            writer.append(order_genes(cells.block, columns), name)
            done += cells.block.shape[0]
            progress(done / total, f"{done:,} of {total:,} cells, finished {label}")
        progress(1.0, f"{total:,} cells generated")
