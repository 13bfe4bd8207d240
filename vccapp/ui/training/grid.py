"""A grid on a page: several values of chosen parameters, how many runs that is and what they take, and their start."""

import shlex

import streamlit as st

from vccapp.commands import format_values, options
from vccapp.data.splits.split import Split
from vccapp.jobs.grid import start_grid
from vccapp.models.base import MODELS, label_parameter
from vccapp.stats.index import Index
from vccapp.tasks.train import DeviceCount, Train
from vccapp.training import RunSpec
from vccapp.training.grid import Grid, estimate_grid, parse_seeds, parse_values
from vccapp.ui.kit.frame import errors_shown, page_link
from vccapp.ui.kit.loaders import current_settings
from vccapp.ui.standard_split import keep_split
from vccapp.wording import plain


def show_grid(spec: RunSpec, index: Index, split: Split, *, devices: DeviceCount) -> None:
    """Values for chosen parameters of a run, as many runs as there are combinations, and a button that starts them."""
    kind, key = MODELS[spec.model], f"grid_{spec.model}"
    fields = kind.Spec.model_fields

    def label(name: str) -> str:
        return label_parameter(spec.model, name)

    names = st.multiselect(
        "Parameters", list(fields), list(kind.grid), wrap=True, key=f"{key}_names", format_func=label
    )
    texts = {}
    for name in names:
        tried = kind.grid.get(name, (spec.params.get(name, fields[name].default),))
        texts[name] = st.text_input(
            f"{label(name)}: values", format_values(tried).replace(",", ", "), key=f"{key}_{name}"
        )
    seeds = st.text_input("Seeds", str(spec.seed), key=f"{key}_seeds")
    st.caption("Separate values with commas. Every combination of values and seeds becomes a run.")
    with errors_shown():
        grid = Grid(spec=spec, values=parse_values(texts), seeds=parse_seeds(seeds))
        specs = grid.specs()
        st.caption(plain(estimate_grid(specs, index, split, current_settings()).describe()))
        if st.button(
            f"Start {len(specs):,} run{'s' * (len(specs) > 1)}", icon=":material/grid_on:", key=f"{key}_start"
        ):
            keep_split(split)
            start_grid([Train.of(spec, devices=devices) for spec in specs], current_settings())
            st.rerun()
        words = grid.command() + options({"--devices": devices})
        st.code(shlex.join(words), language="bash", wrap_lines=True)
    page_link("scores", "Compare the runs on Scores")
