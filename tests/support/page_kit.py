"""What tests of pages share: a page alone, the commands it shows, a toy form."""

import json
import shlex
from typing import Any, Literal

import pandas as pd
import pytest
from pydantic import Field
from streamlit.testing.v1 import AppTest

from vccapp.jobs.keeping.launch import environment
from vccapp.parameters import Parameters
from vccapp.settings import Settings
from vccapp.ui.kit.frame import PAGES

HEAVY = {"torch", "scanpy", "anndata", "numba", "illico", "lightning", "cell_eval"}


def use(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    for name, value in environment(settings).items():
        monkeypatch.setenv(name, value)
    return settings


def open_alone(name: str, **params: str) -> AppTest:
    page = AppTest.from_file(str(PAGES / f"{name}.py"), default_timeout=30)
    for key, value in params.items():
        page.query_params[key] = value
    page.run()
    return page


def assert_well(page: AppTest) -> None:
    assert not page.exception, [(e.message, e.stack_trace) for e in page.exception]
    assert not page.error, [e.value for e in page.error]


def type_option(page: AppTest, key: str, text: str) -> AppTest:
    """Type into a box of options; AppTest, which forgets what is new at each run, has to be told again before it."""
    box = page.selectbox(key=key)
    box.options.append(text)
    box.set_value(text)
    return page


def commands_of(page: AppTest) -> list[list[str]]:
    """The words of every command that a page shows."""
    lines = [line for code in page.code for line in code.value.splitlines()]
    return [shlex.split(line) for line in lines]


def parse_command(words: list[str]) -> dict[str, Any]:
    """The parameters of a command line, parsed by the real command; fails where it, or an option, does not exist."""
    import click
    from typer.main import get_command

    from vccapp.cli import app

    assert words[0] == "vccapp", words
    command, rest = get_command(app), words[1:]
    while rest and hasattr(command, "commands"):
        command, rest = command.commands[rest[0]], rest[1:]
    try:
        return command.make_context("vccapp", list(rest)).params
    except click.UsageError as error:
        pytest.fail(f"{shlex.join(words)}: {error.format_message()}")


def keep_csvs(monkeypatch: pytest.MonkeyPatch) -> dict[str, pd.DataFrame]:
    """What a page offers as CSV from now on, by name: the data of every chart and table."""
    kept: dict[str, pd.DataFrame] = {}

    def keep(frame: pd.DataFrame, *, name: str, key: str) -> None:
        kept[name] = frame

    monkeypatch.setattr("vccapp.ui.kit.show.show_csv_button", keep)
    return kept


def ask(words: list[str], capsys: pytest.CaptureFixture) -> dict[str, Any]:
    """What a command that a page shows answers with `--json`."""
    from vccapp.cli import main

    capsys.readouterr()
    with pytest.raises(SystemExit) as end:
        main([*words[1:], "--json"])
    printed = capsys.readouterr()
    assert end.value.code in (0, None), printed.err
    return json.loads(printed.out)


def tables_of(answers: list[dict[str, Any]]) -> list[pd.DataFrame]:
    """The tables of the answers of commands."""
    lists = [value for answer in answers for value in answer.values() if isinstance(value, list)]
    return [pd.DataFrame(rows) for rows in lists if rows and isinstance(rows[0], dict)]


def is_among(frame: pd.DataFrame, tables: list[pd.DataFrame]) -> bool:
    """Whether one of the tables has every row of a frame, to the last digit."""

    def rows(own: pd.DataFrame) -> set[tuple]:
        return set(own[list(frame)].astype(object).where(own[list(frame)].notna(), None).itertuples(index=False))

    shown = {tuple(row) for row in rows(frame)}
    return any(set(frame) <= set(table) and shown <= {tuple(row) for row in rows(table)} for table in tables)


class Toy(Parameters):
    groups = {"Pace": ("steps", "rate")}

    rate: float = Field(0.1, gt=0, le=1, description="How fast.")
    steps: int | None = Field(3, ge=1)
    way: Literal["a", "b"] = "b"
    deep: bool = False
    base: str = "ridge"
    file: str | None = None


def show_toy_form() -> None:
    import streamlit as st
    from page_kit import Toy

    from vccapp.ui.kit.forms import spec_form

    st.session_state["values"] = spec_form(Toy, key="toy")
