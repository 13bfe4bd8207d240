"""A file of a submission scored against real cells, context by context, as a season's judges would.

    score = score_submission(Path("mine.vcc"), real, season=season, settings=settings)
    score.contexts["K562"].means, score.means, score.folder

<home>/scored/<id>/
  score.json            what was scored, by which version of what, and the means
  perturbations.csv     a row a perturbation
  <context>/            the scorer's own tables and log, where it writes any

The scorer gets a pair of files for each context, which hold the perturbations that both sides have. Controls are those
of the prediction where it has some; else those of the real cells, on both sides.
"""

import hashlib
import secrets
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field
from scipy.sparse import csr_matrix

import vccapp
from vccapp.data.atomic import scratch_folder, write_folder, write_json
from vccapp.data.h5ad import CsrWriter
from vccapp.data.reading.dataset import Dataset
from vccapp.data.reading.within import within
from vccapp.data.resources import count_threads, require_disk
from vccapp.data.schema import CONTROL, label_in, positions_of
from vccapp.data.spreadsheet import write_csv
from vccapp.errors import DataError, SpecError
from vccapp.evaluation.scorers.base import PERT_COL, CellScorer, Scaled, ScorerResult, find_scorer, refuse_memory
from vccapp.progress import Progress, part, silent
from vccapp.records import Format, Listing, list_records, read_record
from vccapp.seasons.base import Season
from vccapp.settings import Settings
from vccapp.submission.h5ad import READ_VALUES, Cells, open_cells
from vccapp.submission.packing.archive import unpack_vcc
from vccapp.training.cells import order_genes
from vccapp.wording import name_some

LOCAL = Format("local score", fix="score the file again")
RECORD, TABLE = "score.json", "perturbations.csv"
LEAST = 2
"""Perturbations that can be told apart."""
VALUE_BYTES = 8


class ContextScore(BaseModel):
    """What a scorer said of one context, see `vccapp.evaluation.scorers.base.ScorerResult`."""

    model_config = ConfigDict(frozen=True)

    n_perturbations: int
    n_cells: dict[str, int]
    means: dict[str, float | None]
    baseline: dict[str, float | None] = {}
    scaled: dict[str, Scaled] = {}


class LocalScore(BaseModel):
    """A score of a file.

    sha256 : of the file; real : path of the real cells; versions : of the app and of the scorer
    settings : preset or profile, backend; contexts : under "" where the season has none; means, scaled : over contexts
    folder : where it is kept
    """

    model_config = ConfigDict(frozen=True)

    id: str
    file: Path
    sha256: str
    real: Path
    season: str
    phase: str | None
    rules: str
    scorer: str
    versions: dict[str, str]
    settings: dict[str, str]
    created: datetime
    seconds: float
    contexts: dict[str, ContextScore] = Field(min_length=1)
    means: dict[str, float | None]
    scaled: dict[str, Scaled] = {}
    notes: tuple[str, ...] = ()
    folder: Path = Field(Path(), exclude=True)


def score_submission(
    path: Path,
    real: Dataset,
    *,
    season: Season,
    settings: Settings,
    phase: str | None = None,
    scorer: str = "vccapp",
    progress: Progress = silent,
) -> LocalScore:
    """Score an .h5ad or .vcc against the real cells of the same contexts, and keep the result in a folder of its own.

    phase : whose targets are counted. Raises DataError, SpecError or CheckError for files that cannot be compared,
    ResourceError where memory or disk do not suffice, JobError where the scorer fails.
    """
    started, chosen = time.monotonic(), find_scorer(scorer)
    if chosen.season not in ("", season.metrics):
        raise SpecError(
            "other_season",
            f"{scorer} scores by the rules of {chosen.season}, and {season.name} by those of {season.metrics}",
            fix="choose another scorer, or the scorer vccapp",
        )
    targets = [target.label for target in season.phase(phase).targets] if phase is not None else []
    made = f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"
    with scratch_folder(settings.home) as name:
        scratch = Path(name)
        h5ad = path
        if path.suffix != ".h5ad":
            h5ad = unpack_vcc(path, scratch / "unpacked.h5ad", season, progress=part(progress, 0.0, 0.1))
        cells = open_cells(h5ad, season.pert_col, season.context_col)
        pairs = [_Pair(cells, *own, season=season) for own in _match(cells, real, path)]
        for pair in pairs:
            refuse_memory(chosen, pair.n_each, pair.n_controls, real.n_genes, memory_bytes=settings.memory_bytes)
        needed = 2 * cells.n_values * VALUE_BYTES / max(len(pairs), 1)
        require_disk(scratch, needed, purpose=f"Scoring {path.name}", fix="free some space")
        results: dict[str, ScorerResult] = {}
        for i, pair in enumerate(pairs):
            own = scratch / f"context-{i}"
            share = part(progress, 0.1 + 0.85 * i / len(pairs), 0.1 + 0.85 * (i + 1) / len(pairs))
            results[pair.context] = _score(pair, chosen, own, season, settings, share)
        contexts = {pair.context: _describe(results[pair.context], pair) for pair in pairs}
        means, scaled = pool_contexts(list(contexts.values()))
        score = LocalScore(
            id=made,
            file=path.absolute(),
            sha256=_hash(path),
            real=real.path,
            season=season.name,
            phase=phase,
            rules=season.metrics,
            scorer=scorer,
            versions={"vccapp": vccapp.__version__, scorer: next(iter(results.values())).version},
            settings=next(iter(results.values())).settings,
            created=datetime.now(UTC),
            seconds=round(time.monotonic() - started, 1),
            contexts=contexts,
            means=means,
            scaled=scaled,
            notes=tuple(_note(pairs, targets)),
        )
        folder = settings.home / "scored" / made
        with write_folder(folder) as beside:
            tables = [
                results[pair.context].table.assign(
                    perturbation=[
                        label_in(str(label), pair.context or None)
                        for label in results[pair.context].table["perturbation"]
                    ]
                )
                for pair in pairs
            ]
            write_csv(pd.concat(tables, ignore_index=True), beside / TABLE)
            for i, pair in enumerate(pairs):
                shutil.copytree(
                    scratch / f"context-{i}" / "scorer",
                    beside / (pair.context.replace("/", "_") or "scorer"),
                    ignore=shutil.ignore_patterns("*.h5ad"),
                )
            write_json(beside / RECORD, LOCAL.stamp(score.model_dump(mode="json")))
    progress(1.0, f"{path.name} is scored by {scorer}")
    return score.model_copy(update={"folder": folder})


