"""The cells of a submission, streamed from control cells and models into an h5ad: context by context, in each the
controls first, then each perturbation in the plan's order; log1p values or counts, as the plan says.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from scipy.sparse import csr_matrix

from vccapp.data.h5ad import CsrWriter
from vccapp.data.reading.dataset import Dataset
from vccapp.data.schema import is_control, label_in, target_of
from vccapp.errors import SpecError
from vccapp.progress import Progress, silent
from vccapp.seasons.base import SEASONS, Season
from vccapp.seasons.gene_list import find_columns, read_gene_list
from vccapp.stats.index import Index
from vccapp.submission.plan import Part, Plan
from vccapp.training.cells import Predictor, iter_cells, order_genes
from vccapp.training.counts import CountPool, Wanted, copy_controls, iter_counts


@dataclass(frozen=True)
class Opened:
    """What a source of a plan names, opened. model : of its run, aligned to the data (`align_model`)"""

    dataset: Dataset
    index: Index
    model: Predictor


def generate(
    plan: Plan,
    sources: Mapping[str, Opened],
    out_h5ad: Path,
    *,
    season: Season | None = None,
    progress: Progress = silent,
) -> None:
    """Write the plan's cells to `out_h5ad` (float32 CSR, genes in the gene list's order).

    sources : by context of the submission, as `plan.sources`; season : as `find_season` gives it, else as registered
    Raises SpecError when the plan is of other data, or the model makes values that no submission may have.
    """
    season = SEASONS[plan.season] if season is None else season
    for context, source in plan.sources.items():
        if {source.dataset} != {sources[context].index.meta["fingerprint"], sources[context].dataset.fingerprint}:
            raise SpecError(
                "data_changed",
                f"The plan is for the dataset {source.dataset}, but the open one is "
                f"{sources[context].dataset.fingerprint}",
                fix="create the plan again",
            )
    genes = plan_genes(plan, next(iter(sources.values())).index, season)
    total, done = plan.estimate.n_cells, 0
    progress(0.0, f"Making {total:,} cells")
    with CsrWriter(
        out_h5ad,
        genes=genes,
        pert_col=season.pert_col,
        context_col=season.context_col,
        reserved=plan.estimate.h5ad_bytes,
    ) as writer:
        for own in plan.parts:
            for label, block in _iter_part(plan, own, sources[own.context or ""], genes):
                name = season.control_label if is_control(label) else target_of(label)
                writer.append(block, *[name, own.context or ""][: 1 + (season.context_col is not None)])
                done += block.shape[0]
                progress(done / total, f"{done:,} of {total:,} cells, finished {label}")
        progress(1.0, f"{total:,} cells generated")


def _iter_part(plan: Plan, own: Part, opened: Opened, genes: Sequence[str]) -> Iterator[tuple[str, csr_matrix]]:
    """Blocks of cells of one context, by label of the submission."""
    columns = find_columns(tuple(genes), opened.index.genes["gene"].tolist())
    labels = {label_in(target, own.context): label_in(target, own.source.context) for target in own.cells}
    cells = {label: n for label, n in zip(labels, own.cells.values(), strict=True) if n}
    copied = plan.controls == "copied"
    if plan.space == "counts":
        pool = CountPool(opened.dataset, opened.index, own.source.context, columns=columns)
        wanted = [Wanted(label, labels[label], n, _depth(plan, label)) for label, n in cells.items()]
        for one in wanted:
            if copied and is_control(one.label):
                yield from ((one.label, block) for block in copy_controls(pool, one, seed=plan.seed))
        predicted = [one for one in wanted if not (copied and is_control(one.label))]
        for one, block in iter_counts(pool, opened.model, predicted, method=plan.counts, seed=plan.seed):
            yield one.label, block
        return
    by_source = {labels[label]: n for label, n in cells.items()}
    names = {source: label for label, source in labels.items()}
    made = iter_cells(
        opened.dataset, opened.index, opened.model, by_source, seed=plan.seed, predict_controls=not copied
    )
    for source, own_cells in made:
        yield names[source], order_genes(own_cells.block, columns)


def _depth(plan: Plan, label: str) -> float | None:
    """What cells of the label should sum to; controls keep their own depth."""
    return None if is_control(label) else plan.depths.get(label, plan.depth)


def plan_genes(plan: Plan, index: Index, season: Season) -> tuple[str, ...]:
    """The genes of the submission in order: of the plan's list, of the season, or of the data."""
    if plan.genes is not None:
        return read_gene_list(plan.genes).genes
    official = season.genes if plan.order == "season" else None
    return tuple(index.genes["gene"].tolist()) if official is None else official
