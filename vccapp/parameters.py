"""What forms, tables and commands say of parameters: label, group, limits, when they matter, and what is wrong.

    class RidgeSpec(Parameters):
        strength: float | None = Field(None, gt=0, le=10, title="Strength", description="Factor on ...")

    label_of(RidgeSpec, "strength")                        # "Strength"
    describe_limits(RidgeSpec, "strength")                 # "a number above 0, at most 10"
    find_problem(RidgeSpec, "strength", 11)                # "Strength is 11; use a number above 0, at most 10."
    groups_of(StateSpec)                                   # {"What it learns from": ("embedding", ...), ...}

All of it stands once, with the fields.
"""

import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any, ClassVar, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from vccapp.errors import SHOWN, VccAppError, explain

OTHERS = "Other settings"
"""Heading of the fields that are in no group, where there are groups."""
Offer = Literal[
    "embedding",
    "embedding or one-hot",
    "baseline",
    "cell embedding",
    "network",
    "checkpoint",
    "trained folder",
    "dataset",
]
"""What of a workspace a field may name."""
LIMITS = ("ge", "gt", "le", "lt")


class Parameters(BaseModel):
    """A model whose fields people choose. A field's description is its help text, in forms and commands."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    groups: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    """Fields by heading, in the order of a form; a field stands after those that decide whether it matters."""
    matters: ClassVar[Mapping[str, Callable[[Mapping[str, Any]], bool]]] = {}
    """Of fields that change nothing in some cases: whether they do, by the values of the fields before them."""
    offers: ClassVar[Mapping[str, Offer]] = {}
    """Fields that name something, and what."""
    value_labels: ClassVar[Mapping[str, Mapping[Any, str]]] = {}
    """What the values of a field with few of them are called."""


@dataclass(frozen=True)
class Preset:
    """Values of parameters that go together. purpose : when to take them; source : where they are from."""

    label: str
    purpose: str
    source: str
    values: Mapping[str, Any]


def label_of(spec: type[BaseModel], name: str) -> str:
    """What a field is called in forms, tables and sentences; a name that is no field by its words."""
    field = spec.model_fields.get(name)
    return (field.title if field else None) or name.replace("_", " ").capitalize()


def label_value(spec: type[BaseModel], name: str, value: Any) -> str:
    """What a value of a field is called."""
    labels = getattr(spec, "value_labels", {}).get(name, {})
    return labels.get(value, str(value)) if isinstance(value, str) else str(value)


def groups_of(spec: type[BaseModel]) -> dict[str, tuple[str, ...]]:
    """Every field under its heading; all under "" where the model has no groups."""
    groups = dict(getattr(spec, "groups", {}))
    named = {name for names in groups.values() for name in names}
    if rest := tuple(name for name in spec.model_fields if name not in named):
        groups[OTHERS if groups else ""] = rest
    return groups


def does_matter(spec: type[BaseModel], name: str, values: Mapping[str, Any]) -> bool:
    """Whether a field changes anything, by the values of the fields before it."""
    rule = getattr(spec, "matters", {}).get(name)
    return rule is None or rule(values)


def default_of(field: FieldInfo) -> Any:
    """The value of a field that nobody has chosen."""
    return field.get_default(call_default_factory=True)


def changed_values(spec: type[BaseModel], values: Mapping[str, Any]) -> dict[str, Any]:
    """Those values that are not the defaults."""
    return {name: value for name, value in values.items() if value != default_of(spec.model_fields[name])}


def plain_type(annotation: Any) -> Any:
    """The type behind `X | None`."""
    if get_origin(annotation) in (Union, types.UnionType):
        return next(arg for arg in get_args(annotation) if arg is not type(None))
    return annotation


def describe_limits(spec: type[BaseModel], name: str) -> str:
    """What numbers a field takes: 'a whole number, at least 1'; empty where it takes none, or any."""
    field = spec.model_fields[name]
    kind = {int: "a whole number", float: "a number"}.get(plain_type(field.annotation))
    limits = {
        limit: getattr(mark, limit)
        for mark in field.metadata
        for limit in LIMITS
        if getattr(mark, limit, None) is not None
    }
    if kind is None or not limits:
        return ""
    words = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}
    if {"ge", "le"} <= limits.keys():
        return f"{kind} from {limits['ge']:g} to {limits['le']:g}"
    said = [f"{words[limit]} {limits[limit]:g}" for limit in LIMITS if limit in limits]
    space = " " if limits.keys() & {"gt", "lt"} and "ge" not in limits else ", "
    return f"{kind}{space}{', '.join(said)}"


def find_problem(spec: type[BaseModel], name: str, value: Any) -> str:
    """What is wrong with the value of one field, in a sentence; empty where nothing is."""
    label, limits = label_of(spec, name), describe_limits(spec, name)
    try:
        _checker(spec, name).validate_python(value)
    except ValidationError as error:
        if limits:
            return f"{label} is {'empty' if value is None else value}; use {limits}."
        reason = explain(error)
        return f"{label} is {str(value)[:SHOWN]}: {reason}."
    except VccAppError as error:
        return str(error)
    return ""


@lru_cache(maxsize=256)
def _checker(spec: type[BaseModel], name: str) -> TypeAdapter[Any]:
    field = spec.model_fields[name]
    return TypeAdapter(Annotated[(field.annotation, *field.metadata)] if field.metadata else field.annotation)  # type: ignore[arg-type]
