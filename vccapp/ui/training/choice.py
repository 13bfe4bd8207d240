"""Choosing what the page Train trains: split, model, preset, parameters, title, seed and devices."""

import shlex
from dataclasses import dataclass

import streamlit as st

from vccapp.data.commands import split_command
from vccapp.data.splits.split import Split
from vccapp.data.workspace import Record
from vccapp.errors import SpecError
from vccapp.models.base import MODELS, label_model, make_model
from vccapp.parameters import changed_values
from vccapp.settings import Place
from vccapp.stats.index import Index
from vccapp.tasks.train import DeviceCount, Train
from vccapp.training import RunSpec
from vccapp.training.choosing.presets import describe_preset, find_preset
from vccapp.ui.kit.forms import choose_one, form_query, set_form, spec_form
from vccapp.ui.kit.loaders import current_settings, load_splits
from vccapp.ui.kit.runs import load_runs
from vccapp.ui.standard_split import standard_split
from vccapp.ui.training.model import KEY, choose_model, show_models
from vccapp.ui.training.offered import offer_fields, show_embeddings
from vccapp.ui.training.program import OFFICIAL, show_program, show_program_commands
from vccapp.ui.training.starting import choose_after, show_estimate, show_start_button
from vccapp.wording import plain

PLACES: dict[Place, str] = {"here": "This machine", "ray": "Ray cluster"}
DEFAULTS, OWN = "defaults", "own"


@dataclass(frozen=True)
class TrainingChoice:
    """What is to be trained. new_split : whether the workspace has no file of the split yet; words : of its command."""

    spec: RunSpec
    split: Split
    words: list[str]
    new_split: bool

    def commands(self) -> list[str]:
        """Those that do the same, and `vccapp train start` among them."""
        made = [split_command(self.split)] if self.new_split else []
        return [shlex.join(words) for words in (*made, self.words)]


def choose_training(record: Record, index: Index) -> TrainingChoice:
    """Everything that decides a run, its command, what it will take, and the button that starts it."""
    left, right = st.columns([2, 1])
    with right:
        split, known = _choose_split(record, index)
    runs = load_runs(record)
    with left:
        model = choose_model(index, split, runs)
    models = st.expander("All models", icon=":material/table:", key="train_all_models", on_change="rerun")
    if models.open:
        with models:
            show_models(split, runs)

    kind, key = MODELS[model], f"train_{model}"
    if model == OFFICIAL:
        show_program()
    presets = st.container()
    form = spec_form(kind.Spec, key=key, offered=offer_fields(kind.Spec, record, index, split))
    changed = changed_values(kind.Spec, form.values)
    if kind.presets:
        with presets:
            _show_presets(model, find_preset(model, changed) or (OWN if changed else DEFAULTS))
    if "embedding" in kind.Spec.offers:
        covered = st.expander("Compare embeddings", icon=":material/hub:", key="train_coverage", on_change="rerun")
        if covered.open:
            with covered:
                show_embeddings(index, split)

    left, right, last = st.columns([3, 1, 1])
    title = left.text_input("Title", key="train_title", bind="query-params", placeholder="Optional, shown in lists")
    with last:
        devices = choose_devices(model, key="train_devices")
    seed = int(
        right.number_input(
            "Seed", 0, 2**31 - 1, 0, key="train_seed", bind="query-params", help="The same seed gives the same run"
        )
    )
    on = choose_place(key="train_on")
    spec = RunSpec(model=model, params=changed, dataset=record.fingerprint, split=split.name, seed=seed, title=title)
    task = Train.of(spec, devices=None if devices == current_settings().devices else devices, on=on)
    after = choose_after()
    words = task.command() + [word for job in after for word in ("--after", job)]
    st.code(shlex.join(words), language="bash", wrap_lines=True)
    if model == OFFICIAL:
        show_program_commands(spec)
    show_estimate(task, index, split, after)
    show_start_button(task, index, split, form.problems, after)
    return TrainingChoice(spec, split, words, split.name not in known)


def training_query(spec: RunSpec, *, devices: DeviceCount = None) -> dict[str, str]:
    """The parameters of an address that opens the page Train with all that decides a run.

    Raises SpecError for a model that there is not or that has no form, and for parameters that it no longer has.
    """
    kind = MODELS[spec.model]
    if not kind.trainable:
        raise SpecError("not_trainable", f"'{spec.model}' is not trained")
    values = changed_values(kind.Spec, make_model(spec.model, spec.params).spec.model_dump())
    query = {KEY: kind.label, "train_split": spec.split, "train_seed": str(spec.seed) if spec.seed else ""}
    query |= {"train_title": spec.title, "train_devices": "" if devices in (None, "auto") else str(devices)}
    form = form_query(kind.Spec, values, key=f"train_{spec.model}")
    for name, offer in kind.Spec.offers.items():
        if offer == "baseline" and name in values:  # called by its label, as in the list
            form[f"train_{spec.model}_{name}"] = label_model(values[name]) if values[name] else "None"
    return {name: value for name, value in query.items() if value} | form


def _choose_split(record: Record, index: Index) -> tuple[Split, set[str]]:
    """A split, and the names of those that are written."""
    splits = {split.name: split for split in load_splits(record)}
    known = set(splits)
    standard = standard_split(record, index)
    splits.setdefault(standard.name, standard)
    split = splits[st.selectbox("Split", list(splits), key="train_split", bind="query-params")]
    st.caption(
        f"{len(split.train)} perturbations for training, {len(split.val)} for validation, {len(split.test)} for testing"
    )
    return split, known


def _show_presets(model: str, current: str) -> None:
    """Buttons that fill the form; what the one that it is filled with sets, and where that is from."""
    kind = MODELS[model]
    labels = {DEFAULTS: "Defaults"} | {name: preset.label for name, preset in kind.presets.items()}
    if not all(preset.values for preset in kind.presets.values()):  # a preset that is the defaults
        del labels[DEFAULTS]
    labels |= {OWN: "Own"} if current == OWN else {}
    key = f"train_{model}_preset_choice"
    st.session_state[key] = current
    st.segmented_control(
        "Preset",
        list(labels),
        key=key,
        format_func=labels.__getitem__,
        required=True,
        on_change=_fill,
        args=(model, key),
        help="Fills the form below; every value can still be changed.",
    )
    if current in kind.presets:
        preset = kind.presets[current]
        st.caption(plain(f"{preset.purpose} Sets {describe_preset(model, current)}. Source: {preset.source}."))


def _fill(model: str, key: str) -> None:
    kind = MODELS[model]
    chosen = st.session_state[key]
    if chosen != OWN:
        values = kind.presets[chosen].values if chosen in kind.presets else {}
        set_form(kind.Spec, values, key=f"train_{model}")


def choose_devices(model: str, *, key: str) -> DeviceCount:
    """A number of processes, asked for where they can share the fit of a model; else that of the settings."""
    known = current_settings().devices
    if known == "auto" or not MODELS[model].shared:
        return known
    text = "Number of processes, one per GPU or share of this machine's cores"
    return int(st.number_input("Devices", 1, None, known, key=key, bind="query-params", help=text))


def choose_place(*, key: str) -> Place:
    """Where to work; asked for where the settings name a cluster."""
    if current_settings().ray_address == "auto":
        return "here"
    return choose_one("Where", PLACES, key=key, help="On this machine, or on the Ray cluster of the page Settings")
