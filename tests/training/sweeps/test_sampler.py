"""Which trials a sampler asks for, and which the pruner ends: the same from the same record, in whatever process."""

import math
from collections.abc import Callable

import numpy as np
import pytest

from vccapp.training import RunSpec
from vccapp.training.sweeps.record import Trial
from vccapp.training.sweeps.sampler import ask, is_due, is_pruned, known_to
from vccapp.training.sweeps.spec import SweepSpec, make_sweep

RUN = RunSpec(model="scouter", dataset="d", split="s")
RANGES = {"learning_rate": "1e-4,1e-1,log", "gamma": "0,2", "width": "8,512,log"}


def sweep(**chosen: object) -> SweepSpec:
    fields = {"n_trials": 40, "at_once": 2, "metric": "mae", "sampler_seed": 7} | chosen
    return make_sweep(RUN, {"loss": ["autofocus", "pseudobulk_mae"], "faithful": [False, True]}, RANGES, **fields)


def objective(params: dict) -> float:
    """Lowest at a rate of 1e-2."""
    return (math.log10(params["learning_rate"]) + 2) ** 2


def trials_of(spec: SweepSpec, n: int, *, value: Callable[[dict], float] = objective) -> list[Trial]:
    """The first trials of a sweep, one after the other."""
    trials: list[Trial] = []
    for number in range(n):
        params = ask(spec, number, trials)
        trials.append(Trial(number=number, params=params, runs=(), state="finished", value=value(params)))
    return trials


@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_the_same_seed_gives_the_same_trials(sampler: str) -> None:
    drawn = [trial.params for trial in trials_of(sweep(sampler=sampler), 20)]
    assert drawn == [trial.params for trial in trials_of(sweep(sampler=sampler), 20)]
    other = [trial.params for trial in trials_of(sweep(sampler=sampler, sampler_seed=8), 20)]
    assert not [params for params in other if params in drawn]
    assert len({str(params) for params in drawn}) == 20


@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_a_trial_does_not_depend_on_how_fast_those_beside_it_are(sampler: str) -> None:
    spec = sweep(sampler=sampler, at_once=3)
    trials = trials_of(spec, 25)
    for number in (12, 20, 24):
        before = trials[:number]
        late = [*before[: number - 2], *(t.model_copy(update={"state": "running", "value": None}) for t in before[-2:])]
        assert is_due(spec, late)
        assert ask(spec, number, late) == ask(spec, number, before) == trials[number].params


def test_tpe_waits_for_those_that_it_is_to_know() -> None:
    spec = sweep(sampler="tpe", at_once=2)
    first, second, third = trials_of(spec, 3)
    running = first.model_copy(update={"state": "running"})
    assert known_to(spec, 2, [first, second]) == [first]
    assert not is_due(spec, [running, second]) and is_due(spec, [first, second])
    assert is_due(sweep(sampler="random", at_once=2), [running, second])


def test_what_is_drawn_is_within_the_space_and_spread_over_it() -> None:
    drawn = [trial.params for trial in trials_of(sweep(sampler="random"), 40)]
    rates = np.array([params["learning_rate"] for params in drawn])
    assert ((rates >= 1e-4) & (rates <= 1e-1)).all()
    assert 5 < (rates < 10**-2.5).sum() < 35  # evenly on the log scale
    assert {type(params["width"]) for params in drawn} == {int}
    assert {params["faithful"] for params in drawn} == {False, True}
    assert all(type(params["faithful"]) is bool for params in drawn)


@pytest.mark.slow
def test_tpe_goes_where_good_values_are() -> None:
    """After its ten draws by chance it tries rates near the best more than chance would."""
    spec = sweep(sampler="tpe", at_once=1)
    found = [objective(trial.params) for trial in trials_of(spec, 40)]
    by_chance = [objective(trial.params) for trial in trials_of(sweep(sampler="random"), 40)]
    assert np.median(found[10:]) < 0.5 * np.median(by_chance)


def test_values_are_drawn_once_each_where_there_are_no_more() -> None:
    spec = make_sweep(RUN, {"width": [8, 16, 32], "faithful": [False, True]}, {}, sampler="random", n_trials=6)
    drawn = [str(trial.params) for trial in trials_of(spec, 6, value=lambda params: params["width"])]
    assert len(set(drawn)) == 6


def curve_trial(number: int, curve: list[float], *, state: str = "finished", noted: dict | None = None) -> Trial:
    params = {"learning_rate": 0.01, "gamma": 0.0, "width": 8, "loss": "pseudobulk_mae", "faithful": False}
    value = curve[-1] if state == "finished" else None
    return Trial(number=number, params=params, runs=(), state=state, value=value, curve=tuple(curve), noted=noted or {})


@pytest.mark.parametrize(("metric", "sign"), [("mae", 1), ("pearson_delta", -1)])
def test_the_median_rule_as_counted_by_hand(metric: str, sign: int) -> None:
    spec = sweep(pruning="median", metric=metric)
    done = [curve_trial(i, [sign * v for v in (5.0, 4.0, 3.0 + i)]) for i in range(5)]
    for third, worse in ((4.5, False), (5.5, True)):  # the median of 3, 4, 5, 6, 7 is 5
        own = curve_trial(5, [sign * v for v in (6.0, 5.8, third)], state="running")
        assert is_pruned(spec, own, [*done, own])[0] is worse
    alone = curve_trial(4, [sign * 99.0], state="running")
    assert not is_pruned(spec, alone, [*done[:4], alone])[0]  # too few to compare with


def test_hyperband_ends_what_is_worse_at_a_rung_and_keeps_the_rung() -> None:
    spec = sweep(pruning="hyperband", metric="mae")
    trials: list[Trial] = [curve_trial(0, [1.0] * 9)]
    ended = {}
    for number in range(1, 30):
        curve, noted = [], {}
        for _ in range(9):
            curve.append(float(number))  # each worse than all before
            own = curve_trial(number, curve, state="running", noted=noted)
            pruned, noted = is_pruned(spec, own, [*trials, own])
            if pruned:
                break
        ended[number] = len(curve)
        state = "pruned" if pruned else "finished"
        trials.append(curve_trial(number, curve, state=state, noted=noted))
        assert all(value == number for value in noted.values())
    assert min(ended.values()) == 1 and {1, 3, 9} >= set(ended.values()) - {9}
    assert sum(steps == 1 for steps in ended.values()) > 5
    best = curve_trial(30, [0.0], state="running")
    assert not is_pruned(spec, best, [*trials, best])[0]
