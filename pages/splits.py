"""Splits: which perturbations a model learns from, and which are held out.

section: Models
icon: :material/call_split:
order: 40
"""

import streamlit as st

from vccapp import ui
from vccapp.figures import splits as figures

ui.open_page(__file__)
record, index = ui.need_index()
known = ui.load_splits(record)
splits = {split.name: split for split in known}
ui.show_unreadable(known.unreadable)

ui.split_form(record, index, expanded=not splits)
if not splits:
    st.info("This dataset has no split yet. The page *Train* offers the standard one: 64 / 16 / 20 %.")
    st.stop()
split = splits[st.selectbox("Split", list(splits), key="split", bind="query-params")]
members = ui.split_table(split, index)
with st.container(horizontal=True, key="numbers"):
    st.metric("Train", len(split.train))
    st.metric("Validation", len(split.val))
    st.metric("Test", len(split.test))
ui.show_split_check(split, index)
left, right = st.columns(2)
for column, value, label in ((left, "effect", "Effect size"), (right, "degs", "DEGs")):
    with column:
        ui.show_chart(
            figures.part_balance(members, value=value, label=label),
            key=f"split_{value}",
            text=f"{label} of each perturbation by part, with the median of each part.",
            data=members,
            name=f"{split.name}_{value}",
        )
ui.show_table(
    members, key="split_table", text="Perturbations of the split with their part", name=split.name, height=280
)
ui.show_toml_button(split, record)
ui.reproduce(*ui.split_commands(split, splits))
