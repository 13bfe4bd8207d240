"""A run scored on its cells: the pair of files that every scorer of cells reads, and the scorer's result stored.

    score = score_run("latest-id", "test", "cell-eval", settings)

Predicted and real cells of each perturbation of the part, as many of one as of the other, and the same control cells
on both sides; of each context apart, with its own controls, as scorers compare all cells of a file with each other. The
files and all that the scorer writes stand in a scratch folder in the workspace and are removed.
"""

import dataclasses
import shutil
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix

from vccapp.data.atomic import scratch_folder
from vccapp.data.h5ad import CsrWriter
from vccapp.data.reading.dataset import Dataset
from vccapp.data.resources import count_threads, require_disk
from vccapp.data.schema import CONTROL, context_of, control_of, target_of
from vccapp.data.workspace import open_registered
from vccapp.errors import SpecError
from vccapp.evaluation.scorers.base import (
    PERT_COL,
    CellScorer,
    Scaled,
    ScorerResult,
    find_scorer,
    refuse_memory,
)
from vccapp.models.base import Model, load_model
from vccapp.progress import Progress, part, silent
from vccapp.seasons.base import MetricRules, Space
from vccapp.seasons.opened import DEFAULT, find_season
from vccapp.settings import Settings
from vccapp.stats.index import Index, load_index
from vccapp.training.cells import READ_VALUES, draw_controls, find_controls, iter_cells, order_genes, split_cells
from vccapp.training.counts import CountPool, Method, Wanted, iter_counts
from vccapp.training.record import Part, RunRecord, load_run
from vccapp.training.results.scores import Score, write_score

VALUE_BYTES = 8  # float32 value, int32 column
COUNTS: Method = "thin"
"""How predicted cells become counts: as those of a submission do by default."""


@dataclass(frozen=True)
class Pair:
    """What is scored of one context.

    cells : of each perturbation, on either side; controls : rows of the data, on both sides
    """

    dataset: Dataset
    index: Index
    model: Model
    cells: dict[str, int]
    controls: np.ndarray
    seed: int

    @property
    def n_cells(self) -> dict[str, int]:
        n = sum(self.cells.values())
        return {"predicted": n, "real": n, "controls": len(self.controls)}

    def restore_labels(self, table: pd.DataFrame) -> pd.DataFrame:
        """A scorer's table of targets, with the labels that they have in the data."""
        label = {target_of(label): label for label in self.cells}
        return table.assign(perturbation=[label.get(name, name) for name in table["perturbation"].astype(str)])

    @property
    def disk_bytes(self) -> float:
        """Both files, and the official baseline of the same cells."""
        per_cell = float(self.index.cells["genes"].mean()) * VALUE_BYTES
        dense = sum(self.cells.values()) * len(self.index.genes) * VALUE_BYTES
        return 2 * per_cell * (sum(self.cells.values()) + len(self.controls)) + dense


