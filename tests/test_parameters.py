"""What forms and commands say of parameters is what the parameters are: labels, groups, limits, and what is wrong."""

from typing import Any, Literal

import pytest
from annotated_types import Ge, Gt, Le, Lt
from pydantic import Field, ValidationError

from vccapp.models.base import MODELS, list_trainable
from vccapp.neural.state_embedding.spec import StateEmbeddingSpec
from vccapp.parameters import (
    Parameters,
    changed_values,
    default_of,
    describe_limits,
    does_matter,
    find_problem,
    groups_of,
    label_of,
)


class Toy(Parameters):
    rate: float = Field(0.1, gt=0, le=1, title="Rate", description="How fast.")
    steps: int | None = Field(3, ge=1, title="Steps")
    dropout: float = Field(0.1, ge=0, lt=1)
    free: float = 2.0
    way: Literal["a", "b"] = "b"


SPECS = {name: MODELS[name].Spec for name in list_trainable()} | {"embed": StateEmbeddingSpec}
FIELDS = [(name, field) for name, spec in SPECS.items() for field in spec.model_fields]


@pytest.mark.parametrize(("model", "name"), FIELDS)
def test_every_parameter_has_a_label_and_a_help_of_its_own(model: str, name: str) -> None:
    field = SPECS[model].model_fields[name]
    assert field.title and field.description and "_" not in field.title
    assert field.title[0].isupper() and field.title.rstrip(".") != field.description.rstrip(".")


@pytest.mark.parametrize("model", SPECS)
def test_every_field_is_in_one_group_after_those_that_decide_on_it(model: str) -> None:
    spec, seen = SPECS[model], {}
    listed = [name for names in groups_of(spec).values() for name in names]
    assert sorted(listed) == sorted(spec.model_fields)
    labels = [label_of(spec, name) for name in listed]
    assert len(set(labels)) == len(labels)
    for name in listed:
        assert isinstance(does_matter(spec, name, seen), bool)  # KeyError: it asks for a field that comes later
        seen[name] = default_of(spec.model_fields[name])


def test_limits_are_told_in_words() -> None:
    assert describe_limits(Toy, "rate") == "a number above 0, at most 1"
    assert describe_limits(Toy, "steps") == "a whole number, at least 1"
    assert describe_limits(Toy, "dropout") == "a number, at least 0, below 1"
    assert describe_limits(Toy, "free") == describe_limits(Toy, "way") == ""


def _at_limits(model: str, name: str) -> list[tuple[Any, bool]]:
    """Values at and just beyond each limit, and whether they are allowed."""
    found = []
    field = SPECS[model].model_fields[name]
    step = 1 if field.annotation is int else 1e-6
    for mark in field.metadata:
        if isinstance(mark, Ge):
            found += [(mark.ge, True), (mark.ge - step, False)]
        if isinstance(mark, Gt):
            found += [(mark.gt + step, True), (mark.gt, False)]
        if isinstance(mark, Le):
            found += [(mark.le, True), (mark.le + step, False)]
        if isinstance(mark, Lt):
            found += [(mark.lt - step, True), (mark.lt, False)]
    return found


@pytest.mark.parametrize(("model", "name"), [place for place in FIELDS if _at_limits(*place)])
def test_a_problem_is_told_exactly_where_the_model_refuses(model: str, name: str) -> None:
    spec = SPECS[model]
    for value, allowed in _at_limits(model, name):
        try:
            spec.model_validate({name: value})
            accepted = True
        except ValidationError:
            accepted = False
        assert accepted == allowed == (find_problem(spec, name, value) == ""), value


def test_a_problem_names_the_field_the_value_and_the_limits() -> None:
    assert find_problem(Toy, "steps", 0) == "Steps is 0; use a whole number, at least 1."
    assert find_problem(Toy, "steps", None) == ""
    assert "Way" in find_problem(Toy, "way", "c") and find_problem(Toy, "way", "a") == ""
    wrong = find_problem(MODELS["state"].Spec, "loss", "energy + hinge")
    assert "hinge" in wrong


def test_only_changed_values_are_kept() -> None:
    assert changed_values(Toy, {"rate": 0.1, "steps": None, "way": "a"}) == {"steps": None, "way": "a"}
