"""Scores: runs between baseline and limits, and which differences are significant.

section: Models
icon: :material/leaderboard:
order: 65
"""

import streamlit as st

from vccapp import ui

ui.open_page(__file__)
record, index = ui.need_index()


@st.fragment
def show_page() -> None:
    commands = []
    chosen = ui.choose_board(record)
    if chosen is not None:
        st.caption(
            "Choose a row to open it in Compare. Perfect: what the true means would get against these cells. Repeat: "
            "what a second experiment of the same size would get. A limit that would lie below the baseline cannot be "
            "told, as the halves of the cells agree too little, and is left out."
        )
        ui.show_leaderboard(chosen)
        with st.container(horizontal=True, vertical_alignment="center"):
            if chosen.rows.choice.per != "folds":
                ui.show_report_button(chosen)
            if run := st.session_state.get("scores_open"):
                ui.page_link("compare", f"Open {run}", cmp_runs=run, cmp_part=chosen.part)
        ui.show_metric(chosen)
        commands = ui.scores_commands(chosen)
        official = st.expander("Official scorers", icon=":material/gavel:", key="scores_official", on_change="rerun")
        if official.open:
            with official:
                commands.append(ui.show_official(record, index, part=chosen.part))
    entered = st.expander("Official results", icon=":material/edit_note:", key="scores_entered", on_change="rerun")
    if entered.open:
        with entered:
            ui.show_entered(record)
    ui.reproduce(*commands, "vccapp eval entered list")


show_page()
