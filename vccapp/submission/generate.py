"""The cells of a submission, streamed from control cells and models into an h5ad: context by context, in each the
controls first, then each perturbation in the plan's order.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from vccapp.data.h5ad import CsrWriter
from vccapp.data.reading.dataset import Dataset
from vccapp.data.schema import is_control, target_of
from vccapp.errors import SpecError
from vccapp.models.base import Model
from vccapp.progress import Progress, silent
from vccapp.seasons.base import SEASONS
from vccapp.seasons.gene_list import find_columns, read_gene_list
from vccapp.stats.index import Index
from vccapp.submission.plan import Plan
from vccapp.training.cells import iter_cells, order_genes


@dataclass(frozen=True)
class Opened:
    """What a source of a plan names, opened."""

    dataset: Dataset
    index: Index
    model: Model


def generate(plan: Plan, sources: Mapping[str, Opened], out_h5ad: Path, *, progress: Progress = silent) -> None:
    """Write the plan's cells to `out_h5ad` (log1p float32 CSR, genes in the gene list's order).

    sources : by context of the submission, as `plan.sources`
    Raises SpecError when the plan is of other data, or the model makes values that no submission may have.
    """
    for context, source in plan.sources.items():
        if {source.dataset} != {sources[context].index.meta["fingerprint"], sources[context].dataset.fingerprint}:
            raise SpecError(
                "data_changed",
                f"The plan is for the dataset {source.dataset}, but the open one is "
                f"{sources[context].dataset.fingerprint}",
                fix="create the plan again",
            )
    season = SEASONS[plan.season]
    genes = plan_genes(plan, next(iter(sources.values())).index)
    total, done = plan.estimate.n_cells, 0
    progress(0.0, f"Making {total:,} cells")
    with CsrWriter(out_h5ad, genes=genes, pert_col=season.pert_col, reserved=plan.estimate.h5ad_bytes) as writer:
        for plan_part in plan.parts:
            opened = sources[plan_part.context or ""]
            columns = find_columns(genes, opened.index.genes["gene"].tolist())
            made = iter_cells(opened.dataset, opened.index, opened.model, plan_part.labels, seed=plan.seed)
            for label, cells in made:
                name = season.control_label if is_control(label) else target_of(label)
                writer.append(order_genes(cells.block, columns), name)
                done += cells.block.shape[0]
                progress(done / total, f"{done:,} of {total:,} cells, finished {label}")
        progress(1.0, f"{total:,} cells generated")


def plan_genes(plan: Plan, index: Index) -> tuple[str, ...]:
    """The genes of the submission in order: of the plan's list, of the season, or of the data."""
    if plan.genes is not None:
        return read_gene_list(plan.genes).genes
    official = SEASONS[plan.season].genes if plan.order == "season" else None
    return tuple(index.genes["gene"].tolist()) if official is None else official
