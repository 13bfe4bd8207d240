"""A form from a pydantic model: one widget a field, its help from the description, its limits from the constraints."""

import types
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeVar, Union, get_args, get_origin

import streamlit as st
from pydantic import BaseModel
from pydantic.fields import FieldInfo

if TYPE_CHECKING:
    from streamlit.delta_generator import DeltaGenerator

Key = TypeVar("Key", bound=str)
A_ROW = 3


def spec_form(spec: type[BaseModel], *, key: str, first: Sequence[str] = ()) -> dict[str, Any]:
    """Draw a widget for each field of `spec`; the values, still to be checked by the model.

    first : fields that are seen at once, in this order; where it is given the others wait under More settings
    """
    fields = spec.model_fields
    values = _widgets({name: fields[name] for name in first or fields}, key)
    if rest := {name: field for name, field in fields.items() if first and name not in first}:
        with st.expander("More settings", icon=":material/tune:"):
            values |= _widgets(rest, key)
    return {name: values[name] for name in fields}


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


def changed_values(spec: type[BaseModel], values: Mapping[str, Any]) -> dict[str, Any]:
    """Those of a form's values that are not the defaults of `spec`."""
    fields = spec.model_fields
    return {
        name: value for name, value in values.items() if value != fields[name].get_default(call_default_factory=True)
    }


def _widgets(fields: Mapping[str, FieldInfo], key: str) -> dict[str, Any]:
    values: dict[str, Any] = {}
    names = list(fields)
    for start in range(0, len(names), A_ROW):
        row = names[start : start + A_ROW]
        for column, name in zip(st.columns(A_ROW, vertical_alignment="bottom"), row, strict=False):
            with column:
                values[name] = _widget(name, fields[name], f"{key}_{name}")
    return values


def field_label(name: str) -> str:
    """A field's name as a label: learning_rate -> Learning rate."""
    return name.replace("_", " ").capitalize()


def field_limits(field: FieldInfo) -> tuple[float | None, float | None]:
    """The least and largest allowed value, as far as the annotations say (exclusive ones are left to the check)."""
    low = next((mark.ge for mark in field.metadata if getattr(mark, "ge", None) is not None), None)
    high = next((mark.le for mark in field.metadata if getattr(mark, "le", None) is not None), None)
    return low, high


def plain_type(annotation: Any) -> Any:
    """The type behind `X | None`."""
    if get_origin(annotation) in (Union, types.UnionType):
        return next(arg for arg in get_args(annotation) if arg is not type(None))
    return annotation


def named(labels: Mapping[Key, str]) -> Callable[[Key], str]:
    """What a widget calls its options; one that is gone by its key."""
    return lambda key: labels.get(key, str(key))


def _widget(name: str, field: FieldInfo, key: str) -> Any:
    kind, default = plain_type(field.annotation), field.get_default(call_default_factory=True)
    label = field.title or field_label(name)
    shared: dict[str, Any] = {"key": key, "help": f"{field.description or label} (`{name}`)", "bind": "query-params"}
    if get_origin(kind) is Literal:
        options = list(get_args(kind))
        return st.selectbox(label, options, index=options.index(default), **shared)
    if kind is bool:
        return st.toggle(label, value=default, **shared)
    if kind in (int, float):
        low, high = field_limits(field)
        step = 1 if kind is int else None
        convert = lambda value: None if value is None else kind(value)  # noqa: E731
        return st.number_input(
            label,
            min_value=convert(low),
            max_value=convert(high),
            value=convert(default),
            step=step,
            format="%d" if kind is int else "%.4g",
            **shared,
        )
    if field.examples:
        return st.selectbox(
            label, field.examples, index=field.examples.index(default), accept_new_options=True, **shared
        )
    text = st.text_input(label, value="" if default is None else str(default), **shared)
    return None if text == "" and default is None else text
