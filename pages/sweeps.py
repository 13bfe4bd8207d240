"""Sweeps: try many parameters of a model, and see which do best.

section: Models
icon: :material/grid_on:
order: 57
"""

import streamlit as st

from vccapp import ui

ui.open_page(__file__)
record, index = ui.need_index()
sweeps = ui.load_sweeps(record)
ui.show_unreadable(sweeps.unreadable)
commands = []
form = st.expander("New sweep", icon=":material/add:", key="sweep_new", expanded=not sweeps, on_change="rerun")
if form.open:
    with form:
        ui.choose_sweep(record, index)
ui.show_unrecorded(record, sweeps)
if sweeps:
    commands.append(f"vccapp sweep status {ui.show_sweep(sweeps)}")
ui.reproduce(*commands, "vccapp sweep list", "vccapp sweep stop latest", "vccapp sweep resume latest")
