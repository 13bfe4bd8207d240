"""Train: fit a model on a split in the background, follow it, and see its scores beside the baselines.

section: Models
icon: :material/model_training:
order: 50
"""

import shlex

import streamlit as st

from vccapp import ui
from vccapp.data.commands import split_command
from vccapp.models.base import MODELS
from vccapp.tasks.train import Train
from vccapp.training import RunSpec

ui.open_page(__file__)
record, index = ui.need_index()
settings = ui.current_settings()

left, right = st.columns(2)
names = [name for name, kind in MODELS.items() if kind.trainable]
with left:
    model = st.selectbox(
        "Model",
        names,
        index=names.index("perturbation_mean"),
        key="train_model",
        bind="query-params",
        format_func=lambda name: MODELS[name].label,
    )
    st.caption(MODELS[model].description)
with right:
    listed = ui.load_splits(record)
    splits = {split.name: split for split in listed}
    known = set(splits)
    standard = ui.standard_split(record, index)
    splits.setdefault(standard.name, standard)
    name = st.selectbox("Split", list(splits), key="train_split", bind="query-params")
    split = splits[name]
    st.caption(
        f"{len(split.train)} perturbations to train on, {len(split.val)} to validate, {len(split.test)} to test."
    )

params = ui.spec_form(MODELS[model].Spec, key=f"train_{model}", first=MODELS[model].first)
left, right, last = st.columns([3, 1, 1])
title = left.text_input("Title", key="train_title", placeholder="a name for people, if you like")
with last:
    devices = ui.choose_devices(model, key="train_devices")
seed = int(
    right.number_input("Seed", 0, 2**31 - 1, 0, key="train_seed", bind="query-params", help="Same seed, same run")
)

changed = ui.changed_values(MODELS[model].Spec, params)
spec = RunSpec(model=model, params=changed, dataset=record.fingerprint, split=split.name, seed=seed, title=title)
task = Train.of(spec, devices=None if devices == settings.devices else devices)
st.code(shlex.join(task.command()), language="bash", wrap_lines=True)
ui.show_estimate(model, changed, index, split, devices=devices)

if st.button("Start training", type="primary", icon=":material/play_arrow:", key="train_start"):
    with ui.errors_told():
        ui.keep_split(split)
        task.check(settings)
        ui.begin_job(task)
        st.rerun()

grid = st.expander("Grid", icon=":material/grid_on:", key="train_grid", on_change="rerun")
if grid.open:
    with grid:
        ui.show_grid(spec, index, split, devices=task.devices)

embedding = st.expander("Cell embeddings", icon=":material/scatter_plot:", key="train_embed", on_change="rerun")
if embedding.open:
    with embedding:
        ui.show_embed(record, index)

ui.show_jobs(task=("train", "resume"), dataset=record.fingerprint, limit=3, key="train_jobs", heading="Latest jobs")

runs = ui.load_runs(record, finished=False)
ui.show_unreadable([*listed.unreadable, *runs.unreadable])
if not runs:
    st.caption("No run on this dataset yet.")
    st.stop()
ui.show_training(runs, key="train_curves")
st.subheader("Runs", anchor=False)
part = st.segmented_control("Scored on", ["val", "test"], default="test", required=True, key="train_part")
ui.show_table(
    ui.run_table(runs, part=part),
    key="train_runs",
    text="Table of runs with their mean scores on the held-out part",
    name="runs",
    height=35 * min(len(runs), 8) + 40,
)
if finished := [run for run in runs if run.state == "finished"]:
    st.caption(f"The newest finished run, {ui.run_label(finished[0])}, beside the baselines")
    ui.show_table(
        ui.score_table(finished[0], part=part),
        key="train_scores",
        text="Mean scores of the newest run and of the baselines",
        name="scores",
        height=150,
    )
ui.page_link("compare", "Compare predicted with real")
made = [] if split.name in known else [shlex.join(split_command(split))]
ui.reproduce(
    *made, shlex.join(task.command()), "vccapp train list", "vccapp train status latest", "vccapp train resume latest"
)