def list_local_scores(settings: Settings) -> Listing[LocalScore]:
    """The newest first."""
    found = list_records((settings.home / "scored").glob(f"*/{RECORD}"), _load)
    found.sort(key=lambda score: score.created, reverse=True)
    return found


def _load(path: Path) -> LocalScore:
    return read_record(path, LOCAL, lambda saved: LocalScore.model_validate(saved | {"folder": path.parent}))


def pool_contexts(scores: Sequence[ContextScore]) -> tuple[dict[str, float | None], dict[str, Scaled]]:
    """Means and scaled scores over contexts, each weighing the same; None where one has none."""

    def mean(values: Sequence[float | None]) -> float | None:
        known = [value for value in values if value is not None]
        return sum(known) / len(known) if len(known) == len(values) else None

    first = scores[0]
    return (
        {name: mean([score.means.get(name) for score in scores]) for name in first.means},
        {
            name: Scaled(
                raw=mean([score.scaled[name].raw if name in score.scaled else None for score in scores]),
                clipped=mean([score.scaled[name].clipped if name in score.scaled else None for score in scores]),
            )
            for name in first.scaled
        },
    )


class _Pair:
    """One context: which cells of either side are compared. context : "" without"""

    def __init__(self, predicted: Cells, context: str, rows: np.ndarray, real: Dataset, *, season: Season) -> None:
        """rows : of the predicted cells"""
        self.predicted, self.context, self.real = predicted, context, real
        self.genes = real.genes.tolist()
        position = positions_of(predicted.genes)
        if len(position) != len(self.genes) or not position.keys() >= set(self.genes):
            missing = [gene for gene in self.genes if gene not in position] or list(set(position) - set(self.genes))
            raise DataError(
                "genes_differ",
                f"The file has {len(position):,} genes and the real cells {len(self.genes):,}: they differ in "
                f"{name_some(sorted(missing))}",
                fix="score against real cells of the same genes",
            )
        same = predicted.genes == self.genes
        self.columns = None if same else np.array([position[gene] for gene in self.genes])
        labels = np.full(predicted.shape[0], "", dtype=object)
        labels[rows] = np.asarray(predicted.labels.astype(object))[rows]
        labels[labels == season.control_label] = CONTROL
        truth = real.cells["perturbation"].to_numpy(str)
        self.only_predicted = sorted({*labels[rows]} - {*truth, CONTROL})
        self.common = sorted({*labels[rows]} & {*truth} - {CONTROL})
        if len(self.common) < LEAST:
            raise DataError(
                "perturbations_differ",
                f"The file and the real cells have {len(self.common)} perturbations in common"
                + (f" in the context {context}" if context else ""),
                fix="choose real cells of the same perturbations",
            )
        own = CONTROL in set(labels[rows])
        self.labels = {
            "predicted": np.where(np.isin(labels.astype(str), [*self.common, CONTROL]), labels, ""),
            "real": np.where(np.isin(truth, [*self.common, CONTROL]), truth, ""),
        }
        self.own_controls = own
        if not (self.labels["real"] == CONTROL).any():
            raise DataError("no_controls", "The real cells have no controls", fix="choose a file that has them")

    @property
    def n_each(self) -> dict[str, int]:
        """Cells of each perturbation on the side that has more."""
        counts = [pd.Series(labels).value_counts() for labels in self.labels.values()]
        return {label: int(max(count.get(label, 0) for count in counts)) for label in self.common}

    @property
    def n_controls(self) -> int:
        return max(int((labels == CONTROL).sum()) for labels in self.labels.values())

    @property
    def n_cells(self) -> dict[str, int]:
        found = {side: int(((labels != "") & (labels != CONTROL)).sum()) for side, labels in self.labels.items()}
        side = "predicted" if self.own_controls else "real"
        return found | {"controls": int((self.labels[side] == CONTROL).sum())}

    def write(self, folder: Path, progress: Progress) -> tuple[Path, Path]:
        """Both files: genes in the order of the real cells, obs `target_gene`."""
        predicted, real = folder / "predicted.h5ad", folder / "real.h5ad"
        total = self.predicted.shape[0] + self.real.n_cells
        with (
            CsrWriter(predicted, genes=self.genes, pert_col=PERT_COL) as out,
            CsrWriter(real, genes=self.genes, pert_col=PERT_COL) as truth,
        ):
            for start, block in self.real.iter_rows(max_values=READ_VALUES):
                for label, cells in _by_label(self.labels["real"], start, block):
                    truth.append(order_genes(cells, None), label)
                    if label == CONTROL and not self.own_controls:
                        out.append(order_genes(cells, None), label)
                progress(start / total, "Writing the real cells")
            for start, block in self.predicted.rows.iter_rows(READ_VALUES):
                for label, cells in _by_label(self.labels["predicted"], start, block):
                    out.append(order_genes(cells, self.columns), label)
                progress((self.real.n_cells + start) / total, "Writing the predicted cells")
        return predicted, real


