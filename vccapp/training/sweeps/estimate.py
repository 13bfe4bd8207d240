"""What a sweep will take, before it is started: runs, time, memory."""

from typing import Any

from vccapp.data.splits.folds import fold_split
from vccapp.data.splits.split import Split, load_split
from vccapp.errors import ResourceError, SpecError
from vccapp.models.base import Estimate, make_model
from vccapp.settings import Settings
from vccapp.stats.index import Index
from vccapp.training.fit import estimate_fit
from vccapp.training.run import check_run
from vccapp.training.sweeps.sampler import ask
from vccapp.training.sweeps.space import every_value
from vccapp.training.sweeps.spec import SweepSpec
from vccapp.wording import bytes_text

FORETOLD = 10
"""Trials of a random sampler, and of TPE before it learns, that are estimated; all others take as much on average."""


def estimate_sweep(spec: SweepSpec, index: Index, split: Split, settings: Settings) -> Estimate:
    """Seconds of all runs, one after the other, and memory of the largest. Raises SpecError as `make_model`."""
    estimates = [_estimate(spec, params, index, split, settings) for params in foretell(spec)]
    ends = [{name: every_value(part)[i] for name, part in spec.space.items()} for i in (0, -1)]
    largest = [*estimates, *(_estimate(spec, params, index, split, settings) for params in ends)]
    seconds = sum(estimate.seconds for estimate in estimates) / len(estimates) * spec.n_runs
    text = f"{spec.n_trials:,} trial{'s' * (spec.n_trials > 1)}, "
    text += f"{spec.n_runs:,} run{'s' * (spec.n_runs > 1)}, one after the other"
    return Estimate(seconds=seconds, memory_bytes=max(found.memory_bytes for found in largest), text=text)


def check_sweep(spec: SweepSpec, settings: Settings) -> None:
    """Raise what its runs would be refused for, as far as that is known before: SpecError, DataError, ResourceError."""
    spec.check()
    split = load_split(spec.run.split, settings)
    if spec.folds:
        fold_split(split, spec.folds)
    elif not split.val:
        raise SpecError(
            "no_validation",
            f"The split '{split.name}' has no perturbations for validation, by which trials are judged",
            fix="use folds or another split",
        )
    index, _, _ = check_run(_run(spec, foretell(spec)[0]), settings)
    needed = estimate_sweep(spec, index, split, settings).memory_bytes
    if needed > settings.memory_bytes:
        raise ResourceError(
            "memory",
            f"Some trials need about {bytes_text(needed)} of memory, but {settings.memory_gb:.1f} GB are allowed",
            fix="choose smaller values, or raise VCCAPP_MEMORY_GB",
        )


def foretell(spec: SweepSpec) -> list[dict[str, Any]]:
    """The parameters of the trials that are known before any has run, the first ones."""
    if spec.sampler == "grid":
        return spec.combinations()
    return [ask(spec, number, []) for number in range(min(spec.n_trials, FORETOLD))]


def _run(spec: SweepSpec, params: dict[str, Any]) -> Any:
    return spec.run.model_copy(update={"params": spec.run.params | params, "seed": spec.seeds[0]})


def _estimate(spec: SweepSpec, params: dict[str, Any], index: Index, split: Split, settings: Settings) -> Estimate:
    run = _run(spec, params)
    return estimate_fit(make_model(run.model, run.params), index, split, settings, ranks=1)
