"""How many cells each perturbation gets: the wanted numbers, scaled to the season's cap.

With n_k cells wanted for perturbation k, each gets floor(alpha n_k), alpha = min(1, (cap - controls) / sum n_k). Nobody
gets less than one cell; where that would exceed the cap, the largest give.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from vccapp.data.names.genes import GeneNames
from vccapp.data.names.lookalikes import name_unknown
from vccapp.data.schema import CONTROL, context_of, genes_of, is_control, target_of
from vccapp.errors import DataError, SpecError
from vccapp.evaluation.quality import Depth
from vccapp.seasons.base import Season
from vccapp.seasons.targets import FIX, read_fields
from vccapp.wording import name_some

COLUMNS = ("target_gene", "n_cells")
OPTIONAL_COLUMN = "median_umi_per_cell"
WHOLE_GENES = 10_000
"""Cells of fewer genes are no whole transcriptomes, so the season's depth says nothing of them."""


def read_pert_counts(path: Path | str) -> pd.DataFrame:
    """The cells wanted per perturbation from a pert_counts CSV: target_gene, n_cells[, median_umi_per_cell].

    A control row (the training file's table has one) is left out, and `attrs["notes"]` says so.
    Raises DataError for anything that is not such a table.
    """
    path = Path(path)
    header, rows = read_fields(path)
    table = pd.DataFrame(rows, columns=header, dtype=str)
    missing = [c for c in COLUMNS if c not in table]
    if missing:
        raise DataError(
            "no_column",
            f"{path} has no column {' or '.join(missing)}",
            fix=f"it has {name_some(table.columns)}. Rename the columns",
        )
    table = table[[c for c in (*COLUMNS, OPTIONAL_COLUMN) if c in table]].copy()
    table["target_gene"] = table["target_gene"].str.strip()
    empty = np.flatnonzero(table["target_gene"] == "")
    if len(empty):
        raise DataError(
            "missing_labels",
            f"{path} has no target_gene in data row {empty[0] + 1}",
            fix="fill it in or delete the row",
        )
    unseen = [label for label in table["target_gene"] if not label.isprintable()]
    if unseen:
        raise DataError(
            "bad_label",
            f"{path} has labels with characters that cannot be seen: {name_some(unseen)}",
            fix="delete these characters",
        )
    twice = table["target_gene"][table["target_gene"].duplicated()]
    if len(twice):
        raise DataError(
            "repeated_perturbation",
            f"{path} names {name_some(twice.unique())} more than once",
            fix="keep one row each",
        )
    table["n_cells"] = _whole_numbers(table, path)
    if OPTIONAL_COLUMN in table:
        table[OPTIONAL_COLUMN] = pd.to_numeric(table[OPTIONAL_COLUMN], errors="coerce")
    is_control = table["target_gene"] == CONTROL
    notes: tuple[str, ...] = ()
    if is_control.any():
        notes = (f"{path.name}: the row '{CONTROL}' is ignored; controls are copied from the training data.",)
    table = table[~is_control].reset_index(drop=True)
    if table.empty:
        raise DataError(
            "no_perturbation",
            f"{path} names no perturbation",
            fix=FIX,
        )
    table.attrs["notes"] = notes
    return table


def advised_depth(table: pd.DataFrame) -> Depth | None:
    """What cells should sum to by a pert_counts table: the mean of its medians over the cells; None without them."""
    if OPTIONAL_COLUMN not in table:
        return None
    medians, n_cells = table[OPTIONAL_COLUMN].to_numpy(float), table["n_cells"].to_numpy(float)
    known = np.isfinite(medians) & (medians > 0)
    if not known.any():
        return None
    return Depth(float(np.average(medians[known], weights=n_cells[known])), "pert_counts says")


def mean_depth(n_cells: Mapping[str, int], depths: Mapping[str, float]) -> Depth | None:
    """What cells should sum to, over those labels of which it is known."""
    if not depths:
        return None
    weights = [n_cells[label] for label in depths]
    return Depth(float(np.average(list(depths.values()), weights=weights)), "pert_counts says")


def season_depth(season: Season, n_genes: int) -> Depth | None:
    """What cells of the season sum to over all its genes; None for files of few or of other genes."""
    if season.depth is None or n_genes < WHOLE_GENES or n_genes != season.n_genes:
        return None
    return Depth(season.depth, f"cells of the {season.label} have")


def observed_counts(perturbations: pd.DataFrame, labels: Iterable[str]) -> pd.DataFrame:
    """The same table from an index's `perturbations`: as many cells as the data have of each of `labels`.

    Within a context those of the context, by their targets.
    """
    n_cells = perturbations.set_index("perturbation")["n_cells"]
    contexts = {context_of(label) for label in n_cells.index}
    labels = [label for label in labels if not is_control(label) and context_of(label) in contexts]
    unknown = [label for label in labels if label not in n_cells.index]
    if unknown:
        raise SpecError(
            "unknown_perturbation",
            f"The dataset has no perturbation {name_some(unknown)}",
            fix="take the cell numbers from a pert_counts CSV instead",
        )
    targets = [target_of(label) for label in labels]
    return pd.DataFrame({"target_gene": targets, "n_cells": [int(n_cells[label]) for label in labels]})


def scale_cells(wanted: Mapping[str, int], *, n_controls: int, max_cells: int) -> dict[str, int]:
    """Cells per perturbation, in the order of `wanted`: the wanted numbers themselves when they fit.

    Raises SpecError when a number is below one, or there are more perturbations than places beside the controls.
    """
    if not wanted:
        raise SpecError(
            "no_perturbation",
            "No perturbation was chosen",
            fix="name at least one",
        )
    none = [label for label, n in wanted.items() if n < 1]
    if none:
        raise SpecError(
            "no_cells_wanted",
            f"{name_some(none)} get no cells",
            fix="give each at least one cell, or leave it out",
        )
    places = max_cells - n_controls
    if places < len(wanted):
        raise SpecError(
            "over_budget",
            f"{len(wanted):,} perturbations need at least one cell each, but {n_controls:,} controls leave "
            f"{max(places, 0):,} of {max_cells:,} places",
            fix=f"choose at most {max(max_cells - len(wanted), 0):,} controls",
        )
    if sum(wanted.values()) <= places:
        return dict(wanted)

    total = sum(wanted.values())
    cells = {label: max(n * places // total, 1) for label, n in wanted.items()}
    for _ in range(sum(cells.values()) - places):
        cells[max(cells, key=lambda label: (cells[label], -wanted[label]))] -= 1
    return cells


def explain_labels(labels: Iterable[str], genes: Sequence[str], known: Iterable[str] = ()) -> str:
    """The labels that are no genes and not `known`, each with what it looks like; "" where there are none."""
    there = {*genes, *known}
    strange = [label for label in labels if label not in there and not there.issuperset(genes_of(label))]
    if not strange:
        return ""
    return f"{len(strange):,} ({name_unknown(strange, GeneNames(genes), limit=4)})"


def _whole_numbers(table: pd.DataFrame, path: Path) -> pd.Series:
    numbers = pd.to_numeric(table["n_cells"].str.strip(), errors="coerce")
    bad = np.flatnonzero(~(np.isfinite(numbers) & (numbers % 1 == 0) & (numbers >= 1)))
    if len(bad):
        found, label = table["n_cells"].iloc[bad[0]], table["target_gene"].iloc[bad[0]]
        raise DataError(
            "bad_count",
            f"{path} has n_cells '{found}' for {label}",
            fix="give a whole number of at least 1",
        )
    return numbers.astype("int64")
