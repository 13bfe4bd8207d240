"""Predictions made elsewhere become runs: compared, scored and submitted like those of our own models.

    run_id, notes = import_prediction(path, settings, dataset=fingerprint, split="first")

The run's model is `imported` (vccapp.models.imported). It is judged on those held-out perturbations of the split of
which the file has cells; without a split, one is made that holds out all perturbations of the file.
"""

import hashlib
import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from vccapp.data.reading.predicted import Predicted
from vccapp.data.schema import genes_of
from vccapp.data.splits.split import Split, check_split, load_split, split_from_lists, write_split
from vccapp.data.stores.access import Access
from vccapp.data.stores.places import resolved
from vccapp.errors import DataError, ResourceError
from vccapp.evaluation.quality import Depth, judge_depth, sum_scales
from vccapp.models.imported import Imported, ImportedSpec, open_for
from vccapp.progress import Progress, silent
from vccapp.settings import Settings
from vccapp.stats.index import Index, load_index
from vccapp.training.record import RunSpec, make_run_id
from vccapp.training.run import train
from vccapp.wording import name_some

SCALE_CELLS = 200
"""Cells by which the scale of a file is told."""
SUM_BYTES = 8 + 4 + 4  # a pseudobulk value: its sum, its mean, the prediction of the run


def import_prediction(
    path: Path,
    settings: Settings,
    *,
    dataset: str,
    split: str | None = None,
    title: str = "",
    perturbation: str | None = None,
    control: str | None = None,
    matrix: str | None = None,
    context: str | None = None,
    run_id: str | None = None,
    progress: Progress = silent,
) -> tuple[str, tuple[str, ...]]:
    """Import the predicted cells of `path`; returns the id of the finished run and what was noticed about the file.

    dataset : fingerprint of the data predicted; split : name or path of the split to be judged on
    perturbation, control, matrix, context : see `ImportedSpec`
    Raises DataError, SpecError or ResourceError, in one sentence, before anything is written.
    """
    spec = ImportedSpec(
        file=str(resolved(path)), perturbation=perturbation, control=control, matrix=matrix, context=context
    )
    predicted, judged = check_import(spec, settings, dataset=dataset, split=split)
    if split is None:
        write_split(judged, settings)
    params: dict[str, Any] = spec.model_dump(exclude_none=True)
    run = RunSpec(
        model=Imported.name,
        params=params,
        dataset=dataset,
        split=split or judged.name,
        title=title or Path(path).stem,
    )
    run_id = run_id or make_run_id(run, now=datetime.now(UTC))
    train(run, settings, run_id=run_id, progress=progress)
    missing = [label for label in (*judged.val, *judged.test) if label not in set(predicted.labels.categories)]
    notes = predicted.notes
    if missing:
        notes += (
            f"{len(missing):,} held-out perturbations are not in the file and are not scored: {name_some(missing)}.",
        )
    return run_id, notes


def check_import(spec: ImportedSpec, settings: Settings, *, dataset: str, split: str | None) -> tuple[Predicted, Split]:
    """The opened file and the split it is judged on; writes nothing. Raises what `import_prediction` raises."""
    index = load_index(settings.index_of(dataset))
    predicted = open_for(spec, index, Access.of(settings))
    predicted = replace(predicted, notes=predicted.notes + _note_scale(predicted, index))
    labels = set(predicted.labels.categories)
    needed = len(labels) * predicted.n_genes * SUM_BYTES
    if needed > settings.memory_bytes:
        raise ResourceError(
            "memory",
            f"{predicted.path.name}: pseudobulks of {len(labels):,} perturbations need {needed / 1e9:.1f} GB, "
            f"{settings.memory_bytes / 1e9:.3g} GB are allowed",
            fix="raise VCCAPP_MEMORY_GB",
        )
    judged = load_split(split, settings) if split is not None else _split_of_file(predicted, index, dataset)
    if split is not None and not labels & {*judged.val, *judged.test}:
        raise DataError(
            "no_held_out_cells",
            f"{predicted.path.name}: it has no cells of the {len(judged.val) + len(judged.test):,} held-out "
            f"perturbations of the split '{judged.name}' ({name_some([*judged.test, *judged.val])})",
            fix="choose another split",
        )
    return predicted, judged


def _note_scale(predicted: Predicted, index: Index) -> tuple[str, ...]:
    """Where the first cells do not sum to what the dataset's do over the same genes."""
    if predicted.space != "log1p" or predicted.rows.layout == "csc":  # cells of CSC cannot be had one by one
        return ()
    _, block = next(predicted.iter_cells())
    means = np.expm1(index.genes["means"].to_numpy(float))[predicted.present]
    total = float(np.median(index.meta["target_sums"])) if predicted.present.all() else float(means.sum())
    verdict, found = judge_depth(
        sum_scales(block[:: -(-block.shape[0] // SCALE_CELLS)]), Depth(total, "the dataset has")
    )
    if verdict == "ok":
        return ()
    return (f"The scale is another than the dataset's: {found}. Scores compare values as they are.",)


def _split_of_file(predicted: Predicted, index: Index, dataset: str) -> Split:
    """Test: what the file and the data have; train: all others of the data that share no gene with these."""
    known = index.perturbed
    test = [label for label in known if label in set(predicted.labels.categories)]
    held_out = {gene for label in test for gene in genes_of(label)}
    train = [label for label in known if not held_out & set(genes_of(label))]
    if not test:
        raise DataError(
            "unknown_perturbation",
            f"{predicted.path.name}: none of its perturbations is in the dataset, so it cannot be scored",
            fix="choose a split of a dataset that has them",
        )
    if not train:
        raise DataError(
            "needs_split",
            f"{predicted.path.name}: it has cells of all {len(test):,} perturbations of the dataset",
            fix="choose the split on whose held-out part it is scored (--split)",
        )
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", predicted.path.stem).strip("-._")[:50] or "file"
    digest = hashlib.sha256("\n".join([dataset, *test]).encode()).hexdigest()[:6]
    split = split_from_lists(name=f"in-{stem}-{digest}", dataset=dataset, train=train, test=test)
    check_split(split, known)
    return split
