"""Ledger: what was submitted, what made it, what it scored, and how two of them differ.

section: Submission
icon: :material/history_edu:
order: 75
"""

import streamlit as st

from vccapp import ui

ui.open_page(__file__)
ledger = ui.read_ledger()
commands = []
if ledger:
    commands = [ui.show_ranking(ledger), *ui.show_one(ledger), ui.show_pair(ledger)]
else:
    st.info("There is no submission yet: plan one on the page Submit.")
    ui.page_link("submit", "Go to Submit")
    commands = ["vccapp submit ledger list"]
ui.reproduce(*filter(None, commands))
