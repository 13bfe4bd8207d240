"""Choosing a sweep: model, what is tried, how trials are chosen and judged; what all of it takes; and its start."""

import shlex
from math import prod
from typing import Any

import streamlit as st

from vccapp.commands import format_values
from vccapp.data.commands import split_command
from vccapp.data.schema import MAX_SEED
from vccapp.data.splits.split import Split
from vccapp.data.workspace import Record
from vccapp.errors import VccAppError
from vccapp.evaluation.metrics import METRICS
from vccapp.evaluation.scoring.score import list_pseudobulk_metrics
from vccapp.models.base import MODELS, Model, label_parameter, list_trainable
from vccapp.parameters import changed_values, label_of, plain_type
from vccapp.stats.index import Index
from vccapp.tasks.sweep import Sweep
from vccapp.training import RunSpec
from vccapp.training.sweeps.estimate import estimate_sweep
from vccapp.training.sweeps.space import parse_seeds, parse_values
from vccapp.training.sweeps.spec import make_sweep
from vccapp.training.validation import VALIDATION_METRICS
from vccapp.ui.kit.forms import choose_one, spec_form
from vccapp.ui.kit.frame import errors_shown
from vccapp.ui.kit.jobs import begin_job
from vccapp.ui.kit.loaders import current_settings, load_splits
from vccapp.ui.standard_split import keep_split, standard_split
from vccapp.ui.training.choice import choose_devices, choose_place
from vccapp.wording import bytes_text, plain

DEFAULT_TRIALS = 24
SAMPLERS = {"tpe": "TPE", "random": "Random", "grid": "Grid"}
PRUNING = {"none": "None", "median": "Median", "hyperband": "Hyperband"}
WAYS = {"values": "Values", "range": "Range", "log": "Log range"}
COLUMNS = 2
EXPLAINED = {
    "tpe": "TPE learns from the trials before it where good values lie.",
    "random": "Each trial draws its parameters by chance.",
    "grid": "Every combination of the values is a trial.",
}


def choose_sweep(record: Record, index: Index) -> None:
    """The form of a sweep, its command, what it will take, and the button that starts it."""
    left, right = st.columns(2)
    names = list_trainable()
    with left:
        model = st.selectbox(
            "Model",
            names,
            index=names.index("scouter"),
            key="sweep_model",
            bind="query-params",
            format_func=lambda name: MODELS[name].label,
        )
    with right:
        split, is_new = _choose_split(record, index)
    kind = MODELS[model]
    sampler = choose_one("Sampler", SAMPLERS, key="sweep_sampler")
    st.caption(EXPLAINED[sampler])
    values, ranges = _choose_space(model, kind, ranged=sampler != "grid")
    shared: dict[str, Any] = {}
    if st.toggle("Change parameters that all trials share", key="sweep_shared"):
        shared = changed_values(kind.Spec, spec_form(kind.Spec, key=f"sweep_{model}_fixed").values)
    fixed = {name: value for name, value in shared.items() if name not in (*values, *ranges)}
    chosen = _choose_rest(kind, sampler, n_trials=DEFAULT_TRIALS if ranges else _count(values))
    left, right = st.columns([3, 1])
    title = left.text_input("Title", key="sweep_title", placeholder="Optional beginning of each run's title")
    with right:
        devices = choose_devices(model, key="sweep_devices")
    on = choose_place(key="sweep_on")
    with errors_shown():
        run = RunSpec(model=model, params=fixed, dataset=record.fingerprint, split=split.name, title=title)
        seeds = tuple(parse_seeds(chosen.pop("seeds")))
        spec = make_sweep(run, parse_values(values), ranges, sampler=sampler, seeds=seeds, **chosen)
        task = Sweep.of(spec, devices=None if devices == current_settings().devices else devices, on=on)
        words = [split_command(split)] if is_new else []
        lines = [shlex.join(line) for line in (*words, task.command())]
        st.code("\n".join(lines), language="bash", wrap_lines=True)
        estimate = estimate_sweep(spec, index, split, current_settings())
        st.caption(plain(estimate.describe()))
        if estimate.memory_bytes > current_settings().memory_bytes:
            allowed = bytes_text(current_settings().memory_bytes)
            st.warning(f"Exceeds the limit of {allowed}: choose smaller values, or raise VCCAPP_MEMORY_GB.")
        if st.button("Start the sweep", type="primary", icon=":material/play_arrow:", key="sweep_start"):
            keep_split(split)
            task.check(current_settings())
            begin_job(task)
            st.rerun()


