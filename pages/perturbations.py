"""Perturbations: how many genes each perturbation changes, and one perturbation in detail.

section: Data
icon: :material/science:
order: 30
"""

import streamlit as st

from vccapp import ui
from vccapp.figures import perturbations as figures

ui.open_page(__file__)
record, index = ui.need_index()

left, right, _ = st.columns([1, 1, 1])
fdr = left.select_slider(
    "False discovery rate below", [0.001, 0.01, 0.05, 0.1, 0.2], value=0.05, key="pert_fdr", bind="query-params"
)
lfc = right.slider(
    "|log2 fold change| at least", 0.0, 3.0, 0.0, 0.25, key="pert_lfc", bind="query-params", help="0: no limit"
)
rule = f"FDR < {fdr:g}" + (f" and |log2 fold change| >= {lfc:g}" if lfc else "") + ", Wilcoxon against the controls"
counts = index.deg_counts(fdr=fdr, min_abs_lfc=lfc)
ui.show_chart(
    figures.deg_bars(counts, rule=rule),
    key="pert_degs",
    text=f"Bar chart: genes up and down for the perturbations with most DEGs, {rule}.",
    data=counts.set_axis(["Group", "DEG_Count", "Up_Regulated", "Down_Regulated"], axis=1),
    name="deg_counts",
)

table = index.perturbations.iloc[1:].drop(columns=["degs", "up", "down"]).merge(counts, on="perturbation")
table = table[["perturbation", "n_cells", "degs", "up", "down", "effect", "knockdown", "umis_median", "genes_median"]]
table = table.sort_values("degs", ascending=False, kind="stable")
st.caption("Choose a row to see the perturbation below.")
ui.show_table(
    table,
    key="pert_table",
    text="Table of perturbations with cells, DEGs, effect size and knock-down",
    name="perturbations",
    height=280,
    choose=("perturbation", "pert"),
)

names = index.labels[1:]
label = st.selectbox(
    "Perturbation", names, index=names.index(table["perturbation"].iloc[0]), key="pert", bind="query-params"
)
de = index.de(label)
de["direction"] = figures.classify(de, fdr=fdr, min_abs_lfc=lfc)
de["delta"], de["control"], de["perturbed"] = index.delta(label), index.control_mean, index.mean(label)
own = table.set_index("perturbation").loc[label]
with st.container(horizontal=True, key="numbers"):
    st.metric("Cells", f"{own['n_cells']:,.0f}")
    st.metric("DEGs", f"{own['degs']:,.0f}", help=rule)
    st.metric("Up", f"{own['up']:,.0f}")
    st.metric("Down", f"{own['down']:,.0f}")
    st.metric("Effect size", f"{own['effect']:.2f}", help="Length (L2) of the delta over all genes, log1p units")
    left_over = "not measured" if own["knockdown"] != own["knockdown"] else f"{own['knockdown']:.0%}"
    st.metric("Left on the target", left_over, help="Expression of the perturbed gene relative to the controls")

left, right = st.columns(2)
with left:
    ui.show_chart(
        figures.volcano(de, label=label, rule=rule),
        key="pert_volcano",
        text=f"Volcano plot of {label}: log2 fold change against -log10 p, {own['degs']:.0f} DEGs marked.",
        data=de[["gene", "log2_fold_change", "p_value", "fdr", "direction"]],
        name=f"{label}_de",
    )
    ui.show_chart(
        figures.delta_histogram(de["delta"].to_numpy(), label=label),
        key="pert_deltas",
        text=f"Histogram of the deltas of {label} over all genes.",
        data=de[["gene", "delta"]],
        name=f"{label}_deltas",
    )
with right:
    ui.show_chart(
        figures.mean_scatter(de, label=label),
        key="pert_scatter",
        text=f"Scatter plot: mean expression of each gene in {label} against controls.",
        data=de[["gene", "control", "perturbed", "delta"]],
        name=f"{label}_means",
    )
    ui.show_chart(
        figures.knockdown_strip(table, chosen=label),
        key="pert_knockdown",
        text="Expression left on the target of each perturbation, strongest knock-down first.",
        data=table[["perturbation", "knockdown"]],
        name="knockdown",
    )
ui.show_chart(
    figures.top_deltas(de, label=label),
    key="pert_top",
    text=f"Bar chart: the {figures.TOP} genes with the largest delta in {label}.",
    data=de[["gene", "delta"]].sort_values("delta", key=abs, ascending=False).head(figures.TOP),
    name=f"{label}_delta_top{figures.TOP}",
)
ui.reproduce(f"vccapp data perturbations {record.fingerprint} --json")
