"""What a sweep shows: its trials as a table, and which parameters the objective depends on."""

import pandas as pd

from vccapp.errors import SpecError
from vccapp.training.record import RunSpec
from vccapp.training.sweeps.record import SweepRecord, Trial
from vccapp.training.sweeps.sampler import as_study

FEWEST = 10
"""Finished trials below which importances would be chance."""
TREES_SEED = 0


def trial_table(sweep: SweepRecord) -> pd.DataFrame:
    """One row a trial: trial (from 1), state, objective, its parameters, runs, reason."""
    names = list(sweep.spec.space)
    rows = [
        {"trial": trial.number + 1, "state": trial.state, "objective": trial.value}
        | trial.params
        | {"runs": ", ".join(run.id for run in trial.runs), "reason": trial.reason}
        for trial in sweep.trials
    ]
    return pd.DataFrame(rows, columns=["trial", "state", "objective", *names, "runs", "reason"])


def importances(sweep: SweepRecord) -> pd.DataFrame:
    """parameter, importance: shares of the objective's variance that a random forest lays on each (fANOVA), sum 1.

    Raises SpecError where that cannot be told: fewer than FEWEST finished trials, one parameter, one value of all.
    """
    from optuna.importance import FanovaImportanceEvaluator, get_param_importances

    done = [trial for trial in sweep.trials if trial.state == "finished"]
    if len(sweep.spec.space) < 2:
        raise SpecError("one_parameter", "Importances compare parameters, and this sweep tries one")
    if len(done) < FEWEST:
        problem = f"Importances are told from {FEWEST} finished trials on; there are {len(done)}"
        raise SpecError("too_few_trials", problem, found=len(done))
    if len({trial.value for trial in done}) < 2:
        raise SpecError("no_difference", "All finished trials have the same objective")
    again = [trial.model_copy(update={"number": i}) for i, trial in enumerate(done)]
    shares = get_param_importances(as_study(sweep.spec, again), evaluator=FanovaImportanceEvaluator(seed=TREES_SEED))
    return pd.DataFrame(sorted(shares.items(), key=lambda pair: -pair[1]), columns=["parameter", "importance"])


def best_spec(sweep: SweepRecord, trial: Trial) -> RunSpec:
    """The run that a trial stands for, on the split of the sweep itself."""
    changed = {"params": sweep.spec.run.params | trial.params, "seed": sweep.spec.seeds[0]}
    return sweep.spec.run.model_copy(update=changed)
