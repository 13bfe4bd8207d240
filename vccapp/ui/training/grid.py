"""A grid on a page: several values of chosen parameters, how many runs that is and what they take, and their start."""

import shlex

import streamlit as st

from vccapp.data.split import Split
from vccapp.jobs.grid import start_grid
from vccapp.models.base import MODELS
from vccapp.settings import Settings
from vccapp.stats.index import Index
from vccapp.training import RunSpec
from vccapp.training.grid import estimate_grid, expand_grid, parse_seeds, parse_values
from vccapp.ui.kit.forms import field_label
from vccapp.ui.kit.frame import errors_told, page_link
from vccapp.ui.kit.loaders import current_settings
from vccapp.ui.kit.splits import keep_split


def show_grid(spec: RunSpec, index: Index, split: Split, settings: Settings) -> None:
    """Values for chosen parameters of a run, as many runs as there are combinations, and a button that starts them."""
    kind, key = MODELS[spec.model], f"grid_{spec.model}"
    fields = kind.Spec.model_fields
    names = st.multiselect("Parameters", list(fields), list(kind.grid), key=f"{key}_names", format_func=field_label)
    texts = {}
    for name in names:
        tried = kind.grid.get(name, (spec.params.get(name, fields[name].default),))
        texts[name] = st.text_input(f"{field_label(name)}: values", ", ".join(map(str, tried)), key=f"{key}_{name}")
    seeds = st.text_input("Seeds", str(spec.seed), key=f"{key}_seeds")
    st.caption("Values are separated by commas; every combination with every seed is a run of its own.")
    with errors_told():
        values = parse_values(texts)
        specs = expand_grid(spec, values, seeds=parse_seeds(seeds))
        st.caption(estimate_grid(specs, index, split).describe())
        if st.button(
            f"Start {len(specs):,} run{'s' * (len(specs) > 1)}", icon=":material/grid_on:", key=f"{key}_start"
        ):
            keep_split(split)
            start_grid(specs, settings)
            st.rerun()
    page_link("scores", "Compare the runs on Scores")
    varied = [f"{name}={text.replace(' ', '')}" for name, text in texts.items()]
    fixed = [f"{name}={value}" for name, value in spec.params.items() if name not in texts]
    words = ["vccapp", "train", "grid", spec.model, "--split", split.name, "--seeds", seeds.replace(" ", "")]
    words += [word for assigned in (*fixed, *varied) for word in ("--set", assigned)]
    words += ["--title", spec.title] if spec.title else []
    words += ["--devices", str(settings.devices)] if settings.devices != current_settings().devices else []
    st.code(shlex.join(words), language="bash", wrap_lines=True)
