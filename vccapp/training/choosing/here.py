"""How a model did on these data: its best finished run on a split, beside the perturbation mean.

best = find_best("ridge", runs, split)            # by the validation part, the test part where that is empty
describe_best(best)                               # "Best of 3 runs here, Pearson of deltas: 0.412 on 8 validation ..."
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from vccapp.data.splits.split import Split
from vccapp.evaluation.metrics import METRICS
from vccapp.references import PERTURBATION_MEAN
from vccapp.training.choosing.measured import METRIC
from vccapp.training.record import Part, RunRecord
from vccapp.training.results.own_scores import load_references

NAMES: dict[Part, str] = {"val": "validation", "test": "test"}


@dataclass(frozen=True)
class Best:
    """A run, and of how many finished ones of its model on a split it is the best."""

    run: RunRecord
    n_runs: int

    def score(self, part: Part, model: str = "") -> float | None:
        """Of the run, or of another model that was scored with it."""
        return self.run.metrics.get(part, {}).get(model or self.run.spec.model, {}).get(METRIC)

    def count(self, part: Part) -> int:
        """Perturbations of the run's mean: those that have the score."""
        table = load_references(self.run, part).get(self.run.spec.model)
        return len(getattr(self.run.split, part)) if table is None else int(table[METRIC].notna().sum())


def find_best(model: str, runs: Sequence[RunRecord], split: Split) -> Best | None:
    """None where there is no finished run of the model. Runs of other splits are left out, whatever their names."""
    parts = (split.train, split.val, split.test)
    own = [
        run
        for run in runs
        if run.state == "finished" and run.spec.model == model
        if (run.split.train, run.split.val, run.split.test) == parts
    ]
    judged: Part = "val" if split.val else "test"

    def key(run: RunRecord) -> float:
        score = Best(run, len(own)).score(judged)
        return -math.inf if score is None else score

    return Best(max(own, key=key), len(own)) if own else None


def describe_best(best: Best) -> str:
    """Its scores on both parts, with the number of perturbations, and those of the perturbation mean."""
    said = []
    for part, name in NAMES.items():
        own, floor = best.score(part), best.score(part, PERTURBATION_MEAN)
        if own is not None:
            beside = f", perturbation mean {floor:.3f}" if floor is not None else ""
            said.append(f"{own:.3f} on {best.count(part)} {name} perturbations{beside}")
    runs = "Its run here" if best.n_runs == 1 else f"Best of its {best.n_runs} runs here"
    scores = "; ".join(said) or "undefined, as all its predictions are constant"
    return f"{runs}, {METRICS[METRIC].label}: {scores}."
