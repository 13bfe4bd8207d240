"""Words of the command line: values as text and back, the same for pages, reports, tasks and commands.

assignments({"faithful": True, "loss": "C4"})     ["--set", "faithful=true", "--set", "loss=C4"]
parse_assignments(["faithful=true", "loss=C4"])   {"faithful": True, "loss": "C4"}
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from vccapp.errors import SpecError


def format_value(value: Any) -> str:
    """A value as `parse_value` reads it back: text as it is where nothing else could be meant, JSON otherwise."""
    if isinstance(value, str) and parse_value(value) == value:
        return value
    return json.dumps(value)


def parse_value(text: str) -> Any:
    """JSON where it parses as JSON, else the text itself."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def format_values(values: Sequence[Any]) -> str:
    """Several values of one name, separated by commas; a JSON list where that could be read otherwise."""
    texts = [format_value(value) for value in values]
    plain = all("," not in text and not text.startswith('"') and text.strip() == text != "" for text in texts)
    return ",".join(texts) if plain else json.dumps(list(values))


def assignments(values: Mapping[str, Any]) -> list[str]:
    """The options `--set NAME=VALUE` of some parameters."""
    return [word for name, value in values.items() for word in ("--set", f"{name}={format_value(value)}")]


def parse_assignments(words: Iterable[str]) -> dict[str, Any]:
    """`NAME=VALUE` words as a dict. Raises SpecError."""
    values = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not name:
            raise SpecError("bad_assignment", f"'{word}' is not an assignment", fix="write NAME=VALUE")
        values[name] = parse_value(value)
    return values


def options(values: Mapping[str, Any]) -> list[str]:
    """Options with their values; those that are None, empty or False are left out, True is an option alone."""
    words: list[str] = []
    for option, value in values.items():
        if value is True:
            words.append(option)
        elif value is not None and value is not False and value != "":
            words += [option, str(value)]
    return words
