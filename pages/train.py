"""Train: choose a model, a split and parameters, and start to train.

section: Models
icon: :material/model_training:
order: 50
"""

import streamlit as st

from vccapp import ui

ui.open_page(__file__)
record, index = ui.need_index()
chosen = ui.choose_training(record, index)
ui.page_link("sweeps", "Try many values in a sweep")

embedding = st.expander("Cell embeddings", icon=":material/scatter_plot:", key="train_embed", on_change="rerun")
if embedding.open:
    with embedding:
        ui.show_embed(record, index)

ui.show_unreadable(ui.load_splits(record).unreadable)
ui.show_newest(record)
ui.page_link("runs", "All runs, their curves and scores")
ui.reproduce(*chosen.commands(), "vccapp runs list", "vccapp runs show latest")