def score_run(
    run_id: str,
    name: Part,
    scorer: str,
    settings: Settings,
    *,
    season: str | None = None,
    max_cells: int | None = None,
    max_controls: int | None = None,
    seed: int = 0,
    keep: Path | None = None,
    progress: Progress = silent,
) -> Score:
    """Score the `name` part of a finished run, and store the result with the run.

    season : whose metrics our own computation gives, the first season's if None; the official scorers have theirs
    max_cells : of each perturbation, max_controls : of the controls; drawn by `seed`, all where None
    keep : folder to which the tables and the log of an official scorer are copied
    Raises SpecError for a choice that cannot be scored or a scorer that is not installed, ResourceError where memory or
    disk would not suffice, JobError where the scorer fails.
    """
    run = load_run(run_id, settings)
    labels, _ = run.require_prediction(name)
    chosen = find_scorer(scorer)
    by = {} if chosen.season else {"season": find_season(season or DEFAULT, settings).name}
    rules = chosen.season or find_season(by["season"], settings).metrics
    space = chosen.space(rules)
    index = load_index(settings.index_of(run.spec.dataset))
    if space == "counts" and index.meta["value_space"] != "counts":
        raise SpecError(
            "needs_counts",
            f"{scorer} by the rules of {rules} scores counts, but the dataset holds log1p values",
            fix="index a file of counts, or score by the rules of 2025",
        )
    model = load_model(run.folder / "model", genes=index.genes["gene"].tolist())
    dataset = open_registered(run.spec.dataset, settings)
    own: dict[str | None, list[str]] = {}
    for label in labels:
        own.setdefault(context_of(label), []).append(label)
    limits = {"max_cells": max_cells, "max_controls": max_controls}
    pairs = {context: make_pair(dataset, index, model, some, seed=seed, **limits) for context, some in own.items()}
    for pair in pairs.values():
        memory_bytes = settings.memory_bytes
        refuse_memory(chosen, pair.cells, len(pair.controls), len(index.genes), memory_bytes=memory_bytes)
    started = time.monotonic()
    results: list[ScorerResult] = []
    for done, (context, pair) in enumerate(pairs.items()):
        report = part(progress, 0.98 * done / len(pairs), 0.98 * (done + 1) / len(pairs))
        folder = keep if keep is None or context is None else keep / context.replace("/", "_")
        result = _score_pair(pair, chosen, settings, season=rules, space=space, keep=folder, progress=report)
        results.append(dataclasses.replace(result, table=pair.restore_labels(result.table)))
    result, n_cells = pool_results(results), Counter[str]()
    for pair in pairs.values():
        n_cells.update(pair.n_cells)
    asked = {"max_cells": max_cells, "max_controls": max_controls, "seed": seed}
    made = {"counts": COUNTS} if space == "counts" and not model.makes_cells else {}
    score = Score(
        run=run.id,
        scorer=scorer,
        scorer_version=result.version,
        settings=by | made | result.settings | {key: str(value) for key, value in asked.items() if value is not None},
        part=name,
        created=datetime.now(UTC),
        n_perturbations=len(labels),
        n_cells=dict(n_cells),
        seconds=round(time.monotonic() - started, 1),
        means=result.means,
        baseline=result.baseline,
        scaled=result.scaled,
    )
    write_score(run, score, result.table)
    progress(1.0, f"{len(labels):,} perturbations are scored by {scorer}")
    return score


def _score_pair(
    pair: Pair,
    scorer: CellScorer,
    settings: Settings,
    *,
    season: MetricRules,
    space: Space,
    keep: Path | None,
    progress: Progress,
) -> ScorerResult:
    with scratch_folder(settings.home) as name:
        scratch = Path(name)
        fix = "free some space, score fewer cells (--max-cells), or set VCCAPP_HOME to a larger disk"
        require_disk(scratch, pair.disk_bytes, purpose="Scoring", fix=fix)
        predicted, real = scratch / "predicted.h5ad", scratch / "real.h5ad"
        write_pair(pair, predicted, real, space=space, progress=part(progress, 0.0, 0.3))
        own = scratch / "scorer"
        own.mkdir()
        result = scorer.score(
            predicted,
            real,
            own,
            season=season,
            threads=count_threads(),
            memory_bytes=settings.memory_bytes,
            progress=part(progress, 0.3, 1.0),
        )
        if keep is not None:
            shutil.copytree(own, keep, ignore=shutil.ignore_patterns("*.h5ad"), dirs_exist_ok=True)
    return result


def pool_results(results: Sequence[ScorerResult]) -> ScorerResult:
    """Results of several contexts as one: the mean, each weighted by its perturbations."""
    if len(results) == 1:
        return results[0]
    weights = np.array([len(result.table) for result in results], float)

    def mean(values: Sequence[float | None]) -> float | None:
        known = np.array([value is not None for value in values])
        return float(np.average(np.array(values, float)[known], weights=weights[known])) if known.any() else None

    first = results[0]
    return dataclasses.replace(
        first,
        table=pd.concat([result.table for result in results], ignore_index=True),
        means={name: mean([result.means.get(name) for result in results]) for name in first.means},
        baseline={name: mean([result.baseline.get(name) for result in results]) for name in first.baseline},
        scaled={
            name: Scaled(
                raw=mean([result.scaled[name].raw for result in results]),
                clipped=mean([result.scaled[name].clipped for result in results]),
            )
            for name in first.scaled
        },
    )


