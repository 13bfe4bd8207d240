"""Jobs: running, waiting and ended work, with its log.

section: Submission
icon: :material/work_history:
order: 90
"""

import streamlit as st

from vccapp import ui

LIMIT = 50

ui.open_page(__file__)
st.caption("Jobs keep running when you close this page or restart the app.")
jobs = ui.load_jobs(limit=LIMIT)
if not jobs:
    st.info("No jobs yet.")
ui.show_queue()
ui.show_jobs(limit=LIMIT, key="jobs")
if jobs:
    ui.show_csv_button(ui.job_table(jobs), name="jobs", key="jobs_table")
ui.reproduce(
    "vccapp queue", "vccapp jobs list", "vccapp jobs show JOB", "vccapp jobs stop JOB", "vccapp queue again JOB"
)
