from typing import Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from vccapp.errors import SHOWN, explain


class Spec(BaseModel):
    model_config = ConfigDict(extra="forbid")

    epochs: int = Field(3, ge=1)
    kind: Literal["a", "b"] = "a"
    limits: dict[str, int] = {}
    name: str

    @field_validator("name")
    @classmethod
    def _short(cls, value: str) -> str:
        if len(value) > 3:
            msg = "Names are short"
            raise ValueError(msg)
        return value

    @model_validator(mode="after")
    def _together(self) -> "Spec":
        if self.name == self.kind:
            msg = "name and kind differ"
            raise ValueError(msg)
        return self


def refuse(**values: object) -> ValidationError:
    with pytest.raises(ValidationError) as caught:
        Spec(**values)
    return caught.value


def test_a_refused_value_is_shown_with_its_field_and_reason() -> None:
    assert explain(refuse(name="x", epochs=0)) == "epochs is 0: input should be greater than or equal to 1"
    assert explain(refuse(name="x", limits={"deep": "many"})).startswith("limits.deep is 'many': ")
    assert explain(refuse(name="long")) == "name is 'long': names are short"
    assert explain(refuse(name="x", other=1)).startswith("other is 1: ")


def test_a_missing_field_does_not_show_all_the_others() -> None:
    assert explain(refuse(epochs=2)) == "name is missing"


def test_a_rule_between_fields_speaks_alone() -> None:
    assert explain(refuse(name="b", kind="b")) == "name and kind differ"


def test_the_caller_names_the_field() -> None:
    assert explain(refuse(name="x", kind="c"), name=lambda field: f"Parameter {field}").startswith(
        "Parameter kind is 'c': "
    )


def test_a_long_value_is_cut() -> None:
    assert len(explain(refuse(name="x" * 5000))) < SHOWN + 50
