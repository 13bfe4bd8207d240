"""The view of the page Compare that says what is wrong with a prediction, and what to do."""

import shlex

import pandas as pd
import streamlit as st

from vccapp.ui.comparison.comparison import Comparison, load_findings
from vccapp.ui.kit.show import show_table

SIGNS = {
    "problem": (":red[:material/error:]", "problem"),
    "warning": (":orange[:material/warning:]", "warning"),
    "ok": (":green[:material/check_circle:]", "in order"),
    "skipped": (":gray[:material/remove:]", "not looked at"),
}


def show_findings(chosen: Comparison) -> None:
    """Diagnostics of the prediction shown in detail, and how each of the others fares."""
    for finding in load_findings(chosen, chosen.shown):
        sign, word = SIGNS[finding.status]
        with st.container(border=True, gap="xsmall"):
            st.markdown(f"{sign} **{finding.label}** · {word}  \n{finding.message}")
            if finding.advice and finding.status in ("problem", "warning"):
                st.caption(finding.advice)
    if chosen.shown.kind == "run":
        words = ["vccapp", "eval", "diagnose", "--run", chosen.shown.key, "--part", chosen.part]
        st.caption(f"From pseudobulks alone. `{shlex.join(words)}` looks at some predicted cells as well.")
    rows = [
        {"source": own.name} | {found.label: SIGNS[found.status][1] for found in load_findings(chosen, own)}
        for own in chosen.everyone
    ]
    st.subheader("Beside the others", anchor=False)
    table = pd.DataFrame(rows)
    show_table(table, key="cmp_findings", text="Diagnostics of every run and baseline", name="diagnostics", height=300)
