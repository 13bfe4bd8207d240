"""The cells of a submission, streamed from control cells and models into an h5ad: context by context, in each the
controls first, then each perturbation in the plan's order; log1p values or counts, as the plan says.

What was made when it is stopped or killed stays, and the next start goes on after it
(`vccapp.submission.making.unfinished`).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from scipy.sparse import csr_matrix

from vccapp.data.h5ad import CsrWriter
from vccapp.data.reading.dataset import Dataset
from vccapp.data.schema import is_control, label_in, target_of
from vccapp.errors import SpecError
from vccapp.models.base import hash_genes
from vccapp.progress import Progress, silent
from vccapp.seasons.base import SEASONS, Season
from vccapp.seasons.gene_list import find_columns, read_gene_list
from vccapp.stats.index import Index
from vccapp.submission.making.unfinished import open_unfinished
from vccapp.submission.plan import Part, Plan
from vccapp.training.cells import Predictor, iter_cells, order_genes
from vccapp.training.counts import CountPool, Wanted, copy_controls, iter_counts

DECIDING = ("vccapp", "numpy", "scipy", "h5py", "anndata", "numba", "torch")
"""Packages with other versions of which cells that were begun are not gone on with."""


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
    when_made: Callable[[], None] = lambda: None,
    progress: Progress = silent,
) -> None:
    """Write the plan's cells to `out_h5ad` (float32 CSR, genes in the gene list's order); it appears when it is whole.

    sources : by context of the submission, as `plan.sources`; season : as `find_season` gives it, else as registered
    when_made : called when the file is whole, before it appears
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
    pieces = [(own, label, n) for own in plan.parts for label, n in _cells(own).items()]
    total = plan.estimate.n_cells
    with open_unfinished(out_h5ad, _key(plan, season, genes)) as work:
        columns = [_columns(season, own, label) for own, label, _ in pieces]
        done = sum(work.done)
        progress(done / total, f"Going on after {done:,} cells" if done else f"Making {total:,} cells")
        with CsrWriter(
            work.path,
            genes=genes,
            pert_col=season.pert_col,
            context_col=season.context_col,
            reserved=plan.estimate.h5ad_bytes,
            expected=plan.estimate.n_values,
            again=work.begun,
        ) as writer:
            work.resume(writer, columns[: len(work.done)])
            rows, values = 0, 0
            for label, block in _iter_pieces(plan, sources, genes, skip=len(work.done)):
                writer.append(block, *columns[len(work.done)])
                rows, values, done = rows + block.shape[0], values + block.nnz, done + block.shape[0]
                if rows == pieces[len(work.done)][2]:
                    work.keep(writer, rows, values)
                    rows, values = 0, 0
                progress(done / total, f"{done:,} of {total:,} cells, finished {label}")
        progress(1.0, f"{total:,} cells generated")
        when_made()


def _key(plan: Plan, season: Season, genes: Sequence[str]) -> dict[str, Any]:
    """What the bytes of the cells depend on."""
    return {
        "plan": plan.model_dump(mode="json"),
        "columns": [season.pert_col, season.context_col, season.control_label],
        "genes": hash_genes(genes),
        "versions": {name: version(name) for name in DECIDING},
    }


def _columns(season: Season, own: Part, label: str) -> tuple[str, ...]:
    """What obs says of the cells of a label."""
    name = season.control_label if is_control(label) else target_of(label)
    return (name,) if season.context_col is None else (name, own.context or "")


def _cells(own: Part) -> dict[str, int]:
    """Cells to make of one context, by label of the submission."""
    return {label_in(target, own.context): n for target, n in own.cells.items() if n}


def _iter_pieces(
    plan: Plan, sources: Mapping[str, Opened], genes: Sequence[str], *, skip: int
) -> Iterator[tuple[str, csr_matrix]]:
    """Blocks of cells by label, after the first `skip` labels."""
    for own in plan.parts:
        n_labels = len(_cells(own))
        if skip < n_labels:
            yield from _iter_part(plan, own, sources[own.context or ""], genes, skip=skip)
        skip = max(skip - n_labels, 0)


def _iter_part(
    plan: Plan, own: Part, opened: Opened, genes: Sequence[str], *, skip: int
) -> Iterator[tuple[str, csr_matrix]]:
    columns = find_columns(tuple(genes), opened.index.genes["gene"].tolist())
    cells, copied = _cells(own), plan.controls == "copied"
    sources = {label: label_in(target_of(label), own.source.context) for label in cells}
    if plan.space == "counts":
        pool = CountPool(opened.dataset, opened.index, own.source.context, columns=columns)
        wanted = [Wanted(label, sources[label], n, _depth(plan, label)) for label, n in cells.items()]
        copies = [one for one in wanted if copied and is_control(one.label)]
        predicted = wanted[len(copies) :]
        for one in copies[skip:]:
            yield from ((one.label, block) for block in copy_controls(pool, one, seed=plan.seed))
        skip = max(skip - len(copies), 0)
        for one, block in iter_counts(pool, opened.model, predicted, method=plan.counts, seed=plan.seed, skip=skip):
            yield one.label, block
        return
    left = list(cells)[skip:]
    names = {sources[label]: label for label in left}
    by_source = {sources[label]: cells[label] for label in left}
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
