"""Values as words of a command and back."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vccapp.commands import assignments, format_value, format_values, options, parse_assignments, parse_value
from vccapp.errors import SpecError
from vccapp.training.sweeps.space import parse_values

VALUES = st.one_of(
    st.text(),
    st.booleans(),
    st.none(),
    st.integers(),
    st.floats(allow_nan=False),
    st.lists(st.one_of(st.text(), st.integers())),
)


def same(one: object, other: object) -> bool:
    return type(one) is type(other) and one == other


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "true"),
        (None, "null"),
        (0.001, "0.001"),
        (1e-05, "1e-05"),
        ("C4", "C4"),
        ("1", '"1"'),
        ("true", '"true"'),
    ],
)
def test_values_are_written_one_way(value: object, text: str) -> None:
    assert format_value(value) == text and same(parse_value(text), value)
    assert assignments({"x": value}) == ["--set", f"x={text}"]


@pytest.mark.slow
@given(st.dictionaries(st.from_regex(r"[a-z_]+", fullmatch=True), VALUES))
def test_assignments_are_read_back(values: dict) -> None:
    read = parse_assignments(assignments(values)[1::2])
    assert read == values and all(same(read[name], values[name]) for name in values)


@pytest.mark.slow
@given(st.lists(VALUES.filter(lambda value: value != "" and not isinstance(value, list)), min_size=1))
def test_the_values_of_a_grid_are_read_back(values: list) -> None:
    unique = [value for i, value in enumerate(values) if value not in values[:i]]
    read = parse_values(parse_assignments([f"x={format_values(unique)}"]))["x"]
    assert read == unique and all(map(same, read, unique))


def test_a_word_without_a_value_is_refused() -> None:
    for word in ("nonsense", "=1"):
        with pytest.raises(SpecError) as error:
            parse_assignments([word])
        assert error.value.code == "bad_assignment"


def test_options_that_say_nothing_are_left_out() -> None:
    given_ = {"--a": 0, "--b": None, "--c": "", "--d": False, "--e": True, "--f": "x y", "--g": 0.5}
    assert options(given_) == ["--a", "0", "--e", "--f", "x y", "--g", "0.5"]
    assert math.isnan(parse_value(format_value(math.nan)))
