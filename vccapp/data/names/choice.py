"""Which obs column holds the perturbations: the one whose labels are genes of the file, and that has controls.

chosen = find_perturbation(obs, columns, names, notes)
chosen.column, chosen.reading, chosen.candidates
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from vccapp.data.names.column import Labels, is_bool, may_be_labels, read_column
from vccapp.data.names.controls import plain
from vccapp.data.names.genes import GeneNames
from vccapp.data.names.labels import Reading, find_controls, read_labels, refuse_controls
from vccapp.data.names.roles import BATCH_NAMES, CONTEXT_NAMES, GUIDE_NAMES, PERTURBATION_NAMES
from vccapp.data.schema import Candidate, Columns
from vccapp.errors import DataError
from vccapp.wording import name_some

MAX_LABELS = 50_000
UNNAMED = 50
"""Rank of a column of any name; those whose names say another role come after it."""


@dataclass(frozen=True)
class _Weighed:
    """A column with its evidence; `reading` is None where it has no controls."""

    labels: Labels
    reading: Reading | None
    candidate: Candidate
    rank: int

    @property
    def key(self) -> tuple:
        """The larger, the better: labels that are genes, then guides of genes, then few genes or none.

        Shares of genes count in quarters, so that names decide between near equals.
        """
        share = self.candidate.n_genes / max(self.candidate.n_labels, 1)
        kind = 2 if self.candidate.of_guides else 3 if share >= 0.25 else 1
        return (
            self.reading is not None,
            self.candidate.n_labels > 0,
            kind if self.candidate.n_genes else 0,
            round(4 * share),
            self.candidate.share_missing < 0.5,
            -self.rank,
        )


def find_perturbation(
    obs: pd.DataFrame, columns: Columns, names: GeneNames, notes: list[str]
) -> tuple[str, Reading, tuple[Candidate, ...]]:
    if columns.perturbation is not None:
        labels = read_column(obs, columns.perturbation)
        if not labels.names:
            raise _refuse_empty(labels)
        reading = read_labels(labels.cells, names, columns, column=labels.column)
        return labels.column, reading, (_weigh(labels, columns, names).candidate,)
    others = (columns.guide, columns.batch, columns.context)
    weighed = [
        _weigh(read_column(obs, name), columns, names)
        for name in dict.fromkeys(obs.columns)
        if name not in others and _may_be_perturbation(obs[name], name, columns)
    ]
    weighed.sort(key=lambda one: one.key, reverse=True)
    fitting = [one for one in weighed if one.reading is not None]
    if not fitting:
        raise _refuse_all(obs, weighed, columns, names)
    best, *more = fitting
    if best.reading is None:  # never: it is among the fitting
        raise refuse_controls(best.labels.cells, names, columns.controls, column=best.labels.column)
    rivals = [one for one in more if one.candidate.n_labels]
    equal = [one.labels.column for one in fitting if one.key == best.key]
    if len(equal) > 1 and best.rank == UNNAMED:
        raise DataError(
            "ambiguous_column",
            f"several obs columns may hold the perturbations ({name_some(equal)})",
            found=equal,
            fix="choose one of them",
        )
    notes.append(_note_choice(best, rivals))
    return best.labels.column, best.reading, tuple(one.candidate for one in fitting)


def _note_choice(best: _Weighed, rivals: Sequence[_Weighed]) -> str:
    if best.candidate.n_genes:
        how = f"detected by its labels: {best.candidate}"
    elif best.rank < UNNAMED:
        how = "detected by its name"
    else:
        how = "detected by the control label in it"
    more = ""
    if rivals:
        more = f" ('{rivals[0].labels.column}' would also fit: {rivals[0].candidate})"
        others = [one.labels.column for one in rivals[1:]]
        more = more[:-1] + (f"; and {name_some(others)})" if others else ")")
    return f"Perturbations are read from the obs column '{best.labels.column}', {how}{more}."


def _may_be_perturbation(column: pd.Series, name: str, columns: Columns) -> bool:
    """Text; numbers only where the user names the control, or the column is called so."""
    if not may_be_labels(column):
        return False
    if columns.control is None and (pd.api.types.is_numeric_dtype(column.dtype) or is_bool(column)):
        return plain(str(name)) in PERTURBATION_NAMES
    distinct = column.cat.categories if isinstance(column.dtype, pd.CategoricalDtype) else column.unique()
    return len(distinct) <= MAX_LABELS and (len(distinct) < 0.5 * len(column) or len(column) < 1000)


def _weigh(labels: Labels, columns: Columns, names: GeneNames) -> _Weighed:
    cells = labels.cells
    reading = None
    if find_controls(cells, names, columns.controls):
        reading = read_labels(cells, names, columns, column=labels.column)
    perturbed = set(labels.names)
    if reading is not None:
        perturbed -= set(reading.of_kind("control", "no call", "left out"))
        genes = [name for name in reading.of_kind("gene", "pair", "guide") if _names_gene(reading, name, names)]
        guides = reading.of_kind("guide")
        without_call = reading.count("no call")
    else:
        genes, guides, without_call = [name for name in labels.names if names.find(name)], [], 0
    plain_name = plain(str(labels.column))
    rank = UNNAMED
    if plain_name in PERTURBATION_NAMES:
        rank = PERTURBATION_NAMES.index(plain_name)
    elif plain_name in (*GUIDE_NAMES, *BATCH_NAMES, *CONTEXT_NAMES):
        rank = UNNAMED + 1
    candidate = Candidate(
        column=str(labels.column),
        n_labels=len(perturbed),
        n_genes=len(genes),
        of_guides=len(guides) > len(genes) / 2,
        n_control_cells=reading.count("control") if reading is not None else 0,
        share_missing=(labels.n_missing + without_call) / max(len(labels.codes), 1),
        cells_per_label=float(np.median([cells[name] for name in perturbed])) if perturbed else 0.0,
    )
    return _Weighed(labels, reading, candidate, rank)


def _names_gene(reading: Reading, name: str, names: GeneNames) -> bool:
    return any(gene in names for gene in (reading.meanings[name].label or "").split("+"))


def _refuse_all(obs: pd.DataFrame, weighed: Sequence[_Weighed], columns: Columns, names: GeneNames) -> DataError:
    likely = [one for one in weighed if one.rank < UNNAMED or one.candidate.n_genes]
    if likely and not likely[0].labels.names:
        return _refuse_empty(likely[0].labels)
    if likely:
        best = likely[0].labels
        return refuse_controls(best.cells, names, columns.controls, column=best.column)
    wanted = "no control label such as non-targeting, NT, control or ctrl"
    if columns.controls is not None:
        wanted = f"no label '{name_some(columns.controls)}'"
    return DataError(
        "no_perturbation_column",
        f"no obs column holds perturbations: {wanted} in any of them (obs has {name_some(list(obs.columns))})",
        found=list(obs.columns),
        fix="choose the column",
    )


def _refuse_empty(labels: Labels) -> DataError:
    return DataError(
        "no_labels",
        f"no cell has a label in the obs column '{labels.column}'",
        fix="choose another column",
    )
