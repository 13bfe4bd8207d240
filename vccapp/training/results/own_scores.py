"""Our own scores of predicted pseudobulks, stored at the end of every training beside what other scorers say later."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd

import vccapp
from vccapp.data.atomic import write_file
from vccapp.data.schema import control_of
from vccapp.data.splits.split import Split
from vccapp.evaluation.limits import compute_limits
from vccapp.evaluation.profiles import predicted_profiles, real_profiles
from vccapp.evaluation.scorers.own import PSEUDOBULKS
from vccapp.evaluation.scoring.score import compute_metrics, summarise
from vccapp.models.base import make_model
from vccapp.records import Format, undamaged
from vccapp.references import FLOORS
from vccapp.stats.index import Index
from vccapp.training.record import Part, RunRecord
from vccapp.training.results.scores import Score, write_score

REFERENCES = "references-{part}.parquet"
REFERENCED = Format("references", fix="train the run again")


def write_references(run: RunRecord, part: Part, tables: Mapping[str, pd.DataFrame]) -> Path:
    """Store what stands beside a run: the tables of `compute_metrics` of the baselines and the limits, by name."""
    path = run.folder / "scores" / REFERENCES.format(part=part)
    every = pd.concat([table.assign(source=name) for name, table in tables.items()], ignore_index=True)
    every.attrs = REFERENCED.stamp({})
    with write_file(path) as beside:
        every.to_parquet(beside, index=False)
    return path


def load_references(run: RunRecord, part: Part) -> dict[str, pd.DataFrame]:
    """The stored tables of the run's model, of the baselines and of the limits; empty where there are none."""
    path = run.folder / "scores" / REFERENCES.format(part=part)
    if not path.exists():
        return {}
    with undamaged(path, fix=REFERENCED.fix):
        every = pd.read_parquet(path)
    REFERENCED.migrate(every.attrs, path)
    return {str(name): own.drop(columns="source") for name, own in every.groupby("source", sort=False)}


def write_own_scores(
    run: RunRecord, index: Index, part: Part, table: pd.DataFrame, *, baseline: dict[str, float | None], seconds: float
) -> Path:
    """Store the scores of each perturbation of a part. table : of `compute_metrics`; baseline : means of the floor."""
    cells = index.perturbations.set_index("perturbation")["n_cells"]
    n_controls = int(cells.loc[list({control_of(label) for label in table["perturbation"]})].sum())
    score = Score(
        run=run.id,
        scorer=PSEUDOBULKS,
        scorer_version=vccapp.__version__,
        settings={},
        part=part,
        created=datetime.now(UTC),
        n_perturbations=len(table),
        n_cells={"real": int(cells.loc[table["perturbation"]].sum()), "control": n_controls},
        seconds=seconds,
        means=summarise(table),
        baseline=baseline,
    )
    return write_score(run, score, table)


def compute_own_scores(index: Index, labels: Sequence[str], deltas: np.ndarray) -> pd.DataFrame:
    """Scores of predicted deltas (n, n_genes), a row a perturbation."""
    return compute_metrics(real_profiles(index, labels), predicted_profiles(index, deltas, labels))


def compute_reference_scores(
    index: Index, split: Split, model: str, labels: Sequence[str]
) -> Iterator[tuple[str, pd.DataFrame]]:
    """Name and scores of the baselines other than `model`, and of LIMITS."""
    real = real_profiles(index, labels)
    for name in FLOORS:
        if name != model:
            predicted = make_model(name).fit(index, split).predict(labels)
            yield name, compute_metrics(real, predicted_profiles(index, predicted, labels))
    yield from compute_limits(index, labels).items()
