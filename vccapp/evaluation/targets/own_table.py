"""A user's own table of genes beside a ranking, joined by symbol."""

import io

import pandas as pd

from vccapp.data.embeddings.aliases import current_symbol
from vccapp.data.schema import genes_of
from vccapp.errors import DataError
from vccapp.evaluation.targets.signature import GENE_COLUMNS

OWN = "own: "
"""Before the name of each column that is the user's."""


def read_own_table(text: str) -> pd.DataFrame:
    """A CSV or TSV with a header and a column of gene symbols, the first where none is called so; indexed by symbol.

    Of a gene that is named twice the first row counts. Raises DataError `own_table`.
    """
    try:
        frame = pd.read_csv(io.StringIO(text), sep="\t" if "\t" in text.partition("\n")[0] else ",")
    except (ValueError, pd.errors.ParserError) as error:
        raise DataError(
            "own_table", f"The table of genes cannot be read ({error})", fix="give a CSV with a header"
        ) from None
    if frame.shape[1] < 2 or frame.empty:
        raise DataError(
            "own_table", "The table of genes has no column beside the genes", fix="give a CSV with a header"
        )
    called = [str(name) for name in frame.columns]
    key = next((name for name in called if name.lower() in GENE_COLUMNS), called[0])
    frame = frame.set_axis(called, axis=1)
    symbols = frame.pop(key).astype(str).map(_symbol)
    return frame.set_axis(symbols, axis=0).loc[~symbols.duplicated().to_numpy()]


def join_own(targets: pd.DataFrame, own: pd.DataFrame) -> pd.DataFrame:
    """The ranking with the user's columns; of a pair 'A+B' the values of both genes, divided by ' + '."""
    joined = targets.copy()
    for name in own.columns:
        values = own[name].to_dict()
        joined[f"{OWN}{name}"] = [_look_up(values, label) for label in targets["perturbation"]]
    return joined


def _look_up(values: dict[str, object], label: str) -> object:
    found = [values.get(_symbol(gene)) for gene in genes_of(label)]
    if len(found) == 1:
        return found[0]
    return " + ".join("-" if value is None else str(value) for value in found)


def _symbol(gene: str) -> str:
    return current_symbol(gene.strip()).upper()
