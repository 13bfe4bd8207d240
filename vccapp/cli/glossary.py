"""`vccapp glossary`: what the words of the field mean here."""

from typing import Annotated

import typer

from vccapp.cli.output import Json, format_lines, show
from vccapp.errors import one_line


def glossary(
    sought: Annotated[str, typer.Argument(help="Only terms that contain this word.", metavar="WORD")] = "",
    as_json: Json = False,
) -> None:
    """Explain the terms that the app uses."""
    from vccapp.glossary import find_terms

    terms = find_terms(sought)
    show(
        [term._asdict() for term in terms],
        lambda: (
            format_lines(f"{term.word}: {term.meaning}" for term in terms) or one_line(f"No term contains '{sought}'.")
        ),
        as_json=as_json,
    )
