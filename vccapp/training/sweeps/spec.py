"""What decides a sweep: what its trials share, what they try, and by what they are judged."""

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from vccapp.commands import assignments, format_value, options
from vccapp.data.schema import MAX_SEED
from vccapp.data.splits.folds import name_fold
from vccapp.errors import SpecError, explain
from vccapp.evaluation.metrics import METRICS
from vccapp.evaluation.scoring.score import list_pseudobulk_metrics
from vccapp.models.base import MODELS
from vccapp.training.record import RunSpec
from vccapp.training.sweeps.space import MAX_RUNS, Choices, Range, Space, check_space, read_space, too_many_runs
from vccapp.training.validation import VALIDATION_METRICS

Sampler = Literal["grid", "random", "tpe"]
Pruning = Literal["none", "median", "hyperband"]
Seed = Annotated[int, Field(ge=0, le=MAX_SEED)]


def make_sweep(
    run: RunSpec, values: Mapping[str, Sequence[Any]], ranges: Mapping[str, str], **chosen: Any
) -> "SweepSpec":
    """A sweep of `run`, checked as far as no data are needed. chosen : other fields of SweepSpec

    values, ranges : as `read_space` takes them; a single value is shared by all runs.
    """
    fixed = run.params | {name: tried[0] for name, tried in values.items() if len(tried) == 1}
    tried = {name: every for name, every in values.items() if len(every) > 1}
    space = read_space(run.model, tried, ranges, fixed=fixed)
    try:
        spec = SweepSpec(run=run.model_copy(update={"params": fixed}), space=space, **chosen)
    except ValidationError as error:
        raise SpecError("bad_sweep", explain(error), fix="choose another value") from None
    spec.check()
    return spec


class SweepSpec(BaseModel):
    """All that decides a sweep: the same gives the same trials, where pruning does not stop a run early or late."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    run: RunSpec = Field(description="What all runs share; its seed and split are those of `seeds` and `folds`.")
    space: Space = Field({}, description="Values or range of each parameter that is tried.")
    sampler: Sampler = "tpe"
    n_trials: int = Field(0, ge=0, description="Number of trials; a grid has one for each combination.")
    sampler_seed: Seed = 0
    seeds: tuple[Seed, ...] = Field((0,), min_length=1, description="Each trial trains one run a seed.")
    folds: int = Field(0, ge=0, description="Folds of the perturbations outside test; 0: the split's own val part.")
    metric: str = Field("pearson_delta", description="Of the val part; a trial's objective is its mean over the runs.")
    pruning: Pruning = "none"
    at_once: int = Field(2, ge=1, description="Runs that are queued or running at once.")

    @model_validator(mode="after")
    def _count_grid(self) -> Self:
        """A grid's number of trials is that of its combinations."""
        if self.sampler == "grid":
            object.__setattr__(self, "n_trials", self.n_combinations)
        return self

    @property
    def n_combinations(self) -> int:
        """Of the values that are told; ranges left out."""
        return math.prod(len(part.values) for part in self.space.values() if isinstance(part, Choices))

    @property
    def ranges(self) -> list[str]:
        """The parameters that have one."""
        return [name for name, part in self.space.items() if isinstance(part, Range)]

    @property
    def runs_per_trial(self) -> int:
        return len(self.seeds) * max(self.folds, 1)

    @property
    def n_runs(self) -> int:
        return self.n_trials * self.runs_per_trial

    @property
    def better(self) -> Literal["high", "low"]:
        """Which end of the metric is good."""
        return METRICS[self.metric].best

    def check(self) -> None:
        """Raise SpecError for what no data are needed to refuse."""
        kind = MODELS[self.run.model]
        check_space(self.run.model, self.space, fixed=self.run.params)
        if self.sampler == "grid" and self.ranges:
            problem = f"A grid needs values, but '{self.ranges[0]}' has a range"
            raise SpecError("grid_of_range", problem, fix="give its values, or choose another sampler")
        if self.sampler != "grid" and not self.space:
            raise SpecError("nothing_to_try", "No parameter is tried", fix="give values or a range of one")
        if not self.n_trials:
            raise SpecError("no_trials", "The sweep has no trial", fix="give a number of trials from 1")
        if not self.ranges and self.n_trials > self.n_combinations:
            problem = f"There are {self.n_combinations:,} combinations, fewer than {self.n_trials:,} trials"
            raise SpecError("too_few_combinations", problem, fix="use a grid, or fewer trials")
        if self.n_runs > MAX_RUNS:
            raise too_many_runs(f"This sweep has {self.n_runs:,} runs")
        if self.metric not in list_pseudobulk_metrics():
            known = ", ".join(list_pseudobulk_metrics())
            raise SpecError("unknown_metric", f"A run has no score '{self.metric}'", fix=f"choose one of {known}")
        if self.pruning != "none":
            if not kind.is_network:
                problem = f"{kind.label} is fitted at once, so there is nothing to prune"
                raise SpecError("nothing_to_prune", problem, fix="leave pruning out")
            if self.metric not in VALIDATION_METRICS:
                problem = f"'{self.metric}' is not known while a run trains, so it cannot prune"
                raise SpecError("metric_not_logged", problem, fix=f"choose one of {', '.join(VALIDATION_METRICS)}")

    def combinations(self) -> list[dict[str, Any]]:
        """Those of a grid, the last name changing fastest."""
        axes = {name: part.values for name, part in self.space.items() if isinstance(part, Choices)}
        return [dict(zip(axes, chosen, strict=True)) for chosen in itertools.product(*axes.values())]

    def run_specs(self, params: dict[str, Any], *, split_name: str) -> list[RunSpec]:
        """The runs of a trial, by fold and then by seed; their titles say what differs. split_name : of `run.split`"""
        several = [name for name, part in self.space.items() if isinstance(part, Range) or len(part.values) > 1]
        tried = [f"{name}={format_value(params[name])}" for name in several]
        specs = []
        for fold, seed in itertools.product(range(1, self.folds + 1) if self.folds else [0], self.seeds):
            marks = [f"fold={fold}"] if fold else []
            marks += [f"seed={seed}"] if len(self.seeds) > 1 else []
            title = " ".join([*([self.run.title] if self.run.title else []), *tried, *marks])
            split = name_fold(split_name, fold, self.folds) if fold else self.run.split
            changed = {"params": self.run.params | params, "seed": seed, "split": split, "title": title}
            specs.append(self.run.model_copy(update=changed))
        return specs

    def command(self) -> list[str]:
        """`vccapp sweep start` of this sweep, word by word."""
        words = ["vccapp", "sweep", "start", self.run.model, "--split", self.run.split, *assignments(self.run.params)]
        for name, part in self.space.items():
            words += ["--set" if isinstance(part, Choices) else "--range", f"{name}={part.text()}"]
        trials = None if self.sampler == "grid" else self.n_trials
        words += options({"--sampler": self.sampler, "--trials": trials, "--sampler-seed": self.sampler_seed or None})
        words += options({"--seeds": "" if self.seeds == (0,) else ",".join(map(str, self.seeds))})
        words += options({"--folds": self.folds or None, "--metric": self.metric})
        words += options({"--pruning": "" if self.pruning == "none" else self.pruning, "--at-once": self.at_once})
        return words + options({"--title": self.run.title})
