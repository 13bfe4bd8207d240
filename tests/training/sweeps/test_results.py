"""What a sweep says of its trials, against computations of its own on an objective in which one parameter matters."""

import math
from datetime import UTC, datetime

import numpy as np
import pytest
from refusals import refusal

from vccapp.errors import SpecError
from vccapp.training import RunSpec
from vccapp.training.sweeps.record import SweepRecord, Trial, TrialRun
from vccapp.training.sweeps.results import FEWEST, best_spec, importances, trial_table
from vccapp.training.sweeps.sampler import ask
from vccapp.training.sweeps.spec import make_sweep

RUN = RunSpec(model="scouter", params={"genes": 500}, dataset="d", split="s")
RANGES = {"learning_rate": "1e-4,1e-1,log", "gamma": "0,2", "width": "8,512"}


def sweep_of(n: int, *, metric: str = "mae", matters: str = "learning_rate") -> SweepRecord:
    """n finished trials, whose objective depends on one parameter and, a little, on chance."""
    spec = make_sweep(
        RUN, {"faithful": [False, True]}, RANGES, sampler="random", n_trials=max(n, 1), metric=metric, seeds=(4, 5)
    )
    noise, trials = np.random.default_rng(0).normal(0, 0.05, n), []
    for number in range(n):
        params = ask(spec, number, trials)
        value = math.log10(params[matters]) if matters == "learning_rate" else float(params[matters])
        runs = tuple(TrialRun(id=f"r-{number}-{seed}", split="s", seed=seed) for seed in (4, 5))
        trials.append(
            Trial(number=number, params=params, runs=runs, state="finished", value=float(value + noise[number]))
        )
    return SweepRecord(id="x", spec=spec, created=datetime.now(UTC), vccapp="0", trials=tuple(trials))


def explained(values: np.ndarray, objective: np.ndarray, bins: int) -> float:
    """The correlation ratio: the share of the variance between bins of equal size, or between the values themselves."""
    if len(np.unique(values)) > bins:
        values = np.argsort(np.argsort(values)) * bins // len(values)
    between = [
        (values == b).mean() * (objective[values == b].mean() - objective.mean()) ** 2 for b in np.unique(values)
    ]
    return sum(between) / objective.var()


@pytest.mark.slow
@pytest.mark.parametrize("matters", ["learning_rate", "gamma", "faithful"])
def test_the_parameter_that_matters_has_the_importance(matters: str) -> None:
    sweep = sweep_of(60, matters=matters)
    shares = dict(importances(sweep).itertuples(index=False))
    assert set(shares) == set(sweep.spec.space) and sum(shares.values()) == pytest.approx(1)
    table = trial_table(sweep)
    own = {name: explained(table[name].to_numpy(float), table["objective"].to_numpy(), bins=6) for name in shares}
    assert max(own, key=own.__getitem__) == max(shares, key=shares.__getitem__) == matters
    assert own[matters] > 0.9 and shares[matters] > 0.9
    assert max(share for name, share in shares.items() if name != matters) < 0.1


@pytest.mark.slow
def test_the_numbers_are_those_of_a_study_that_optuna_holds_itself() -> None:
    import optuna
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
    from optuna.importance import FanovaImportanceEvaluator, get_param_importances

    sweep = sweep_of(24)
    spaces = {
        "faithful": CategoricalDistribution([False, True]),
        "learning_rate": FloatDistribution(1e-4, 1e-1, log=True),
        "gamma": FloatDistribution(0, 2),
        "width": IntDistribution(8, 512),
    }
    study = optuna.create_study(direction="minimize")
    for trial in sweep.trials:
        study.add_trial(optuna.create_trial(params=trial.params, distributions=spaces, value=trial.value))
    shares = get_param_importances(study, evaluator=FanovaImportanceEvaluator(seed=0))
    assert dict(importances(sweep).itertuples(index=False)) == pytest.approx(shares)
    assert sweep.best is not None and sweep.best.number == study.best_trial.number


def test_importances_are_not_told_where_they_would_be_chance() -> None:
    with refusal(SpecError, "too_few_trials"):
        importances(sweep_of(FEWEST - 1))
    importances(sweep_of(FEWEST))
    sweep = sweep_of(FEWEST)
    same = sweep.model_copy(update={"trials": tuple(t.model_copy(update={"value": 1.0}) for t in sweep.trials)})
    with refusal(SpecError, "no_difference"):
        importances(same)


def test_trials_that_did_not_finish_say_nothing_about_importance() -> None:
    sweep = sweep_of(40)
    pruned = tuple(
        t.model_copy(update={"state": "pruned", "value": 99.0}) if t.number % 4 == 0 else t for t in sweep.trials
    )
    with_pruned = sweep.model_copy(update={"trials": pruned})
    shares = dict(importances(with_pruned).itertuples(index=False))
    assert max(shares, key=shares.__getitem__) == "learning_rate" and shares["learning_rate"] > 0.8


@pytest.mark.parametrize(("metric", "choose"), [("mae", min), ("pearson_delta", max)])
def test_the_best_is_at_the_good_end_of_the_metric(metric: str, choose: object) -> None:
    sweep = sweep_of(12, metric=metric)
    extreme = sweep.trials[3].model_copy(update={"state": "pruned", "value": -99.0 if metric == "mae" else 99.0})
    sweep = sweep.model_copy(update={"trials": (*sweep.trials[:3], extreme, *sweep.trials[4:])})
    values = {trial.number: trial.value for trial in sweep.trials if trial.state == "finished"}
    assert sweep.best is not None and sweep.best.number == choose(values, key=values.__getitem__)
    spec = best_spec(sweep, sweep.best)
    assert spec.params == {"genes": 500} | sweep.best.params and (spec.split, spec.seed) == ("s", 4)


def test_the_table_holds_every_trial() -> None:
    sweep = sweep_of(5)
    table = trial_table(sweep)
    assert table["trial"].tolist() == [1, 2, 3, 4, 5] and set(table["state"]) == {"finished"}
    assert table["learning_rate"].tolist() == [trial.params["learning_rate"] for trial in sweep.trials]
    assert table["runs"][0] == "r-0-4, r-0-5"
