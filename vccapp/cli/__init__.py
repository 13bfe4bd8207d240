"""The command line: `vccapp NOUN VERB`, one file a noun.

Every command takes `--json`: the result, and nothing else, goes to standard output as JSON. Progress and errors go to
standard error; a wrong choice or file is one sentence there and exit code 2. Lower layers are imported inside the
commands, so that `vccapp --help` is quick.
"""

import json
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from vccapp import __version__
from vccapp.cli import data, eval, glossary, jobs, model, plugins, split, submit, train
from vccapp.cli.serve import serve
from vccapp.errors import VccAppError

app = typer.Typer(
    name="vccapp",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
for noun in (data, split, model, train, eval, submit, jobs, plugins):
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


def main(argv: Sequence[str] | None = None) -> None:
    """Run one command and exit: 0 well, 1 a job ended badly, 2 a wrong choice or file, 130 stopped by Ctrl-C."""
    words = sys.argv[1:] if argv is None else list(argv)
    try:
        app(args=words, prog_name="vccapp")
    except VccAppError as error:
        told = {"error": str(error), "code": error.code}
        print(json.dumps(told) if "--json" in words else f"Error: {error}", file=sys.stderr)
        sys.exit(2)
