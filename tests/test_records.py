"""Formats: stamps, the chain of migrations, and what cannot be read as one sentence with the path."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import BaseModel
from refusals import refusal

from vccapp.errors import DataError, SpecError
from vccapp.records import Format, list_records, read_record, undamaged

RECIPE = Format(
    "recipe",
    3,
    {
        1: lambda fields: {"steps": fields["text"].split("; ")},
        2: lambda fields: {"steps": [{"do": step} for step in fields["steps"]]},
    },
    fix="write it down again",
)


class Recipe(BaseModel):
    steps: list[dict[str, str]]


def write(path: Path, content: Any) -> Path:
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


@pytest.mark.parametrize(
    "content",
    [
        {"text": "cut; cook"},
        {"format": "recipe", "version": 1, "text": "cut; cook"},
        {"format": "recipe", "version": 2, "steps": ["cut", "cook"]},
        RECIPE.stamp({"steps": [{"do": "cut"}, {"do": "cook"}]}),
    ],
)
def test_every_version_is_read(content: dict[str, Any], tmp_path: Path) -> None:
    path = write(tmp_path / "r.json", content)
    assert read_record(path, RECIPE) == {"steps": [{"do": "cut"}, {"do": "cook"}]}
    assert read_record(path, RECIPE, Recipe.model_validate).steps[1] == {"do": "cook"}


def test_a_file_of_the_first_version_may_have_a_version_of_its_own(tmp_path: Path) -> None:
    """Index and score of 0.1.0 say `version` and mean theirs."""
    assert read_record(write(tmp_path / "r.json", {"version": "0.8.2"}), Format("score")) == {"version": "0.8.2"}


def test_a_stamp_comes_first() -> None:
    assert list(RECIPE.stamp({"steps": []})) == ["format", "version", "steps"]


def test_a_format_without_a_migration_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="recipe"):
        Format("recipe", 3, {1: dict})


@pytest.mark.parametrize(
    ("content", "code"),
    [
        ("", "record_damaged"),
        ('{"format": "recipe", "ver', "record_damaged"),
        ("\x00\x01", "record_damaged"),
        ("[" * 100_000, "record_damaged"),
        ([1], "record_damaged"),
        ({"format": "recipe"}, "record_damaged"),
        ({"format": "recipe", "version": "3"}, "record_damaged"),
        ({"format": "recipe", "version": 0}, "record_damaged"),
        ({"format": "recipe", "version": True}, "record_damaged"),
        ({"format": "recipe", "version": 1}, "record_damaged"),
        ({"format": "recipe", "version": 2, "steps": 5}, "record_damaged"),
        ({"format": "recipe", "version": 3, "steps": 5}, "record_damaged"),
        ({"format": "recipe", "version": 3}, "record_damaged"),
        ({"format": "recipe", "version": 4, "steps": []}, "newer_format"),
        ({"format": "split", "version": 1}, "other_format"),
        ({"format": ["recipe"], "version": 1}, "other_format"),
    ],
)
def test_what_cannot_be_read_is_one_sentence(content: Any, code: str, tmp_path: Path) -> None:
    path = write(tmp_path / "r.json", content)
    with pytest.raises(DataError) as error:
        read_record(path, RECIPE, Recipe.model_validate)
    assert error.value.code == code
    assert str(path) in str(error.value) and "\n" not in str(error.value)
    if code == "record_damaged":
        assert error.value.fix == RECIPE.fix


def test_files_that_are_gone_or_no_files(tmp_path: Path) -> None:
    with pytest.raises(DataError) as error:
        read_record(tmp_path / "r.json", RECIPE)
    assert error.value.code == "file_missing"
    with pytest.raises(DataError) as error:
        read_record(tmp_path, RECIPE)
    assert error.value.code == "file_unreadable"


def test_a_choice_that_is_refused_is_damage(tmp_path: Path) -> None:
    def parse(fields: dict[str, Any]) -> None:
        raise SpecError("bad_name", "'/' cannot name a recipe", fix="choose another")

    with refusal(DataError, "record_damaged") as error:
        read_record(write(tmp_path / "r.json", RECIPE.stamp({"steps": []})), RECIPE, parse)
    assert error.value.code == "record_damaged"


def test_a_list_keeps_what_it_cannot_read(tmp_path: Path) -> None:
    for name, content in (("b", {"text": "cut"}), ("a", RECIPE.stamp({"steps": []})), ("c", "{"), ("d", "[]")):
        write(tmp_path / f"{name}.json", content)
    listing = list_records(tmp_path.glob("*.json"), lambda path: read_record(path, RECIPE))
    assert listing == [{"steps": []}, {"steps": [{"do": "cut"}]}]
    assert [found.path.stem for found in listing.unreadable] == ["c", "d"]
    assert all(str(found.path) in str(found.error) for found in listing.unreadable)
    assert list_records([], Path).unreadable == ()


def test_arrays_that_are_cut_short_or_gone(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    np.save(path, np.arange(1000))
    path.write_bytes(path.read_bytes()[:500])
    for code in ("file_damaged", "file_missing"):
        with pytest.raises(DataError, match=r"a\.npy") as error, undamaged(path, fix="compute it again"):
            np.load(path, mmap_mode="r")
        assert (error.value.code, error.value.fix) == (code, "compute it again")
        path.unlink(missing_ok=True)
