"""The search space of a sweep: for each parameter that is tried, its values or a range.

space = read_space("scouter", {"direction": (0.01, 0.5)}, {"learning_rate": "1e-4,1e-2,log"})
"""

from collections.abc import Mapping, Sequence
from typing import Any, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from vccapp.commands import format_value, format_values, parse_value
from vccapp.data.schema import MAX_SEED
from vccapp.errors import SHOWN, SpecError, explain
from vccapp.models.base import MODELS
from vccapp.registry import make_spec

MAX_RUNS = 1000
"""Of a sweep, and values of a parameter."""


class Choices(BaseModel):
    """Values of a parameter, each as good as the others to begin with."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    values: tuple[Any, ...] = Field(min_length=1)

    def text(self) -> str:
        return format_values(self.values)


class Range(BaseModel):
    """Numbers from `low` to `high`, both included. log : drawn evenly on a log scale; whole : of integers"""

    model_config = ConfigDict(frozen=True, extra="forbid")

    low: float
    high: float
    log: bool = False
    whole: bool = False

    @model_validator(mode="after")
    def _check_ends(self) -> Self:
        if not self.low < self.high:
            raise ValueError(f"the range from {self.low:g} to {self.high:g} is empty")
        if self.log and self.low <= 0:
            raise ValueError(f"a log scale cannot begin at {self.low:g}")
        if self.whole and not (self.low.is_integer() and self.high.is_integer()):
            raise ValueError(f"the range from {self.low:g} to {self.high:g} is of whole numbers")
        return self

    @property
    def ends(self) -> tuple[float, float]:
        return self.number(self.low), self.number(self.high)

    def number(self, value: float) -> float:
        """A value as the parameter takes it: whole, or of four digits and within the range."""
        if self.whole:
            return int(value)
        return min(max(float(f"{value:.4g}"), self.low), self.high)

    def text(self) -> str:
        return ",".join([*map(format_value, self.ends), *(["log"] if self.log else [])])


Space = dict[str, Choices | Range]


def read_space(
    model: str, values: Mapping[str, Sequence[Any]], ranges: Mapping[str, str], *, fixed: Mapping[str, Any]
) -> Space:
    """The space of a model, checked against its parameters. ranges : "LOW,HIGH" or "LOW,HIGH,log" of each name.

    fixed : parameters that all trials share. Raises SpecError for an unknown parameter, a value that it does not take,
    a range of what is no number or has no width, and for a parameter that is given twice.
    """
    if twice := {*values, *ranges} & set(fixed) | set(values) & set(ranges):
        raise SpecError("given_twice", f"'{min(twice)}' is given twice", fix="give its values or its range")
    space: Space = {name: Choices(values=tuple(tried)) for name, tried in values.items()}
    space |= {name: read_range(model, name, text) for name, text in ranges.items()}
    check_space(model, space, fixed=fixed)
    return space


def read_range(model: str, name: str, text: Any) -> Range:
    """ "1e-4,1e-2,log" as the range of a parameter. Raises SpecError as `read_space` does."""
    words = [word.strip() for word in str(text).split(",")]
    log = words[-1] == "log"
    ends = [parse_value(word) for word in words[:-1] if log] or [parse_value(word) for word in words]
    if len(ends) != 2 or any(type(end) not in (int, float) for end in ends):
        raise SpecError(
            "bad_range", f"'{str(text)[:SHOWN]}' is not a range of {name}", fix="write LOW,HIGH or LOW,HIGH,log"
        )
    field = MODELS[model].Spec.model_fields.get(name)
    kinds = set() if field is None else {field.annotation, *get_args(field.annotation)}
    if field is not None and not kinds & {int, float}:
        raise SpecError("no_number", f"Parameter {name} of {model} is not a number", fix="give its values instead")
    try:
        return Range(low=ends[0], high=ends[1], log=log, whole=field is not None and float not in kinds)
    except ValidationError as error:
        raise SpecError("bad_range", f"{name}: {explain(error)}", fix="choose other ends") from None


def check_space(model: str, space: Space, *, fixed: Mapping[str, Any]) -> None:
    """Raises SpecError for a value, or an end of a range, that the model does not take."""
    kind, first = MODELS[model], {name: every_value(part)[0] for name, part in space.items()}
    for name, part in space.items():
        for value in every_value(part):
            make_spec(kind.Spec, {**fixed, **first, name: value}, name=model)


def every_value(part: Choices | Range) -> tuple[Any, ...]:
    """The values of a parameter; of a range its ends."""
    return part.values if isinstance(part, Choices) else part.ends


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
            raise too_many_runs(f"'{name}' has {len(found):,} values")
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


def too_many_runs(what: str) -> SpecError:
    problem = f"{what}, but a sweep has at most {MAX_RUNS:,} runs"
    return SpecError("too_many_runs", problem, fix="use fewer values, trials, seeds or folds")
