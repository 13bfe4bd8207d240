"""A form from parameters: one widget a field, in groups; what is out of its limits is said beside it at once."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeVar, get_args, get_origin

import streamlit as st
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from vccapp.parameters import (
    default_of,
    describe_limits,
    does_matter,
    find_problem,
    groups_of,
    label_of,
    label_value,
    plain_type,
)
from vccapp.wording import plain

if TYPE_CHECKING:
    from streamlit.delta_generator import DeltaGenerator

Key = TypeVar("Key", bound=str)
OPEN = 2
"""Groups that are open at first; the others are where the address chooses something in them."""


@dataclass(frozen=True)
class Filled:
    """What a form holds. values : of every field; problems : a sentence for each that is out of its limits."""

    values: dict[str, Any]
    problems: tuple[str, ...]


@dataclass(frozen=True)
class Offered:
    """What a field may name. labels : by value; typed : whether another may be typed, and then each is called by its
    value; note : what a value is, said below the field.
    """

    labels: Mapping[str, str]
    typed: bool = True
    note: Callable[[str], str] = field(default=lambda value: "")


def spec_form(spec: type[BaseModel], *, key: str, offered: Mapping[str, Offered] | None = None) -> Filled:
    """Draw a widget for each field of `spec` that matters; the others have their defaults.

    offered : lists for fields that name something
    """
    values: dict[str, Any] = {}
    problems: list[str] = []
    groups = groups_of(spec)
    for place, (heading, names) in enumerate(groups.items()):
        linked = any(f"{key}_{name}" in st.query_params for name in names)
        with (
            st.expander(heading, expanded=place < OPEN or linked, key=f"{key}_group_{place}")
            if len(groups) > 1
            else st.container()
        ):
            fields = st.container(key=f"fields_{key}_{place}")
            for name in names:
                if not does_matter(spec, name, values):
                    values[name] = default_of(spec.model_fields[name])
                    continue
                with fields.container():
                    values[name] = _widget(spec, name, f"{key}_{name}", (offered or {}).get(name))
                    if problem := find_problem(spec, name, values[name]):
                        problems.append(problem)
                        st.caption(f":red[{plain(problem)}]")
    return Filled({name: values[name] for name in spec.model_fields}, tuple(problems))


def form_query(spec: type[BaseModel], values: Mapping[str, Any], *, key: str) -> dict[str, str]:
    """The parameters of an address that opens the form with these values; fields without a value keep their default."""
    query = {}
    for name, value in values.items():
        if name not in spec.model_fields or value == default_of(spec.model_fields[name]):
            continue
        kind = plain_type(spec.model_fields[name].annotation)
        if kind is bool:
            text = str(value).lower()
        elif value is None:
            text = ""
        else:
            text = label_value(spec, name, value) if get_origin(kind) is Literal else str(value)
        query[f"{key}_{name}"] = text
    return query


def set_form(spec: type[BaseModel], values: Mapping[str, Any], *, key: str) -> None:
    """Fill a form with these values and the defaults of all other fields; for a callback, before it is drawn."""
    for name, known in spec.model_fields.items():
        value, kind = values.get(name, default_of(known)), plain_type(known.annotation)
        if kind is float and value is not None:
            value = float(value)
        st.session_state[f"{key}_{name}"] = "" if value is None and kind is str else value


def choose_one(
    label: str,
    options: Mapping[Key, str] | Sequence[Key],
    *,
    key: str,
    default: Key | None = None,
    place: "DeltaGenerator | None" = None,
    linked: bool = True,
    **more: Any,
) -> Key:
    """One of a few options, always one of them.

    options : by name, what they are called; names that are their own in a list. default : the first
    place : a column, say; linked : the choice stands in the page's address; more : of `st.segmented_control`
    """
    called: Mapping[Key, str] = options if isinstance(options, Mapping) else {name: name for name in options}
    first = next(iter(called)) if default is None else default
    chosen = (st if place is None else place).segmented_control(
        label,
        list(called),
        default=None if key in st.session_state else first,  # a page may have set it
        required=True,
        key=key,
        bind="query-params" if linked else None,
        format_func=called.__getitem__,
        **more,
    )
    return first if chosen is None else chosen


def named(labels: Mapping[Key, str]) -> Callable[[Key], str]:
    """What a widget calls its options; one that is gone by its key."""
    return lambda key: labels.get(key, str(key))


def _help(spec: type[BaseModel], name: str) -> str:
    """What a field changes, what it takes, and its name in the code."""
    said = [spec.model_fields[name].description or label_of(spec, name)]
    if limits := describe_limits(spec, name):
        said.append(f"{limits[0].upper()}{limits[1:]}.")
    return f"{' '.join(said)} (`{name}`)"


def _widget(spec: type[BaseModel], name: str, key: str, offered: Offered | None) -> Any:
    known: FieldInfo = spec.model_fields[name]
    kind, default = plain_type(known.annotation), default_of(known)
    label = label_of(spec, name)
    shared: dict[str, Any] = {"key": key, "help": _help(spec, name), "bind": "query-params"}
    if get_origin(kind) is Literal:
        options = list(get_args(kind))
        return st.selectbox(
            label,
            options,
            index=options.index(default),
            format_func=lambda value: label_value(spec, name, value),
            **shared,
        )
    if kind is bool:
        return st.toggle(label, value=default, **shared)
    empty = "Automatic" if default is None else None
    if kind is int:
        return st.number_input(label, value=default, step=1, format="%d", placeholder=empty, **shared)
    if kind is float:
        return st.number_input(label, value=default, step=_step(default), format="%.4g", placeholder=empty, **shared)
    if offered:
        return _choose_offered(label, default, offered, **shared)
    if known.examples:
        return st.selectbox(
            label, known.examples, index=known.examples.index(default), accept_new_options=True, **shared
        )
    text = st.text_input(label, value="" if default is None else str(default), **shared)
    return None if text == "" and default is None else text


def _choose_offered(label: str, default: str | None, offered: Offered, **shared: Any) -> str | None:
    """One of a list, or what is typed, and what it is; the default is always in the list."""
    first = default or ""
    options = list(dict.fromkeys([first, *offered.labels]))
    called = named({"": "None"} if offered.typed else {"": "None", **offered.labels})  # typed ones have no other name
    chosen = st.selectbox(label, options, index=0, format_func=called, accept_new_options=offered.typed, **shared)
    chosen = (chosen or "").strip()
    if note := offered.note(chosen):
        st.caption(plain(note))
    return None if chosen == "" and default is None else chosen


def _step(default: float | None) -> float:
    """What a click on + or - changes: one of the first digit of the default."""
    return 10.0 ** math.floor(math.log10(default)) if default else 0.1
