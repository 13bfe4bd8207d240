"""Training a run: fit, save, predict, score. What a run is stands in `vccapp.training.record`."""

import contextlib
import logging
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import vccapp
from vccapp.data.atomic import remove_folder, save_array, write_folder, write_json
from vccapp.data.lock import hold_lock
from vccapp.data.splits.split import Split, check_split, load_split
from vccapp.errors import DataError, ResourceError, SpecError, Stopped
from vccapp.evaluation.confidence import measure_confidence
from vccapp.evaluation.limits import drop_untold
from vccapp.evaluation.scoring.score import summarise
from vccapp.faults import describe
from vccapp.models.base import Model, make_model
from vccapp.progress import Progress, part, silent
from vccapp.references import FLOORS
from vccapp.settings import Settings
from vccapp.stats.index import Index, load_index
from vccapp.training.fit import Fit, count_ranks, estimate_fit, fit_model
from vccapp.training.record import (
    PREDICTION,
    Part,
    RunRecord,
    RunSpec,
    explain_made,
    load_run,
    next_number,
    run_folder,
    write_run,
)
from vccapp.training.results.own_scores import (
    compute_own_scores,
    compute_reference_scores,
    write_own_scores,
    write_references,
)
from vccapp.training.sameness import is_same_for_all
from vccapp.training.trackers.base import Tracked
from vccapp.training.trackers.follow import follow_run
from vccapp.wording import name_some

log = logging.getLogger("vccapp.training")

LOOK_SECONDS = 1.0
"""Between two looks whether the run's folder is still there."""


def check_run(
    spec: RunSpec, settings: Settings, *, index: Index | None = None, split: Split | None = None
) -> tuple[Index, Split, Model]:
    """What a run needs, opened and checked: index, split and unfitted model. Writes nothing.

    index, split : where they are open already; a split need not be written yet
    Raises SpecError or DataError when there is no index, the split is of other data or leaks, or a parameter is wrong;
    ResourceError when the model needs more memory than the settings allow.
    """
    split = load_split(spec.split, settings) if split is None else split
    model = make_model(spec.model, spec.params)
    index = load_index(settings.index_of(spec.dataset)) if index is None else index
    if split.dataset != spec.dataset:
        raise SpecError(
            "data_changed",
            f"The split '{split.name}' belongs to the dataset {split.dataset}, not to {spec.dataset}",
            fix="choose one of its splits",
        )
    check_split(split, index.perturbed)
    if index.perturbations["n_cells"].iloc[0] < 2:
        raise SpecError(
            "one_control",
            "The dataset has one control cell, and every effect would be a difference from that one",
            fix="use data with more control cells",
        )
    model.check(index, split, device=settings.device)
    needed = estimate_fit(model, index, split, settings, ranks=count_ranks(model, settings)).memory_bytes
    if needed > settings.memory_bytes:
        raise ResourceError(
            "memory",
            f"Training {model.label} needs about {needed / 1e9:.1f} GB of memory, but "
            f"{settings.memory_bytes / 1e9:.1f} GB are allowed",
            fix="choose fewer genes, a smaller batch or fewer devices, or raise VCCAPP_MEMORY_GB",
        )
    return index, split, model


def train(spec: RunSpec, settings: Settings, *, run_id: str, progress: Progress = silent) -> Path:
    """Fit, save, predict and score the held-out perturbations; returns the run's folder.

    What `check_run` raises leaves nothing behind. A run that fails later or is stopped (progress raises Stopped) keeps
    its folder, which says so. Held-out predictions are in memory at once: (val + test) x n_genes x 4 bytes.
    """
    index, split, model = check_run(spec, settings)
    folder = run_folder(run_id, settings)
    record = RunRecord(
        id=run_id,
        spec=spec,
        split=split,
        state="running",
        created=datetime.now(UTC),
        vccapp=vccapp.__version__,
        devices=count_ranks(model, settings),
        device=_name_device(model, settings),
        number=next_number(settings),
    )
    try:
        with write_folder(folder, new=True) as beside:  # with its record at once: what has none is no run
            write_run(record, beside)
    except FileExistsError:
        raise SpecError(
            "run_exists", f"There is already a run '{run_id}' in {settings.checkpoints}", fix="choose another id"
        ) from None
    with _locked(folder) as is_there:
        _work(record, folder, is_there, index, model, settings, progress)
    return folder


