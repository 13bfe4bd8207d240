"""Train: fit a model on a split, follow its progress, and see its scores next to the baselines.

section: Models
icon: :material/model_training:
order: 50
"""

import streamlit as st

from vccapp import ui

ui.open_page(__file__)
record, index = ui.need_index()
chosen = ui.choose_training(record, index)
ui.show_start_button(chosen)

grid = st.expander("Grid", icon=":material/grid_on:", key="train_grid", on_change="rerun")
if grid.open:
    with grid:
        ui.show_grid(chosen.spec, index, chosen.split, devices=chosen.task.devices)

embedding = st.expander("Cell embeddings", icon=":material/scatter_plot:", key="train_embed", on_change="rerun")
if embedding.open:
    with embedding:
        ui.show_embed(record, index)

ui.show_jobs(task=("train", "resume"), dataset=record.fingerprint, limit=3, key="train_jobs", heading="Latest jobs")

runs = ui.load_runs(record, finished=False)
ui.show_unreadable([*ui.load_splits(record).unreadable, *runs.unreadable])
if not runs:
    st.caption("This dataset has no runs yet.")
    st.stop()
ui.show_training(runs, key="train_curves")
st.subheader("Runs", anchor=False)
part = ui.choose_part(key="train_part")
ui.show_table(
    ui.run_table(runs, part=part),
    key="train_runs",
    text="Table of runs with their mean scores on the held-out part",
    name="runs",
    height=35 * min(len(runs), 8) + 40,
)
if finished := [run for run in runs if run.state == "finished"]:
    st.caption(f"The newest finished run, {ui.plain(ui.run_label(finished[0]))}, with the baselines")
    ui.show_table(
        ui.score_table(finished[0], part=part),
        key="train_scores",
        text="Mean scores of the newest run and of the baselines",
        name="scores",
        height=150,
    )
ui.page_link("compare", "Compare predicted with real")
ui.reproduce(*chosen.commands(), "vccapp train list", "vccapp train status latest", "vccapp train resume latest")
