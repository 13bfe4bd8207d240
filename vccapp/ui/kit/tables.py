"""Small tables that pages show as they are."""

import numpy as np
import pandas as pd
import streamlit as st

from vccapp.data.reading.ignored import COLUMN
from vccapp.data.schema import Schema
from vccapp.data.splits.split import Split
from vccapp.data.workspace import Record
from vccapp.stats.index import Index, has_index
from vccapp.stats.views import compute_imbalance
from vccapp.ui.kit.context import show_ignored
from vccapp.wording import name_some, plain, plain_lines

SPACES = {"counts": "raw counts", "log1p": "log1p", "scaled": "scaled"}


def schema_table(schema: Schema) -> pd.DataFrame:
    """What was found in a file, one row a fact: columns what, found."""
    stored = f"{schema.n_values:,} stored values" if schema.n_values is not None else "every value stored"
    ids = {"symbol": "gene symbols", "ensembl": "Ensembl identifiers", "entrez": "Entrez numbers"}
    rows = {
        "File": str(schema.path),
        "Shape": f"{schema.n_cells:,} cells x {schema.n_genes:,} genes",
        "Matrix": f"{schema.matrix}, {schema.format}, {schema.layout}, {schema.dtype}, {stored}",
        "Values": f"{schema.stored_scale or SPACES[schema.value_space]}: {schema.value_evidence}",
        "Perturbation column": schema.perturbation_column,
        "Control label": f"{schema.control_label} ({schema.n_control_cells:,} cells)",
        "Perturbations": f"{schema.n_perturbations:,} without the control",
        "Guide column": schema.guide_column or "none",
        "Batch column": schema.batch_column or "none",
        "Contexts": _contexts(schema),
        "Left out": f"{schema.n_cells_left_out:,} cells, {schema.n_features_left_out:,} features",
        "Gene names": ids.get(schema.gene_id_kind, "of unknown kind"),
    }
    return pd.DataFrame({"what": list(rows), "found": list(rows.values())})


def _contexts(schema: Schema) -> str:
    """Which contexts the data have, with their cells and controls."""
    if schema.context_ignored:
        return f"ignored ({schema.context_ignored})"
    found = [f"{c.name} ({c.n_cells:,} cells, {c.n_control_cells:,} controls)" for c in schema.contexts]
    return f"{schema.context_column}: {name_some(found)}" if found else "none"


def show_schema(schema: Schema) -> None:
    """The report of a file: what was found, and every note about what was guessed or mapped."""
    if schema.context_ignored:
        show_ignored(schema.context_ignored)
    _show_facts(schema_table(schema), text="Schema report")
    st.caption(plain_lines(schema.notes))
    show_candidates(schema)


def show_candidates(schema: Schema) -> None:
    """The obs columns that may hold the perturbations, with what speaks for each; nothing where there is but one."""
    if len(schema.candidates) < 2:
        return
    rows = [
        {
            "column": one.column,
            "labels": one.n_labels,
            "genes among them": one.n_genes,
            "control cells": one.n_control_cells,
            "cells per label": f"{one.cells_per_label:,.0f}",
            "cells without label": f"{one.share_missing:.1%}",
        }
        for one in schema.candidates
    ]
    st.caption("Columns that may hold the perturbations, the best first")
    text = "Columns that may hold the perturbations"
    st.table(plain_table(pd.DataFrame(rows).astype(str)), border="horizontal", hide_index=True, alt=text)


def summary_numbers(index: Index) -> pd.DataFrame:
    """The numbers people print of a dataset, over its genes: columns what, value."""
    genes, perturbations = index.genes, index.perturbations[len(index.controls) :]
    uneven = compute_imbalance(perturbations["perturbation"].tolist(), perturbations["n_cells"].to_numpy())
    rows = {
        "Mean of the gene means": f"{genes['mean'].mean():.4g}",
        "Mean of the gene maxima": f"{genes['max'].mean():.4g}",
        "Mean of the gene minima": f"{genes['min'].mean():.4g}",
        "Undetected genes": _share(genes["nonzero_fraction"].to_numpy() == 0),
        "Genes undetected in controls": _share(genes["ctrl_nonzero_fraction"].to_numpy() == 0),
        "Cells without UMIs": f"{index.meta['n_cells_without_umis']:,}",
        "Cells per perturbation": _range(perturbations["n_cells"]),
        "Largest perturbation": f"{uneven.largest}, {uneven.share:.1%} of the perturbed cells",
        "Largest over smallest": f"{uneven.ratio:,.1f} times the cells",
        "Unevenness (Gini)": f"{uneven.gini:.2f}; 0 = all perturbations have equally many cells",
        "DEGs per perturbation": _range(perturbations["degs"]),
    }
    return pd.DataFrame({"what": list(rows), "value": list(rows.values())})


def show_summary(index: Index) -> None:
    """The summary numbers as a plain table."""
    _show_facts(summary_numbers(index), text="Summary numbers")


def _show_facts(frame: pd.DataFrame, *, text: str) -> None:
    """Two columns of texts, one row a fact. `st.table` would render them as Markdown."""
    escaped = plain_table(frame)
    st.table(escaped, border="horizontal", hide_index=True, hide_header=True, alt=text)


def plain_table(frame: pd.DataFrame) -> pd.DataFrame:
    """A frame of texts with the Markdown in them escaped."""
    return frame.map(plain)


def _share(mask: np.ndarray) -> str:
    return f"{mask.sum():,} ({mask.mean():.1%})"


def _range(values: pd.Series) -> str:
    return f"{values.min():,.0f} to {values.max():,.0f}, median {values.median():,.0f}"


def split_table(split: Split, index: Index) -> pd.DataFrame:
    """One row a perturbation of a split: perturbation, part, n_cells, effect, degs."""
    parts = {"train": split.train, "val": split.val, "test": split.test}
    members = [(label, part) for part, labels in parts.items() for label in labels]
    known = index.perturbations[["perturbation", "n_cells", "effect", "degs"]]
    return pd.DataFrame(members, columns=["perturbation", "part"]).merge(known, on="perturbation", how="left")


def _statistics(record: Record) -> str:
    if has_index(record.index_folder):
        return "ready"
    return "cannot be read" if record.has_index else "not computed"


def dataset_table(records: list[Record]) -> pd.DataFrame:
    """One row a registered dataset."""
    rows = [
        {
            "title": record.title,
            "cells": record.schema.n_cells,
            "genes": record.schema.n_genes,
            "perturbations": record.schema.n_perturbations,
            "statistics": _statistics(record),
            "origin": "simulated" if record.simulated else "measured",
            "fingerprint": record.fingerprint,
            "path": str(record.path),
        }
        for record in records
    ]
    columns = ["title", "cells", "genes", "perturbations", "statistics", "origin", "fingerprint", "path"]
    table = pd.DataFrame(rows, columns=columns)
    ignored = [record.schema.context_ignored for record in records]
    return table.assign(**{COLUMN: ignored}) if any(ignored) else table
