"""Vectors of cells on a page: how they are made, what that takes, its start, and the curves of STATE's."""

import shlex
from typing import Any

import streamlit as st

from vccapp.data.splits.split import list_splits
from vccapp.data.workspace import Record
from vccapp.neural.state_embedding.spec import NAME, StateEmbeddingSpec, check_state_embedding
from vccapp.parameters import changed_values
from vccapp.stats.cells.embedding import list_cell_embeddings
from vccapp.stats.index import Index
from vccapp.tasks.embed import LABELS as METHOD_LABELS
from vccapp.tasks.embed import Embed, training_folder
from vccapp.training.metrics_log import NAME as LOG_NAME
from vccapp.training.metrics_log import read_metrics
from vccapp.ui.kit.forms import choose_one, spec_form
from vccapp.ui.kit.frame import errors_shown
from vccapp.ui.kit.jobs import begin_job, show_jobs
from vccapp.ui.kit.loaders import current_settings
from vccapp.ui.kit.show import show_unreadable
from vccapp.ui.runs.curves import show_curve
from vccapp.wording import plain

LABELS = {"loss": "Loss", "cells": "Error per cell", "genes": "Error per gene", "batches": "Batch cross-entropy"}
METHODS = ("state", "pca", "obsm")


def show_embed(record: Record, index: Index) -> None:
    """Method, its parameters, the command, and a button that starts it; then what there is."""
    st.caption(
        "A vector for every cell that STATE (ST) can use as input instead of genes. STATE's own embedding "
        "(SE) is trained on the cells of this dataset; PCA takes seconds; a file may contain one in obsm."
    )
    method = choose_one(
        "Method", {name: METHOD_LABELS[name] for name in METHODS}, key="embed_method", default="state", linked=False
    )
    choices: dict[str, Any] = {}
    with errors_shown():
        if method == "pca":
            choices["components"] = int(st.number_input("Components", 1, 500, 50, key="embed_components"))
        elif method == "obsm":
            choices["key"] = st.text_input("Name in obsm", NAME, key="embed_key")
        else:
            params = changed_values(StateEmbeddingSpec, spec_form(StateEmbeddingSpec, key="embed").values)
            estimate = check_state_embedding(index, params, memory_bytes=current_settings().memory_bytes)
            st.caption(plain(estimate.describe()))
            choices["params"] = params
        if method != "obsm":
            splits = [split.name for split in list_splits(current_settings(), dataset=record.fingerprint)]
            choices["split"] = st.selectbox(
                "Cells to learn from",
                [*splits, ""],
                format_func=lambda name: f"Training part of {plain(name)}" if name else "All cells",
                key="embed_split",
                help="Vectors that have learnt from held-out cells are refused by runs that hold these out.",
            )
        task = Embed(dataset=record.fingerprint, method=method, **choices)
        st.code(shlex.join(task.command()), language="bash", wrap_lines=True)
        if st.button("Embed the cells", icon=":material/play_arrow:", key="embed_start"):
            begin_job(task)
            st.rerun()
    show_jobs(task="embed", dataset=record.fingerprint, limit=2, key="embed_jobs")
    _show_curves(record, index)
    listed = list_cell_embeddings(index)
    show_unreadable(listed.unreadable)
    if known := [f"{about['name']} ({about['width']} numbers)" for about in listed]:
        st.caption(f"There are: {plain(', '.join(known))}.")


def _show_curves(record: Record, index: Index) -> None:
    """The loss and its terms, of the training that goes on, or of the embedding that is there."""
    places = (training_folder(current_settings(), record.fingerprint), index.folder / "embeddings" / NAME)
    folder = next((place for place in places if (place / LOG_NAME).exists()), None)
    if folder is None:
        return
    frame = read_metrics(folder)
    names = [name for name in dict.fromkeys(frame["name"]) if name != "learning_rate"]
    for column, name in zip(st.columns(max(len(names), 1)), names, strict=False):
        curve = frame[frame["name"] == name]
        note = f"now {curve['value'].iloc[-1]:.4g}"
        with column:
            show_curve(
                curve,
                label=LABELS.get(name, name),
                note=note,
                key=f"embed_{name}",
                name=f"embedding_{name}",
            )