def count_cells(index: Index, run: RunRecord, name: Part) -> tuple[list[int], int]:
    """Real cells of each perturbation that a run predicts of a part, and control cells of their contexts."""
    counts = index.perturbations.set_index("perturbation")["n_cells"]
    labels, _ = run.prediction(name)
    return counts.loc[labels].tolist(), int(counts.loc[list(dict.fromkeys(map(control_of, labels)))].sum())


def make_pair(
    dataset: Dataset,
    index: Index,
    model: Model,
    labels: list[str],
    *,
    max_cells: int | None,
    max_controls: int | None,
    seed: int,
) -> Pair:
    """As many cells of a perturbation as the data have, the model can give and `max_cells` allows."""
    real = index.perturbations.set_index("perturbation")["n_cells"]
    cells = {}
    for label in labels:
        limits = (int(real[label]), model.available_cells(label), max_cells)
        cells[label] = min(limit for limit in limits if limit is not None)
    [control] = {control_of(label) for label in labels}
    controls = find_controls(index, control)
    if max_controls is not None and max_controls < len(controls):
        controls = draw_controls(controls, max_controls, label=control, seed=seed)
    return Pair(dataset, index, model, cells, controls.index.to_numpy(), seed)


def write_pair(pair: Pair, predicted: Path, real: Path, *, space: Space, progress: Progress = silent) -> None:
    """Write both files, block by block: CSR in `space`, obs `target_gene`, the data's genes."""
    genes, n_cells = pair.index.genes["gene"].tolist(), sum(pair.n_cells.values()) + len(pair.controls)
    done = 0

    def report(block: csr_matrix, what: str) -> None:
        nonlocal done
        done += block.shape[0]
        progress(done / n_cells, f"Writing {what}: {done:,} of {n_cells:,} cells")

    with (
        CsrWriter(predicted, genes=genes, pert_col=PERT_COL) as out,
        CsrWriter(real, genes=genes, pert_col=PERT_COL) as truth,
    ):
        for block in _read_real(pair, pair.controls, space):
            out.append(block, CONTROL)
            truth.append(block, CONTROL)
            report(block, "controls")
        for label, block in _predict(pair, space):
            out.append(block, target_of(label))
            report(block, "predicted cells")
        perturbation = pair.index.cells["perturbation"].to_numpy()
        for label, n in pair.cells.items():
            rows = pair.index.cells.index[perturbation == label].to_numpy()
            if n < len(rows):
                rows = np.sort(np.random.default_rng([pair.seed, len(rows)]).choice(rows, n, replace=False))
            for block in _read_real(pair, rows, space):
                truth.append(block, target_of(label))
                report(block, "real cells")


def _predict(pair: Pair, space: Space) -> Iterator[tuple[str, csr_matrix]]:
    """Predicted cells by label, in blocks. Counts are made as those of a submission are; a model's own cells, such as
    imported ones, come out as they are, equal ones too.
    """
    if space == "counts" and not pair.model.makes_cells:
        [context] = {context_of(label) for label in pair.cells}
        pool = CountPool(pair.dataset, pair.index, context, columns=None)
        wanted = [Wanted(label, label, n) for label, n in pair.cells.items() if n]
        for one, block in iter_counts(pool, pair.model, wanted, method=COUNTS, seed=pair.seed):
            yield one.label, block
        return
    rng = np.random.default_rng(pair.seed)
    for label, made in iter_cells(pair.dataset, pair.index, pair.model, pair.cells, seed=pair.seed):
        yield label, order_genes(made.to_counts(rng) if space == "counts" else made.block, None)


def _read_real(pair: Pair, rows: np.ndarray, space: Space) -> Iterator[csr_matrix]:
    """Stored cells in `space`, in blocks."""
    for cells in split_cells(pair.index.cells.loc[rows], READ_VALUES):
        own = cells.index.to_numpy()
        stored = pair.dataset.read_rows(own)
        yield order_genes(stored if space == "counts" else pair.index.normalise(stored, own), None)
