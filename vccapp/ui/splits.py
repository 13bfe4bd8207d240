"""The page Splits: the form that makes a split, its check, its export and its commands."""

import shlex
from collections.abc import Mapping

import streamlit as st

from vccapp.data.commands import count_folds, split_command
from vccapp.data.splits.split import (
    Split,
    check_split,
    hold_out_contexts,
    keep_contexts,
    make_folds,
    make_split,
    split_from_lists,
    write_split,
)
from vccapp.data.splits.toml import to_toml
from vccapp.data.workspace import Record
from vccapp.stats.index import Index
from vccapp.ui.kit.forms import choose_one
from vccapp.ui.kit.frame import errors_shown
from vccapp.ui.kit.loaders import current_settings

WAYS = {"ratio": "By shares", "kfold": "Folds", "lists": "Lists"}


def split_form(record: Record, index: Index, *, expanded: bool) -> None:
    """Make a split by shares, in folds, of lists, or of whole contexts."""
    labels = index.perturbed
    with st.expander("Create a split", icon=":material/add:", expanded=expanded):
        ways = WAYS | ({"contexts": "Contexts"} if index.contexts else {})
        way = choose_one("How", ways, key="split_way", default="ratio")
        left, right = st.columns([3, 1])
        name = left.text_input("Name", "first", key="split_name", help="Letters, digits, '-' and '_'")
        seed = int(
            right.number_input("Seed", 0, 2**31 - 1, 0, key="split_seed", help="The same seed gives the same split")
        )
        train: list[str] = []
        val: list[str] = []
        test: list[str] = []
        folds, shares = 5, (0.64, 0.16, 0.20)
        if index.contexts and way != "contexts":
            kept = st.multiselect(
                "Contexts", index.contexts, default=index.contexts, key="split_contexts", help="Others are left out"
            )
            labels = keep_contexts(labels, kept)
        if way == "ratio":
            left, right = st.columns(2)
            tested = left.slider("Test", 0.0, 0.5, 0.20, 0.01, key="split_test", format="percent")
            validated = right.slider("Validation", 0.0, 0.4, 0.16, 0.01, key="split_val", format="percent")
            shares = (1 - tested - validated, validated, tested)
            st.caption(f"{shares[0]:.0%} of the {len(labels)} perturbations are for training.")
        elif way == "kfold":
            folds = int(
                st.number_input(
                    "Folds", 3, max(3, min(20, len(labels))), min(5, max(3, len(labels))), key="split_folds"
                )
            )
        elif way == "contexts":
            test = st.multiselect(
                "Test contexts", index.contexts, default=index.contexts[-1:], key="split_test_contexts"
            )
            val = st.multiselect(
                "Validation contexts",
                [context for context in index.contexts if context not in test],
                key="split_val_contexts",
                help="If empty, a fifth of the perturbations of the training contexts",
            )
            st.caption("All perturbations of the test contexts are held out; models see the controls there.")
        else:
            test = st.multiselect("Test", labels, wrap=True, key="split_test_list")
            val = st.multiselect("Validation", labels, wrap=True, key="split_val_list")
            train = [label for label in labels if label not in {*test, *val}]
            st.caption(f"The other {len(train)} perturbations are for training.")
        if st.button("Create the split", type="primary", key="split_make"):
            with errors_shown():
                if way == "ratio":
                    made = [make_split(labels, name=name, dataset=record.fingerprint, ratio=shares, seed=seed)]
                elif way == "contexts":
                    fingerprint = record.fingerprint
                    made = [hold_out_contexts(labels, name=name, dataset=fingerprint, test=test, val=val, seed=seed)]
                elif way == "kfold":
                    made = make_folds(labels, name=name, dataset=record.fingerprint, k=folds, seed=seed)
                else:
                    made = [split_from_lists(name=name, dataset=record.fingerprint, train=train, val=val, test=test)]
                for split in made:
                    check_split(split, labels)
                for split in made:
                    write_split(split, current_settings())
                st.session_state["split"] = made[0].name
                st.rerun()


def show_split_check(split: Split, index: Index) -> None:
    """Whether a split is one of these data, and leaks nothing."""
    with errors_shown():
        check_split(split, index.perturbed)
        where = " of the same context" if split.method in ("contexts", "lists") and index.contexts else ""
        st.caption(
            f"Checked: no gene is in two parts{where}. Two-gene perturbations go with their genes. Controls are in all "
            "parts."
        )


def show_toml_button(split: Split, record: Record) -> None:
    """A download of the split as STATE and cell-load read it."""
    st.download_button(
        "Export as TOML",
        data=lambda: to_toml(
            split,
            dataset_name=record.title,
            path=record.path,
            context="all",
            context_ignored=record.schema.context_ignored,
        ),
        file_name=f"{split.name}.toml",
        mime="application/toml",
        icon=":material/download:",
        on_click="ignore",
        help="The split in the format of STATE and cell-load",
    )


def split_commands(split: Split, splits: Mapping[str, Split]) -> list[str]:
    """`vccapp split make` and `export` of one of the splits."""
    export = ["vccapp", "split", "export", split.name, f"{split.name}.toml"]
    return [shlex.join(words) for words in (split_command(split, folds=count_folds(split, splits)), export)]
