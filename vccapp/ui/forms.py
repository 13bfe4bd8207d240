"""A form from a pydantic model: one widget a field, its help from the description, its limits from the constraints."""

import types
from typing import Any, Literal, Union, get_args, get_origin

import streamlit as st
from pydantic import BaseModel
from pydantic.fields import FieldInfo


def spec_form(spec: type[BaseModel], *, key: str) -> dict[str, Any]:
    """Draw a widget for each field of `spec`, three in a row; the values, still to be checked by the model."""
    fields = list(spec.model_fields.items())
    values: dict[str, Any] = {}
    for start in range(0, len(fields), 3):
        row = fields[start : start + 3]
        for column, (name, field) in zip(st.columns(3), row, strict=False):
            with column:
                values[name] = _widget(name, field, f"{key}_{name}")
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


def _widget(name: str, field: FieldInfo, key: str) -> Any:
    kind, label, default = plain_type(field.annotation), field_label(name), field.get_default(call_default_factory=True)
    shared = {"key": key, "help": field.description, "bind": "query-params"}
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
    return st.text_input(label, value="" if default is None else str(default), **shared) or None
