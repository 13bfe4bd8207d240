"""Which parameters a trial takes, and whether it is pruned: told from the record alone, by Optuna.

    params = ask(spec, number, trials)
    pruned, noted = is_pruned(spec, trial, trials)

Optuna's study is built anew each time from the trials that the record holds, so nothing is lost with a process. Each
trial draws with a seed of its own, made of the sampler's and its number; and a trial of TPE knows those alone that
ended before its place came up (`known_to`), however fast the others are. So the same seed gives the same trials.
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from vccapp.training.sweeps.record import Trial
from vccapp.training.sweeps.space import Choices
from vccapp.training.sweeps.spec import SweepSpec

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.pruners import BasePruner
    from optuna.samplers import BaseSampler
    from optuna.study import Study
    from optuna.trial import FrozenTrial

DRAWS = 100
"""At most, until a trial has parameters that no earlier one has."""
REDUCTION = 3
"""Hyperband: one in so many goes on at each rung."""


def is_due(spec: SweepSpec, trials: Sequence[Trial]) -> bool:
    """Whether the next trial may be asked for: all that it is to know have ended."""
    return all(trial.state != "running" for trial in known_to(spec, len(trials), trials))


def known_to(spec: SweepSpec, number: int, trials: Sequence[Trial]) -> list[Trial]:
    """The trials whose values a trial takes into account: with TPE all but those that may be under way beside it."""
    beside = math.ceil(spec.at_once / spec.runs_per_trial)
    return list(trials[: max(number - beside + 1, 0)]) if spec.sampler == "tpe" else []


def ask(spec: SweepSpec, number: int, trials: Sequence[Trial]) -> dict[str, Any]:
    """The parameters of trial `number`; trials : those before it."""
    if spec.sampler == "grid":
        return spec.combinations()[number]
    known = {trial.number for trial in known_to(spec, number, trials)}
    taken = [trial.params for trial in trials]
    for draw in range(DRAWS):
        study = _study(spec, trials, known=known, sampler=_sampler(spec, number, draw))
        drawn = study.ask(_distributions(spec)).params
        params = {name: _value(spec, name, value) for name, value in drawn.items()}
        if params not in taken:
            break
    return params


def is_pruned(spec: SweepSpec, trial: Trial, trials: Sequence[Trial]) -> tuple[bool, dict[str, float]]:
    """Whether a trial is to end after the last value of its curve, and what the pruner keeps of it."""
    done = next((other for other in trials if other.state == "finished" and other.curve), None)
    if done is None:
        return False, trial.noted
    everyone = [trial if other.number == trial.number else other for other in trials]
    known = {other.number for other in trials} - {trial.number}
    study = _study(spec, everyone, known=known, pruner=_pruner(spec, max_resource=len(done.curve)))
    pruned = study.pruner.prune(study, study.get_trials(deepcopy=False)[trial.number])
    return bool(pruned), dict(study.get_trials(deepcopy=False)[trial.number].system_attrs)


def as_study(spec: SweepSpec, trials: Sequence[Trial]) -> "Study":
    """Optuna's study of the trials that have ended."""
    return _study(spec, trials, known={trial.number for trial in trials})


def _study(
    spec: SweepSpec,
    trials: Sequence[Trial],
    *,
    known: set[int],
    sampler: "BaseSampler | None" = None,
    pruner: "BasePruner | None" = None,
) -> "Study":
    """known : numbers of the trials whose end it is told; the others are under way."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        study_name=spec.run.model,
        direction="maximize" if spec.better == "high" else "minimize",
        sampler=sampler or _sampler(spec, 0, 0),
        pruner=pruner,
    )
    distributions = _distributions(spec)
    for trial in trials:
        study.add_trial(_frozen(spec, trial, distributions, ended=trial.number in known))
    return study


def _frozen(
    spec: SweepSpec, trial: Trial, distributions: "dict[str, BaseDistribution]", *, ended: bool
) -> "FrozenTrial":
    from optuna.trial import TrialState, create_trial

    states = {
        "finished": TrialState.COMPLETE,
        "pruned": TrialState.PRUNED,
        "failed": TrialState.FAIL,
        "stopped": TrialState.FAIL,
        "running": TrialState.RUNNING,
    }
    state = states[trial.state] if ended else TrialState.RUNNING
    params = {name: _stored(spec, name, value) for name, value in trial.params.items()}
    curve = {i: math.nan if value is None else value for i, value in enumerate(trial.curve, start=1)}
    return create_trial(
        state=state,
        value=trial.value if state == TrialState.COMPLETE else None,
        params=params,
        distributions=distributions,
        intermediate_values=curve,
        system_attrs=trial.noted,
    )


def _sampler(spec: SweepSpec, number: int, draw: int) -> "BaseSampler":
    from optuna.samplers import RandomSampler, TPESampler

    seed = int(np.random.SeedSequence((spec.sampler_seed, number, draw)).generate_state(1)[0])
    return TPESampler(seed=seed) if spec.sampler == "tpe" else RandomSampler(seed=seed)


def _pruner(spec: SweepSpec, *, max_resource: int) -> "BasePruner":
    """max_resource : validations of the first trial that finished"""
    from optuna.pruners import HyperbandPruner, MedianPruner

    if spec.pruning == "median":
        return MedianPruner()
    return HyperbandPruner(min_resource=1, max_resource=max(max_resource, 1), reduction_factor=REDUCTION)


def _distributions(spec: SweepSpec) -> "dict[str, BaseDistribution]":
    """Values by their place, so that those of any type are told apart."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    found: dict[str, BaseDistribution] = {}
    for name, part in spec.space.items():
        if isinstance(part, Choices):
            found[name] = CategoricalDistribution(range(len(part.values)))
        elif part.whole:
            found[name] = IntDistribution(int(part.low), int(part.high), log=part.log)
        else:
            found[name] = FloatDistribution(part.low, part.high, log=part.log)
    return found


def _value(spec: SweepSpec, name: str, stored: Any) -> Any:
    """A parameter from what Optuna keeps of it."""
    part = spec.space[name]
    return part.values[stored] if isinstance(part, Choices) else part.number(stored)


def _stored(spec: SweepSpec, name: str, value: Any) -> Any:
    part = spec.space[name]
    if not isinstance(part, Choices):
        return value
    return next(i for i, known in enumerate(part.values) if type(known) is type(value) and known == value)
