"""The view of the page Compare that says what is wrong with a prediction, and what to do. It returns its commands."""

import shlex

import streamlit as st

from vccapp.evaluation.comparison.diagnostics import view_diagnostics
from vccapp.ui.comparison.choice import Choice
from vccapp.ui.kit.show import show_table
from vccapp.wording import plain

SIGNS = {
    "problem": (":red[:material/error:]", "problem"),
    "warning": (":orange[:material/warning:]", "warning"),
    "ok": (":green[:material/check_circle:]", "ok"),
    "skipped": (":gray[:material/remove:]", "not checked"),
}


def show_findings(chosen: Choice) -> list[str]:
    """Diagnostics of the prediction shown in detail, and how each of the others fares."""
    view = view_diagnostics(chosen.comparison, chosen.shown)
    for finding in view.findings.itertuples():
        sign, word = SIGNS[finding.status]
        with st.container(border=True, gap="xsmall"):
            st.markdown(f"{sign} **{plain(finding.label)}** · {word}  \n{plain(finding.message)}")
            if finding.advice and finding.status in ("problem", "warning"):
                st.caption(plain(finding.advice))
    commands = [chosen.command("diagnose", "--pseudobulks", detail=True)]
    if chosen.shown.kind == "run":
        words = ["vccapp", "eval", "diagnose", "--run", chosen.shown.key, "--part", chosen.comparison.part]
        commands.append(shlex.join(words))
        st.caption(f"Based on pseudobulks. {plain(commands[-1])} also checks some predicted cells.")
    st.subheader("All predictions", anchor=False)
    table = view.by_source.replace({status: word for status, (_, word) in SIGNS.items()})
    show_table(table, key="cmp_findings", text="Diagnostics of every run and baseline", name="diagnostics", height=300)
    return commands
