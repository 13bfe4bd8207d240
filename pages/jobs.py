"""Jobs: what worked, works and waits in the background, with its log.

section: Submission
icon: :material/work_history:
order: 90
"""

import streamlit as st

from vccapp import ui

LIMIT = 50

ui.open_page(__file__)
st.caption("Jobs go on when this page is closed or the app is started anew.")
jobs = ui.load_jobs(limit=LIMIT)
if not jobs:
    st.info("Nothing has run yet.")
ui.show_jobs(limit=LIMIT, key="jobs")
if jobs:
    ui.show_csv_button(ui.job_table(jobs), name="jobs", key="jobs_table")
ui.reproduce("vccapp jobs list", "vccapp jobs show JOB", "vccapp jobs stop JOB")