def resume(run_id: str, settings: Settings, *, progress: Progress = silent) -> Path:
    """Go on with a run that was stopped, killed or failed, from its last checkpoint; returns its folder.

    Its split is the one it was started with. Raises SpecError when the run is finished or still running.
    """
    run = load_run(run_id, settings)
    check_resume(run)
    index, _, model = check_run(run.spec, settings, split=run.split)
    with _locked(run.folder) as is_there:
        devices = count_ranks(model, settings)
        changes = {"state": "running", "reason": "", "ended": None, "devices": devices}
        record = run.model_copy(update=changes | {"device": _name_device(model, settings)})
        _work(record, run.folder, is_there, index, model, settings, progress)
    return run.folder


def check_resume(run: RunRecord) -> None:
    """Raises SpecError when a run is finished or still running."""
    if run.state in ("finished", "running"):
        raise SpecError(
            "nothing_to_resume",
            f"The run {run.id} is {run.state}, so there is nothing to resume",
            fix="start a new one",
        )


def _work(
    record: RunRecord,
    folder: Path,
    is_there: Callable[[], bool],
    index: Index,
    model: Model,
    settings: Settings,
    progress: Progress,
) -> None:
    """Fit, save, predict and score; run.json says how it ended. is_there : whether the folder still is"""
    split = record.split
    tracked = Tracked(record.id, record.spec.title, folder, settings.home, _config(record))
    with follow_run(tracked, settings.trackers) as scores, _recorded(record, folder, is_there) as keep:
        progress = _watched(progress, folder, is_there)
        references = _val_references(index, split, model)
        keep(metrics={"val": _summarise_all(references)} if split.val else {})
        spec = record.spec
        fit = Fit(model=spec.model, params=spec.params, split=split, seed=spec.seed, folder=folder, settings=settings)
        model = fit_model(fit, model, index, ranks=record.devices, progress=part(progress, 0.0, 0.85))
        keep(seen=model.seen, made=model.made)
        progress(0.85, "Predicting the held-out perturbations")
        judged = _judged(split, model)
        held_out = [*judged.val, *judged.test]
        basis = model.describe_basis(held_out)
        deltas = _write_prediction(model, judged, basis, folder / "prediction")
        same = model.use != "Baseline" and is_same_for_all(held_out, deltas, index.genes["gene"])
        keep(basis=basis, same=same, confidence=measure_confidence(model, index, held_out))
        progress(0.9, "Scoring")
        if judged.val != split.val:
            references = _val_references(index, judged, model)
        began = time.monotonic()
        tables = _compute_tables(index, judged, model, deltas, references)
        metrics = {name: _summarise_all(own) for name, own in tables.items()}
        keep(metrics=metrics)
        for name, own in metrics.items():
            scores |= {f"{name}/{metric}": value for metric, value in own[model.name].items() if value is not None}
        _write_scores(record.model_copy(update={"folder": folder}), index, tables, time.monotonic() - began)
        remove_folder(folder / "checkpoint")
    said = explain_made(record.model_copy(update={"made": model.made, "same": same}))
    progress(1.0, f"Run {record.id} is finished" + (f". {said}" if said else ""))


def _config(record: RunRecord) -> dict[str, Any]:
    """All that decides a run, flat."""
    fields = record.spec.model_dump(mode="json", exclude={"title"})
    return fields.pop("params") | fields | {"vccapp": record.vccapp, "devices": record.devices}


def _name_device(model: Model, settings: Settings) -> str:
    """cpu or cuda; networks alone have a choice."""
    if not model.shared:
        return "cpu"
    from vccapp.neural.fitting.device import choose_device

    return choose_device(settings.device).type


def _locked(folder: Path) -> contextlib.AbstractContextManager[Callable[[], bool]]:
    """Hold the run's lock. Raises SpecError when another process does."""
    problem = f"The run {folder.name} is being trained by another process"
    return hold_lock(folder / "lock", busy=SpecError("run_busy", problem, fix="wait until it ends or stop it"))


def _watched(progress: Progress, folder: Path, is_there: Callable[[], bool]) -> Progress:
    """`progress` that ends the work soon after the run's folder was deleted, and does not look all the time."""
    looked = time.monotonic()

    def report(fraction: float, message: str = "") -> None:
        nonlocal looked
        if time.monotonic() - looked > LOOK_SECONDS:
            looked = time.monotonic()
            if not is_there():
                raise _gone(folder)
        progress(fraction, message)

    return report


