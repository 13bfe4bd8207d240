"""Submit: plan, generate and check the cells, and download the package.

section: Submission
icon: :material/package_2:
order: 70
"""

import streamlit as st

from vccapp import ui
from vccapp.figures import submission as figures

ui.open_page(__file__)
record, index = ui.need_context()
chosen = ui.choose_submission(record, index)
plan = ui.load_plan(chosen, index)
if plan is not None:
    ui.show_plan_numbers(plan, chosen.season)
    ui.show_build_button(plan)
    table = ui.plan_table(plan)
    ui.show_chart(
        figures.budget_bars(table, alpha=plan.alpha),
        key="sub_budget",
        text=f"Bar chart: planned and wanted cells of {len(plan.cells)} perturbations.",
        data=table,
        name="plan",
    )
ui.show_unpackaged()
submissions = ui.load_submissions()
if submissions or submissions.unreadable:
    st.subheader("Submissions", anchor=False)
ui.show_unreadable(submissions.unreadable)
for submission in submissions:
    ui.show_submission(submission)
ui.reproduce(*chosen.commands())
