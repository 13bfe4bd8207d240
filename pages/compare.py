"""Compare: predicted against real pseudobulks of held-out perturbations, beside the baselines.

section: Models
icon: :material/compare_arrows:
order: 60
"""

import shlex

import numpy as np
import streamlit as st

from vccapp import ui
from vccapp.evaluation.compare import compute_comparison
from vccapp.figures import compare as figures

SHOWN = 4
TOP = 200
SCORES = {
    "pearson_delta": "Pearson correlation of deltas",
    "spearman_delta": "Spearman correlation of deltas",
    "mae": "Mean absolute error (log1p)",
    "mse_delta": "Mean squared error of deltas",
}

ui.open_page(__file__)
record, index = ui.need_index()

left, middle = st.columns([3, 1])
with left:
    run = ui.choose_run(record, key="cmp_run")
part = middle.segmented_control(
    "Part", ["test", "val"], default="test", required=True, key="cmp_part", bind="query-params"
)
labels, deltas = run.prediction(part)
if not labels:
    st.info(f"The split {run.split.name} has no {part} part.")
    st.stop()
effects = index.perturbations.set_index("perturbation")["effect"].loc[labels].sort_values(ascending=False)
chosen = st.multiselect(
    "Perturbations",
    labels,
    default=effects.index[:SHOWN].tolist(),
    key="cmp_perturbations",
    bind="query-params",
    help=f"Held-out perturbations; at first the {SHOWN} with the largest real effect.",
)
left, right = st.columns([1, 2])
n_top = left.number_input(
    "Genes with the largest real |delta|",
    10,
    len(index.genes),
    min(TOP, len(index.genes)),
    key="cmp_top",
    bind="query-params",
)
pasted = right.text_input(
    "Or these genes", key="cmp_genes", bind="query-params", placeholder="paste a list: MYC, TP53 ..."
)
if not chosen:
    st.info("Choose at least one perturbation.")
    st.stop()

predicted = np.asarray(deltas[[labels.index(label) for label in chosen]])
strongest = np.argsort(-np.abs(index.deltas(chosen)).max(axis=0), kind="stable")[: int(n_top)]
genes = pasted.replace(",", " ").split() or index.genes["gene"].to_numpy()[strongest].tolist()
frame = compute_comparison(index, predicted, perturbations=chosen, genes=genes)

left, right = st.columns(2)
with left:
    ui.show_chart(
        figures.agreement(frame, x="real", y="predicted", label="Pseudobulk", unit="mean log1p"),
        key="cmp_means",
        text=f"Scatter plot of predicted against real means, {len(chosen)} perturbations, {len(genes)} genes.",
        data=frame,
        name="compare_pseudobulk",
    )
with right:
    ui.show_chart(
        figures.agreement(frame, x="real_delta", y="predicted_delta", label="Delta", unit="delta (log1p)"),
        key="cmp_deltas",
        text=f"Scatter plot of predicted against real delta, {len(chosen)} perturbations, {len(genes)} genes.",
        data=frame,
        name="compare_deltas",
    )

scores = ui.load_scores(run.id, part)
st.subheader(f"All {len(labels)} perturbations of the {part} part", anchor=False)
st.caption("Means over perturbations. Our own quick scores, not those of a challenge's official scorer.")
ui.show_table(
    ui.score_table(run, part=part),
    key="cmp_summary",
    text="Mean scores of the run and of the baselines",
    name="scores",
    height=150,
)
score = st.segmented_control(
    "Score",
    list(SCORES),
    default="pearson_delta",
    required=True,
    key="cmp_score",
    bind="query-params",
    format_func=SCORES.get,
)
ui.show_chart(
    figures.scores_by_perturbation(scores, score=score, label=SCORES[score]),
    key="cmp_scores",
    text=f"{SCORES[score]} of each held-out perturbation for the run and the baselines.",
    data=scores,
    name="scores_by_perturbation",
)
ui.show_table(frame, key="cmp_table", text="Table of real and predicted values by gene", name="compare", height=300)
words = ["vccapp", "eval", "compare", "--run", run.id, "--part", part]
ui.reproduce(shlex.join([*words, "--perturbations", ",".join(chosen), "--genes", ",".join(genes)]))
