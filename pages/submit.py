"""Submit: plan the cells within the budget, generate and check them, and download the package.

section: Submission
icon: :material/package_2:
order: 70
"""

import shlex

import streamlit as st

from vccapp import ui
from vccapp.challenges.base import CHALLENGES
from vccapp.figures import submission as figures
from vccapp.submission.plan import make_plan, plan_command, write_plan
from vccapp.tasks.build import Build

SOURCES = {"heldout": "Held-out perturbations of the run", "upload": "Upload pert_counts.csv", "path": "Path of a CSV"}

ui.open_page(__file__)
record, index = ui.need_index()
settings = ui.current_settings()

left, right = st.columns([3, 2])
with left:
    run = ui.choose_run(record, key="sub_run")
names = list(CHALLENGES)
challenge = CHALLENGES[
    right.selectbox(
        "Challenge", names, key="sub_challenge", bind="query-params", format_func=lambda name: CHALLENGES[name].label
    )
]
source = st.segmented_control(
    "Cells wanted per perturbation",
    list(SOURCES),
    default="heldout",
    required=True,
    key="sub_source",
    bind="query-params",
    format_func=SOURCES.get,
)
upload = path = None
if source == "upload":
    upload = st.file_uploader("pert_counts.csv", type="csv", key="sub_upload", max_upload_size=5)
elif source == "path":
    path = st.text_input("Path of pert_counts.csv", key="sub_path", bind="query-params").strip()

n_known = int(index.perturbations["n_cells"].iloc[0])
left, middle, last, right = st.columns([1, 2, 1, 1], vertical_alignment="bottom")
n_controls = left.number_input(
    "Control cells", 1, n_known, n_known, key="sub_controls", bind="query-params", help="Copied from the training file"
)
gene_list = middle.text_input(
    "Gene list",
    key="sub_genes",
    bind="query-params",
    placeholder="path; empty: the genes of the training file, in order",
)
name = last.text_input("Name", key="sub_name", placeholder="made up when empty").strip()
practice = right.toggle(
    "Practice",
    value=len(index.genes) != challenge.n_genes,
    key="sub_practice",
    help=f"Lets other genes than the challenge's {challenge.n_genes:,} through; the package is marked as practice.",
)

with ui.errors_told():
    counts = ui.load_wanted(source, run=run, index=index, upload=upload, path=path)
    if counts is not None:
        plan = make_plan(
            index,
            run.id,
            counts,
            challenge=challenge,
            settings=settings,
            n_controls=int(n_controls),
            genes=ui.optional_path(gene_list),
            practice=practice,
            id=name or None,
        )
        estimate = plan.estimate
        with st.container(horizontal=True, key="numbers"):
            st.metric("Perturbations", f"{len(plan.cells):,}")
            st.metric("Cells", f"{estimate.n_cells:,}", help=f"At most {challenge.max_cells:,}, controls included")
            st.metric("Of the budget", f"{estimate.n_cells / challenge.max_cells:.1%}")
            st.metric("Scaled by", f"{plan.alpha:.4f}", help="Planned cells over wanted cells")
            st.metric("Package, about", ui.bytes_text(estimate.vcc_bytes))
            st.metric("Disk needed", ui.bytes_text(estimate.disk_bytes))
        for note in plan.notes:
            st.caption(note)
        table = ui.plan_table(plan)
        if st.button("Build the submission", type="primary", icon=":material/package_2:", key="sub_build"):
            write_plan(plan, settings)
            ui.begin_job(Build(dataset=plan.dataset, plan=plan.id))
            st.rerun()
        ui.show_jobs(task="build", dataset=record.fingerprint, limit=1, key="sub_jobs")
        ui.show_chart(
            figures.budget_bars(table, alpha=plan.alpha),
            key="sub_budget",
            text=f"Bar chart: planned and wanted cells of {len(plan.cells)} perturbations.",
            data=table,
            name="plan",
        )

submissions = ui.load_submissions()
if submissions or submissions.unreadable:
    st.subheader("Submissions", anchor=False)
ui.show_unreadable(submissions.unreadable)
for submission in submissions:
    ui.show_submission(submission)
named = name or "mine"
words = plan_command(
    run.id,
    challenge=challenge.name,
    counts=upload.name if upload is not None else path,
    n_controls=None if n_controls == n_known else int(n_controls),
    genes=gene_list.strip(),
    practice=practice,
    name=named,
)
ui.reproduce(shlex.join(words), shlex.join(Build(plan=named).command()))
