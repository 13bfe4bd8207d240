"""Gene embeddings: one interface, one reader a file.

    open_embedding("default")                            # ships with the app: the views "text" and "network"
    open_embedding("GenePT_ada.pickle"), open_embedding("ESM2_pert_features.pt"), open_embedding("pathways.gmt")
    open_embedding("expression", index)                  # from the control cells of the data
    open_embedding("default + expression", index)        # several, side by side

A file is told by what it is; see `vccapp.data.embeddings.readers.base`.
"""

from collections.abc import Sequence
from pathlib import Path

from vccapp.data.embeddings.aliases import current_symbol
from vccapp.data.embeddings.base import Embedding, Missing, join, loosen
from vccapp.data.embeddings.expression import Cells, open_expression
from vccapp.data.embeddings.readers.base import list_readers
from vccapp.data.embeddings.shipped import DEFAULT, VIEWS, load_shipped
from vccapp.data.paths import is_there, user_path
from vccapp.errors import DataError, SpecError
from vccapp.wording import name_some

__all__ = ["Embedding", "Missing", "join", "open_embedding", "open_parts", "read_embedding"]


def open_embedding(source: str | Path, index: Cells | None = None) -> Embedding:
    """The embedding that a text names: 'default', one of its views, 'expression', a path, or several joined by '+'.

    What `open_parts` raises passes.
    """
    return join(open_parts(source, index))


def open_parts(source: str | Path, index: Cells | None = None) -> list[Embedding]:
    """The embeddings that a text names, one by one.

    'expression' needs an index. Raises SpecError for an empty choice or a lacking index, DataError for a file that
    cannot be read.
    """
    text = str(source).strip()
    names = [text] if is_there(text, folder=Path()) else [name.strip() for name in text.split("+")]
    if not all(names):
        raise SpecError(
            "unknown_embedding",
            f"'{source}' is not a gene embedding",
            fix="use default, expression, a path, or several joined by +",
        )
    return [_open_one(name, index) for name in names]


def read_embedding(path: Path) -> Embedding:
    """The embedding of a file. Raises DataError when there is none or it is of no known kind."""
    if not path.is_file():
        raise DataError(
            "file_missing",
            f"There is no gene embedding {path}",
            fix="use default, expression or the path of a file",
        )
    with path.open("rb") as file:
        head = file.read(8)
    readers = list_readers()
    for reader in readers:
        if reader.recognises(path, head):
            genes, matrix = reader.read(path)
            source = f"File {path.name}, {reader.label}."
            return Embedding(
                tuple(genes), matrix, path.name, source, note=f"{reader.note} {_name_twins(genes)}".strip()
            )
    known = "; ".join(reader.label for reader in readers)
    raise DataError(
        "not_an_embedding",
        f"{path.name} is not a known kind of gene embedding ({known})",
        fix="convert it to one of these formats",
    )


def _name_twins(genes: Sequence[str]) -> str:
    """Names that mean a gene which has a vector under another name, too, in a sentence."""
    shown: dict[str, str] = {}
    twins = [gene for gene in genes if shown.setdefault(loosen(current_symbol(loosen(gene))), gene) != gene]
    return f"Genes that are there by two names: {name_some(twins)}; each name has its own vector." if twins else ""


def _open_one(name: str, index: Cells | None) -> Embedding:
    if name == DEFAULT or name in VIEWS:
        return load_shipped(name)
    if name == "expression":
        if index is None:
            raise SpecError(
                "expression_needs_data",
                "The embedding 'expression' is computed from a dataset, and none was given",
                fix="use default or a file",
            )
        return open_expression(index)
    return read_embedding(user_path(name))
