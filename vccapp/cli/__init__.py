"""The command line: `vccapp NOUN VERB`, one file a noun.

Every command takes `--json`: the result, and nothing else, goes to standard output as JSON. Progress and errors go to
standard error; a wrong choice or file is one sentence there and exit code 2, and what nobody planned for (a full disk,
a fault of ours) one sentence, a log file and exit code 1. Lower layers are imported inside the commands, so that
`vccapp --help` is quick.
"""

import contextlib
import json
import sys
from collections.abc import Sequence
from typing import Annotated, NoReturn

import typer

from vccapp import __version__
from vccapp.cli import (
    data,
    eval,
    glossary,
    jobs,
    model,
    plugins,
    queue,
    runs,
    season,
    settings,
    split,
    state,
    submit,
    sweep,
    targets,
    train,
)
from vccapp.cli.following import EXIT_FAILED
from vccapp.cli.output import forget_warnings
from vccapp.cli.serve import serve
from vccapp.errors import SpecError, VccAppError
from vccapp.machine import require_room

FREE_TEXT = ("--title", "--search", "--note")
"""Options whose value may be empty."""
HELP = {"--help", "--version", "--show-completion"}
"""Options that need no library."""

app = typer.Typer(
    name="vccapp",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
for noun in (
    data,
    split,
    model,
    train,
    sweep,
    runs,
    state,
    eval,
    targets,
    season,
    submit,
    jobs,
    queue,
    plugins,
    settings,
):
    app.add_typer(noun.app, name=noun.__name__.rpartition(".")[2])
app.command()(glossary.glossary)
app.command("app")(serve)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"vccapp {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """See, train, compare and submit for the Virtual Cell Challenge."""


def _refuse_empty(words: Sequence[str]) -> None:
    """Raises SpecError for an empty argument: the variable of a script that is not set names nothing."""
    before = ""
    for word in words:
        name, given, value = word.partition("=")
        option = name if name.startswith("--") and given and not value.strip() else before
        if (not word.strip() or option != before) and option not in FREE_TEXT:
            where = f"The value of {option}" if option.startswith("--") else "An argument"
            raise SpecError("empty_name", f"{where} is empty", fix="give a value, or leave it out")
        before = word


def main(argv: Sequence[str] | None = None) -> None:
    """Run one command and exit: 0 well, 1 a job or the machine failed, 2 a wrong choice or file, 130 Ctrl-C."""
    words = sys.argv[1:] if argv is None else list(argv)
    forget_warnings()
    try:
        _refuse_empty(words)
        if not HELP & set(words):
            require_room()
        app(args=words, prog_name="vccapp")
    except VccAppError as error:
        _end(2, error.code, str(error), words)
    except Exception as error:
        _end_unplanned(error, words)


def _end_unplanned(error: Exception, words: Sequence[str]) -> NoReturn:
    from vccapp.faults import describe, write_log
    from vccapp.settings import open_settings

    home = None
    with contextlib.suppress(VccAppError):
        home = open_settings().home
    code, sentence = describe(error)
    log = write_log(error, home)
    _end(EXIT_FAILED, code, f"{sentence} Log: {log}." if log else sentence, words)


def _end(exit_code: int, code: str, sentence: str, words: Sequence[str]) -> NoReturn:
    """Say how the command ended where programs or people look for it, and exit."""
    print(json.dumps({"error": sentence, "code": code}) if "--json" in words else f"Error: {sentence}", file=sys.stderr)
    sys.exit(exit_code)
