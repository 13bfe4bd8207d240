"""Splits: which perturbations a model learns from, and which are held out.

section: Models
icon: :material/call_split:
order: 40
"""

import shlex

import streamlit as st

from vccapp import ui
from vccapp.data.commands import count_folds, split_command
from vccapp.data.schema import CONTROL
from vccapp.data.split import check_split, make_folds, make_split, split_from_lists, to_toml, write_split
from vccapp.figures import splits as figures

WAYS = {"ratio": "By shares", "kfold": "Folds", "lists": "Lists"}

ui.open_page(__file__)
record, index = ui.need_index()
labels = [label for label in index.labels if label != CONTROL]
known = ui.load_splits(record)
splits = {split.name: split for split in known}
ui.show_unreadable(known.unreadable)

with st.expander("Make a split", icon=":material/add:", expanded=not splits):
    way = st.segmented_control(
        "How", list(WAYS), default="ratio", required=True, key="split_way", bind="query-params", format_func=WAYS.get
    )
    left, right = st.columns([3, 1])
    name = left.text_input("Name", "first", key="split_name", help="Letters, digits, '-' and '_'")
    seed = int(right.number_input("Seed", 0, 2**31 - 1, 0, key="split_seed", help="Same seed, same split"))
    train = val = test = ()
    folds, shares = 5, (0.64, 0.16, 0.20)
    if way == "ratio":
        left, right = st.columns(2)
        tested = left.slider("Test", 0.0, 0.5, 0.20, 0.01, key="split_test", format="percent")
        validated = right.slider("Validation", 0.0, 0.4, 0.16, 0.01, key="split_val", format="percent")
        shares = (1 - tested - validated, validated, tested)
        st.caption(f"{shares[0]:.0%} of the {len(labels)} perturbations to train on.")
    elif way == "kfold":
        folds = int(
            st.number_input("Folds", 3, max(3, min(20, len(labels))), min(5, max(3, len(labels))), key="split_folds")
        )
    else:
        test = st.multiselect("Test", labels, key="split_test_list")
        val = st.multiselect("Validation", labels, key="split_val_list")
        train = [label for label in labels if label not in {*test, *val}]
        st.caption(f"The other {len(train)} perturbations are for training.")
    if st.button("Make the split", type="primary", key="split_make"):
        with ui.errors_told():
            if way == "ratio":
                made = [make_split(labels, name=name, dataset=record.fingerprint, ratio=shares, seed=seed)]
            elif way == "kfold":
                made = make_folds(labels, name=name, dataset=record.fingerprint, k=folds, seed=seed)
            else:
                made = [split_from_lists(name=name, dataset=record.fingerprint, train=train, val=val, test=test)]
            for split in made:
                check_split(split, labels)
            for split in made:
                write_split(split, ui.current_settings())
            st.session_state["split"] = made[0].name
            st.rerun()

if not splits:
    st.info("No split of this dataset yet. The page *Train* offers the standard one: 64 / 16 / 20 %.")
    st.stop()
split = splits[st.selectbox("Split", list(splits), key="split", bind="query-params")]
members = ui.split_table(split, index)
with st.container(horizontal=True, key="numbers"):
    st.metric("Train", len(split.train))
    st.metric("Validation", len(split.val))
    st.metric("Test", len(split.test))
with ui.errors_told():
    check_split(split, labels)
    st.caption("Checked: no gene is in two parts; perturbations of two genes follow their genes. Controls are in all.")
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
st.download_button(
    "Export as TOML",
    data=lambda: to_toml(split, dataset_name=record.title, path=record.path, context="all"),
    file_name=f"{split.name}.toml",
    mime="application/toml",
    icon=":material/download:",
    on_click="ignore",
    help="The split as STATE and cell-load read it",
)
ui.reproduce(
    shlex.join(split_command(split, folds=count_folds(split, splits))),
    shlex.join(["vccapp", "split", "export", split.name, f"{split.name}.toml"]),
)
