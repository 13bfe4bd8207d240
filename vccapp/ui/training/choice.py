"""Choosing what the page Train trains: model, split, parameters, seed and devices; and the button that starts it."""

import shlex
from dataclasses import dataclass

import streamlit as st

from vccapp.data.commands import split_command
from vccapp.data.splits.split import Split
from vccapp.data.workspace import Record
from vccapp.models.base import MODELS
from vccapp.stats.index import Index
from vccapp.tasks.train import Train
from vccapp.training import RunSpec
from vccapp.ui.kit.forms import changed_values, spec_form
from vccapp.ui.kit.frame import errors_shown
from vccapp.ui.kit.jobs import begin_job
from vccapp.ui.kit.loaders import current_settings, load_splits
from vccapp.ui.standard_split import keep_split, standard_split
from vccapp.ui.training.training import choose_devices, show_estimate


@dataclass(frozen=True)
class TrainingChoice:
    """What is to be trained. new_split : whether the workspace has no file of the split yet."""

    spec: RunSpec
    split: Split
    task: Train
    new_split: bool

    def commands(self) -> list[str]:
        """Those that do the same, and `vccapp train start` among them."""
        made = [split_command(self.split)] if self.new_split else []
        return [shlex.join(words) for words in (*made, self.task.command())]


def choose_training(record: Record, index: Index) -> TrainingChoice:
    """Everything that decides a run; its command and what it will take."""
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
        splits = {split.name: split for split in load_splits(record)}
        known = set(splits)
        standard = standard_split(record, index)
        splits.setdefault(standard.name, standard)
        name = st.selectbox("Split", list(splits), key="train_split", bind="query-params")
        split = splits[name]
        st.caption(
            f"{len(split.train)} perturbations for training, {len(split.val)} for validation, "
            f"{len(split.test)} for testing."
        )

    params = spec_form(MODELS[model].Spec, key=f"train_{model}", first=MODELS[model].first)
    left, right, last = st.columns([3, 1, 1])
    title = left.text_input("Title", key="train_title", placeholder="Optional title, shown in lists")
    with last:
        devices = choose_devices(model, key="train_devices")
    seed = int(
        right.number_input(
            "Seed", 0, 2**31 - 1, 0, key="train_seed", bind="query-params", help="The same seed gives the same run"
        )
    )

    changed = changed_values(MODELS[model].Spec, params)
    spec = RunSpec(model=model, params=changed, dataset=record.fingerprint, split=split.name, seed=seed, title=title)
    task = Train.of(spec, devices=None if devices == current_settings().devices else devices)
    st.code(shlex.join(task.command()), language="bash", wrap_lines=True)
    show_estimate(model, changed, index, split, devices=devices)
    return TrainingChoice(spec, split, task, split.name not in known)


def show_start_button(chosen: TrainingChoice) -> None:
    """The button that starts the training; what it would refuse is said."""
    if st.button("Start training", type="primary", icon=":material/play_arrow:", key="train_start"):
        with errors_shown():
            keep_split(chosen.split)
            chosen.task.check(current_settings())
            begin_job(chosen.task)
            st.rerun()
