"""`vccapp glossary`: what the words of the field mean here."""

from typing import Annotated

import typer

from vccapp.cli.output import Json, show


def glossary(
    sought: Annotated[str, typer.Argument(help="Only terms that contain this word.", metavar="WORD")] = "",
    as_json: Json = False,
) -> None:
    """Explain the terms that the app uses."""
    from vccapp.glossary import find_terms

    terms = find_terms(sought)
    show(
        [term._asdict() for term in terms],
        lambda: "\n".join(f"{term.word}: {term.meaning}" for term in terms) or f"No term contains '{sought}'.",
        as_json=as_json,
    )