def _gone(folder: Path) -> DataError:
    problem = f"The folder of the run {folder.name} was deleted or replaced while it was trained"
    return DataError("run_gone", problem, fix="train it again")


@contextlib.contextmanager
def _recorded(record: RunRecord, folder: Path, is_there: Callable[[], bool]) -> Iterator[Callable[..., None]]:
    """Write run.json as `running`, and at the end how the block ended. Gives a function that changes fields of it.

    Raises DataError, and writes nothing, once the folder was deleted: a run of half its files would look finished.
    """

    def keep(**changes: Any) -> None:
        nonlocal record
        if not is_there():
            raise _gone(folder)
        record = record.model_copy(update=changes)
        write_run(record, folder)

    keep()
    try:
        yield keep
    except Stopped:
        keep(state="stopped", ended=datetime.now(UTC), reason="Stopped on request.")
        raise
    except Exception as error:
        if not is_there():
            raise _gone(folder) from error
        with contextlib.suppress(OSError):  # where it cannot be said, the run is read as interrupted
            keep(state="failed", ended=datetime.now(UTC), reason=describe(error)[1])
        raise
    keep(state="finished", ended=datetime.now(UTC))


def _judged(split: Split, model: Model) -> Split:
    """The split with those held-out perturbations alone that the model can predict."""
    known = {
        name: tuple(label for label in getattr(split, name) if model.available_cells(label) != 0)
        for name in ("val", "test")
    }
    return split.model_copy(update=known)


def _val_references(index: Index, split: Split, model: Model) -> dict[str, pd.DataFrame]:
    """Scores of the baselines and the limits on the val part, by name; none where it is empty."""
    return dict(compute_reference_scores(index, split, model.name, split.val)) if split.val else {}


def _summarise_all(tables: dict[str, pd.DataFrame]) -> dict[str, dict[str, float | None]]:
    """Means over the perturbations, without limits that cannot be told."""
    return drop_untold({name: summarise(table) for name, table in tables.items()})


def _write_prediction(model: Model, split: Split, basis: dict[str, str], folder: Path) -> np.ndarray:
    """Deltas (val then test, n_genes) float32, also written to `folder`. Raises SpecError for what is no number."""
    labels = [*split.val, *split.test]
    deltas = model.predict(labels)
    finite = np.isfinite(deltas).all(axis=1)
    if not finite.all():
        wrong = [label for label, known in zip(labels, finite, strict=True) if not known]
        raise SpecError(
            "prediction_not_finite",
            f"The model's predictions of {name_some(wrong)} are not numbers",
            found=len(wrong),
            fix="train it again with a lower learning rate or a stronger penalty",
        )
    with write_folder(folder) as beside:
        save_array(beside / "deltas.npy", deltas)
        fields = {"val": split.val, "test": split.test, "basis": basis}
        write_json(beside / "perturbations.json", PREDICTION.stamp(fields))
    return deltas


def _compute_tables(
    index: Index, split: Split, model: Model, deltas: np.ndarray, val_references: dict[str, pd.DataFrame]
) -> dict[Part, dict[str, pd.DataFrame]]:
    """Scores of each perturbation, on each part that has some, by name.

    Of the model, of those that it starts from, of the baselines and the limits.
    """
    tables: dict[Part, dict[str, pd.DataFrame]] = {}
    if split.val:
        own = {model.name: compute_own_scores(index, split.val, deltas[: len(split.val)])}
        tables["val"] = own | _score_parts(index, model, split.val) | val_references
    if split.test:
        own = {model.name: compute_own_scores(index, split.test, deltas[len(split.val) :])}
        references = dict(compute_reference_scores(index, split, model.name, split.test))
        tables["test"] = own | _score_parts(index, model, split.test) | references
    return tables


def _score_parts(index: Index, model: Model, labels: tuple[str, ...]) -> dict[str, pd.DataFrame]:
    """Scores of the models that this one starts from, its baseline say."""
    parts = model.parts().items()
    return {name: compute_own_scores(index, labels, part.predict(labels)) for name, part in parts}


def _write_scores(run: RunRecord, index: Index, tables: dict[Part, dict[str, pd.DataFrame]], seconds: float) -> None:
    for name, every in tables.items():
        own = every[run.spec.model]
        write_references(run, name, every)
        write_own_scores(run, index, name, own, baseline=summarise(every[FLOORS[-1]]), seconds=seconds)
