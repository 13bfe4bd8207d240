"""A training on a page before it starts: by how many processes, and what it will take."""

from typing import Literal

import streamlit as st

from vccapp.data.splits.split import Split
from vccapp.errors import VccAppError
from vccapp.models.base import MODELS, make_model
from vccapp.stats.index import Index
from vccapp.training.fit import estimate_fit
from vccapp.ui.kit.loaders import current_settings
from vccapp.wording import bytes_text, plain


def choose_devices(model: str, *, key: str) -> int | Literal["auto"]:
    """A number of processes, asked for where they can share the fit of a model; else that of the settings."""
    known = current_settings().devices
    if known == "auto" or not MODELS[model].shared:
        return known
    text = "Number of processes, one per GPU or share of this machine's cores"
    return int(st.number_input("Devices", 1, None, known, key=key, bind="query-params", help=text))


def show_estimate(model: str, params: dict, index: Index, split: Split, *, devices: int | Literal["auto"] = 1) -> None:
    """Time and memory that a training will take, and whether it is allowed; nothing where the parameters are wrong."""
    settings = current_settings()
    try:
        ranks = 1 if devices == "auto" else devices
        estimate = estimate_fit(make_model(model, params), index, split, settings, ranks=ranks)
    except VccAppError:
        return  # told when it is started
    st.caption(plain(estimate.describe()))
    if estimate.memory_bytes > settings.memory_bytes:
        allowed = bytes_text(settings.memory_bytes)
        st.warning(f"Exceeds the limit of {allowed}: choose fewer genes, or raise VCCAPP_MEMORY_GB.")
