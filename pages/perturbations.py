"""Perturbations: how many genes each perturbation changes, and one perturbation in detail.

section: Data
icon: :material/science:
order: 30
"""

import shlex

import streamlit as st

from vccapp import ui
from vccapp.figures import perturbations as figures

ALL, ONE = "All perturbations", "One perturbation"

ui.open_page(__file__)
record, index = ui.need_context()
if "pert" in st.query_params and "pert_view" not in st.query_params:
    st.session_state.setdefault("pert_view", ONE)


@st.fragment
def show_page() -> None:
    left, right, _ = st.columns(3)
    fdr = left.select_slider("False discovery rate below", ui.FDRS, value=ui.FDR, key="pert_fdr", bind="query-params")
    lfc = right.slider(
        "|log2 fold change| at least", 0.0, 3.0, 0.0, 0.25, key="pert_lfc", bind="query-params", help="0: no limit"
    )
    rule = f"FDR < {fdr:g}" + (f" and |log2 fold change| >= {lfc:g}" if lfc else "") + ", Wilcoxon against the controls"
    every, one = st.tabs([ALL, ONE], key="pert_view", on_change="rerun", bind="query-params")
    if every.open:
        with every:
            show_all(rule=rule, fdr=fdr, lfc=lfc)
            ui.show_deg_export(index, fdr=fdr, lfc=lfc, key="pert_csv")
    if one.open:
        with one:
            show_one(rule=rule, fdr=fdr, lfc=lfc)
    words = ["vccapp", "data", "export", record.fingerprint, "tables", "--fdr", f"{fdr:g}", "--min-abs-lfc", f"{lfc:g}"]
    ui.reproduce(shlex.join(words))


def show_all(*, rule: str, fdr: float, lfc: float) -> None:
    table = ui.perturbation_table(index, fdr=fdr, lfc=lfc)
    st.caption("Choose a row to open the perturbation.")
    ui.show_table(
        table,
        key="pert_table",
        text="Table of perturbations with cells, DEGs, effect size and knock-down",
        name="perturbations",
        height=300,
        choose=("perturbation", "pert"),
        then={"pert_view": ONE},
    )
    guides = ui.load_guides(index)
    charts = {
        "pert_degs": (figures.deg_bars(table, rule=rule), f"Genes up and down by perturbation, {rule}.", table),
        "pert_knockdown": (
            figures.knockdown_strip(table, guides),
            "Remaining target expression of each perturbation and guide, strongest knock-down first.",
            guides,
        ),
    }
    for key, (chart, text, data) in charts.items():
        ui.show_chart(chart, key=key, text=text, data=data, name=key)


def show_one(*, rule: str, fdr: float, lfc: float) -> None:
    table = ui.perturbation_table(index, fdr=fdr, lfc=lfc)
    names = index.perturbed
    first = names.index(table["perturbation"].iloc[0])
    label = st.selectbox("Perturbation", names, index=first, key="pert", bind="query-params")
    de = ui.describe_perturbation(index, label)
    de["direction"] = figures.classify(de, fdr=fdr, min_abs_lfc=lfc)
    own = table.set_index("perturbation").loc[label]
    ui.show_perturbation_numbers(own, rule=rule)
    guides = ui.load_guides(index).query("perturbation == @label")
    evidence = de[["gene", "log2_fold_change", "p_value", "fdr", "direction"]]
    top = de[["gene", "delta"]].sort_values("delta", ascending=False, key=abs).head(figures.TOP)
    means = de[["gene", "control", "perturbed", "delta"]]
    charts = [
        ("volcano", figures.volcano(de, label=label, rule=rule), "Volcano plot: log2 fold change against p", evidence),
        ("means", figures.mean_scatter(de, label=label), "Mean of each gene against controls, log axes", means),
        ("deltas", figures.delta_histogram(de["delta"].to_numpy(), label=label), "Distribution of deltas", means),
        ("guides", figures.guide_bars(guides, label=label), "Remaining target expression by guide", guides),
        ("top", figures.top_deltas(de, label=label), f"The {figures.TOP} largest deltas as bars", top),
    ]
    if not len(guides):
        del charts[3]
    places = [*st.columns(2), *st.columns(2)][: len(charts) - 1]
    for place, (name, chart, text, data) in zip([*places, st.container()], charts, strict=True):
        with place:
            ui.show_chart(chart, key=f"pert_{name}", text=f"{text}, {label}.", data=data, name=f"{label}_{name}")


show_page()