def _choose_split(record: Record, index: Index) -> tuple[Split, bool]:
    """A split, and whether the workspace has no file of it yet."""
    splits = {split.name: split for split in load_splits(record)}
    known = set(splits)
    standard = standard_split(record, index)
    splits.setdefault(standard.name, standard)
    name = st.selectbox("Split", list(splits), key="sweep_split", bind="query-params")
    return splits[name], name not in known


def _choose_space(model: str, kind: type[Model], *, ranged: bool) -> tuple[dict[str, str], dict[str, str]]:
    """Values, and ranges, of the parameters that are tried, as their commands write them."""
    fields = kind.Spec.model_fields
    names = st.multiselect(
        "Parameters to try",
        list(fields),
        list(kind.grid),
        key=f"sweep_{model}_names",
        format_func=lambda name: label_parameter(model, name),
    )
    values: dict[str, str] = {}
    ranges: dict[str, str] = {}
    for start in range(0, len(names), COLUMNS):
        for column, name in zip(st.columns(COLUMNS), names[start : start + COLUMNS], strict=False):
            with column:
                way, text = _choose_axis(f"sweep_{model}_{name}", name, kind, ranged=ranged)
            if way == "values":
                values[name] = text
            else:
                ranges[name] = text + (",log" if way == "log" else "")
    return values, ranges


def _choose_axis(key: str, name: str, kind: type[Model], *, ranged: bool) -> tuple[str, str]:
    """How a parameter is tried, and its values or the ends of its range, divided by commas."""
    field = kind.Spec.model_fields[name]
    label, way = label_of(kind.Spec, name), "values"
    if ranged and plain_type(field.annotation) in (int, float):
        way = choose_one(label, WAYS, key=f"{key}_way", linked=False)
    tried = kind.grid.get(name, (field.get_default(call_default_factory=True),))
    shown = format_values(tried).replace(",", ", ")
    if way == "values":
        return way, st.text_input(f"{label}: values", shown, key=f"{key}_values", help="Divided by commas")
    ends = (min(tried), max(tried)) if len(tried) > 1 else (tried[0], 2 * tried[0] or 1)
    shown = format_values(ends).replace(",", ", ")
    return way, st.text_input(f"{label}: from, to", shown, key=f"{key}_{way}", help="Lowest, highest value")


def _count(values: dict[str, str]) -> int:
    """As many trials as there are combinations, up to DEFAULT_TRIALS; those where the values cannot be read."""
    try:
        return min(prod(len(tried) for tried in parse_values(values).values()), DEFAULT_TRIALS) or 1
    except VccAppError:  # told below
        return DEFAULT_TRIALS


def _choose_rest(kind: type[Model], sampler: str, *, n_trials: int) -> dict[str, Any]:
    """How many trials and runs there are, and how they are judged: fields of the sweep; seeds as text.

    n_trials : at first
    """
    settings = current_settings()
    chosen: dict[str, Any] = {}
    columns = st.columns(4)
    with columns[0]:
        if sampler != "grid":
            chosen["n_trials"] = int(
                st.number_input("Trials", 1, 1000, n_trials, key="sweep_trials", bind="query-params")
            )
    with columns[1]:
        chosen["seeds"] = st.text_input("Seeds", "0", key="sweep_seeds", help="One run of each trial per seed, 0, 1, 2")
    with columns[2]:
        text = "Folds of the perturbations outside test, one run each; 0 = the split's own validation part"
        chosen["folds"] = int(st.number_input("Folds", 0, 20, 0, key="sweep_folds", bind="query-params", help=text))
    with columns[3]:
        text = "Runs that are queued or running at the same time"
        n = settings.max_jobs
        chosen["at_once"] = int(st.number_input("Runs at once", 1, 100, n, key="sweep_at_once", help=text))
    places = st.columns([3, 2, 1])
    with places[0]:
        metrics = list_pseudobulk_metrics()
        chosen["metric"] = st.selectbox(
            "Judged by",
            metrics,
            index=metrics.index("pearson_delta"),
            key="sweep_metric",
            bind="query-params",
            format_func=lambda name: f"{METRICS[name].label} ({METRICS[name].best} is better)",
            help="Mean over the validation perturbations; the test part is never looked at",
        )
    with places[1]:
        if kind.is_network and chosen["metric"] in VALIDATION_METRICS:
            text = "End trials early whose first run does worse than those before it at the same validation"
            chosen["pruning"] = choose_one("Pruning", PRUNING, key="sweep_pruning", help=text)
    with places[2]:
        if sampler != "grid":
            text = "The same seed gives the same trials"
            seed = st.number_input("Sampler seed", 0, min(MAX_SEED, 2**31 - 1), 0, key="sweep_sampler_seed", help=text)
            chosen["sampler_seed"] = int(seed)
    return chosen