def _by_label(labels: np.ndarray, start: int, block: csr_matrix) -> Iterator[tuple[str, csr_matrix]]:
    """The cells of a block label by label, without those of none."""
    own = labels[start : start + block.shape[0]].astype(str)
    for label in np.unique(own):
        if label:
            yield str(label), block[own == label]


def _match(cells: Cells, real: Dataset, path: Path) -> list[tuple[str, np.ndarray, Dataset]]:
    """Context, rows of the predicted cells, real cells of the same context."""
    known = [context.name for context in real.schema.contexts]
    if cells.contexts is None:
        if known:
            raise DataError(
                "contexts_differ",
                f"The real cells are of the contexts {name_some(known)}, and {path.name} names none",
                fix="choose real cells of one context",
            )
        return [("", np.arange(cells.shape[0]), real)]
    named = np.asarray(cells.contexts.astype(str))
    found = sorted(set(named))
    if not known and len(found) == 1:
        return [(found[0], np.arange(len(named)), real)]
    if missing := [context for context in found if context not in known]:
        raise DataError(
            "contexts_differ",
            f"{path.name} is of the contexts {name_some(found)}, and the real cells lack {name_some(missing)}",
            fix=f"choose real cells of them; these are of {name_some(known) if known else 'one context'}",
        )
    return [(context, np.flatnonzero(named == context), within(real, context)) for context in found]


def _score(
    pair: _Pair, scorer: CellScorer, folder: Path, season: Season, settings: Settings, progress: Progress
) -> ScorerResult:
    own = folder / "scorer"
    own.mkdir(parents=True)
    predicted, real = pair.write(folder, part(progress, 0.0, 0.3))
    result = scorer.score(
        predicted,
        real,
        own,
        season=season.metrics,
        threads=count_threads(),
        memory_bytes=settings.memory_bytes,
        progress=part(progress, 0.3, 1.0),
    )
    predicted.unlink()
    real.unlink()
    return result


def _describe(result: ScorerResult, pair: _Pair) -> ContextScore:
    return ContextScore(
        n_perturbations=len(pair.common),
        n_cells=pair.n_cells,
        means=result.means,
        baseline=result.baseline,
        scaled=result.scaled,
    )


def _note(pairs: Sequence[_Pair], targets: Sequence[str]) -> Iterator[str]:
    for pair in pairs:
        where = f"{pair.context}: " if pair.context else ""
        if pair.only_predicted:
            yield f"{where}no real cells of {name_some(pair.only_predicted)}; they are not scored."
        if missing := sorted(set(targets) - set(pair.common)):
            yield (
                f"{where}{len(targets) - len(missing):,} of the phase's {len(targets):,} targets are scored; PDS of "
                "fewer perturbations is not comparable."
            )
        if not pair.own_controls:
            yield f"{where}the real controls stand on both sides, as the file has none."


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def rows_of(score: LocalScore) -> list[Mapping[str, Any]]:
    """For tables: a row a context and metric, with n, mean, baseline, and the scaled value as it is and clipped."""
    return [
        {
            "context": context or None,
            "metric": name,
            "n": found.n_perturbations,
            "mean": found.means.get(name),
            "baseline": found.baseline.get(name),
            "scaled": found.scaled[name].raw if name in found.scaled else None,
            "clipped": found.scaled[name].clipped if name in found.scaled else None,
        }
        for context, found in score.contexts.items()
        for name in dict.fromkeys([*found.means, *found.scaled])
    ]
