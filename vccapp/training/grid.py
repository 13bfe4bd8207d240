"""A grid: every combination of some parameters' values and seeds, each an ordinary run.

grid = Grid(spec=spec, values=parse_values({"learning_rate": "0.001,0.01", "direction": 0.05}), seeds=(0, 1))
estimate = estimate_grid(grid.specs(), index, split, settings)
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict

from vccapp.commands import format_values, options, parse_value
from vccapp.data.schema import MAX_SEED
from vccapp.data.splits.split import Split
from vccapp.errors import SHOWN, SpecError
from vccapp.models.base import Estimate, make_model
from vccapp.settings import Settings
from vccapp.stats.index import Index
from vccapp.training.fit import estimate_fit
from vccapp.training.record import RunSpec

MAX_RUNS = 200


class Grid(BaseModel):
    """`spec` with every combination of values and seeds. values : of each name that is tried, in the order of names."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    spec: RunSpec
    values: dict[str, tuple[Any, ...]]
    seeds: tuple[int, ...] = (0,)

    def specs(self) -> list[RunSpec]:
        """The runs. Raises SpecError for more than MAX_RUNS."""
        return expand_grid(self.spec, self.values, seeds=self.seeds)

    def command(self) -> list[str]:
        """`vccapp train grid` of these runs, word by word."""
        words = ["vccapp", "train", "grid", self.spec.model, "--split", self.spec.split]
        words += options({"--seeds": "" if self.seeds == (0,) else ",".join(map(str, self.seeds))})
        axes = {name: (value,) for name, value in self.spec.params.items()} | self.values
        words += [word for name, values in axes.items() for word in ("--set", f"{name}={format_values(values)}")]
        return words + options({"--title": self.spec.title})


def parse_values(texts: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Values separated by commas, or a list, for each name: {"rate": "0.1,0.2"} -> {"rate": [0.1, 0.2]}. Pure.

    Each is JSON where it parses as JSON, else text; what comes twice is taken once. Raises SpecError for no value.
    """
    values = {}
    for name, given in texts.items():
        if isinstance(given, str):
            found = [parse_value(word.strip()) for word in given.split(",")]
        else:
            found = given if isinstance(given, list) else [given]
        if "" in found or not found:
            raise SpecError(
                "bad_assignment",
                f"'{name}' lacks a value",
                fix="write NAME=VALUE,VALUE",
            )
        if len(found) > MAX_RUNS:
            raise SpecError(
                "too_many_runs",
                f"'{name}' has {len(found):,} values, but at most {MAX_RUNS} runs can be started at once",
                fix="use fewer values or seeds",
            )
        values[name] = [value for i, value in enumerate(found) if value not in found[:i]]
    return values


def parse_seeds(text: str) -> list[int]:
    """ "0,1,2" -> [0, 1, 2]. Raises SpecError for what is no whole number from 0."""
    [seeds] = parse_values({"seeds": text}).values()
    if wrong := [seed for seed in seeds if type(seed) is not int or not 0 <= seed <= MAX_SEED]:
        raise SpecError(
            "bad_seed",
            f"{str(wrong[0])[:SHOWN]!r} is not a seed",
            fix=f"use whole numbers from 0 to {MAX_SEED}, separated by commas",
        )
    return seeds


def expand_grid(spec: RunSpec, values: Mapping[str, Sequence[Any]], *, seeds: Sequence[int]) -> list[RunSpec]:
    """`spec` with every combination, the last name changing fastest; its title says what differs. Pure.

    Raises SpecError for more than MAX_RUNS.
    """
    axes = {**values, "seed": seeds}
    n_runs = math.prod(map(len, axes.values()))
    if n_runs > MAX_RUNS:
        raise SpecError(
            "too_many_runs",
            f"This grid has {n_runs:,} runs, but at most {MAX_RUNS} can be started at once",
            fix="use fewer values or seeds",
        )
    several = [name for name, choices in axes.items() if len(choices) > 1]
    specs = []
    for chosen in itertools.product(*axes.values()):
        named = dict(zip(axes, chosen, strict=True))
        title = " ".join([*([spec.title] if spec.title else []), *(f"{name}={named[name]}" for name in several)])
        seed = named.pop("seed")
        specs.append(spec.model_copy(update={"params": spec.params | named, "seed": seed, "title": title}))
    return specs


def estimate_grid(specs: Sequence[RunSpec], index: Index, split: Split, settings: Settings) -> Estimate:
    """What all take one after the other: seconds of all, memory of the largest. Raises SpecError as `make_model`."""
    estimates = [estimate_fit(make_model(spec.model, spec.params), index, split, settings, ranks=1) for spec in specs]
    seconds = sum(estimate.seconds for estimate in estimates)
    memory_bytes = max(estimate.memory_bytes for estimate in estimates)
    text = f"{len(specs):,} run{'s' * (len(specs) > 1)}, one after the other"
    return Estimate(seconds=seconds, memory_bytes=memory_bytes, text=text)
