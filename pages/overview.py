"""Overview: what the dataset contains, with the cells and the depth of each group.

section: Data
icon: :material/dashboard:
order: 10
"""

import streamlit as st

from vccapp import ui
from vccapp.figures import overview as figures

PLURALS = {"perturbation": "perturbations", "guide": "guides", "batch": "batches"}
NUMBERS = {"umis": "UMIs", "genes": "Genes"}
UNITS = {"umis": "UMIs", "genes": "genes"}

ui.open_page(__file__)
record, index = ui.need_context()
schema, perturbations = record.schema, index.perturbations
cells = ui.load_cells(index)
controls = perturbations[: len(index.controls)]
has_umis = bool(cells["umis"].notna().any())

with st.container(horizontal=True, key="numbers"):
    st.metric("Cells", f"{len(cells):,}")
    st.metric("Genes", f"{schema.n_genes:,}")
    st.metric("Perturbations", f"{len(index.perturbed):,}")
    named = ui.plain(schema.control_label)
    st.metric("Control cells", f"{controls['n_cells'].sum():,}", help=f"Called {named} in the file.")
    st.metric("UMIs per cell", f"{cells['umis'].median():,.0f}" if has_umis else "not known", help="Median")
    st.metric("Genes per cell", f"{cells['genes'].median():,.0f}", help="Median number of detected genes")
    st.metric("Values", ui.plain(schema.value_space), help=ui.plain(schema.value_evidence))


@st.fragment
def show_groups() -> None:
    known = {"perturbation": perturbations, "guide": index.guides, "batch": index.batches}
    groups = [name for name, frame in known.items() if len(frame) > 1]
    left, right = st.columns(2)
    by = ui.choose_one("Cells by", {name: name.capitalize() for name in groups}, key="over_by", place=left)
    value = ui.choose_one(
        "Depth", NUMBERS, key="over_number", default="umis" if has_umis else "genes", place=right, disabled=not has_umis
    )
    frame, plural = known[by][[by, "n_cells"]], PLURALS[by]
    with left:
        ui.show_chart(
            figures.cells_ranked(frame, name=by, plural=plural, controls=index.controls),
            key="over_cells",
            text=f"Bar chart: cells of each of {len(frame)} {plural}, most first.",
            data=frame,
            name=f"cells_per_{by}",
        )
    with right:
        depth = ui.load_depth(index, by)
        ui.show_chart(
            figures.depth_groups(depth, name=by, plural=plural, value=value, unit=UNITS[value]),
            key="over_depth",
            text=f"Median and middle 80 % of {UNITS[value]} per cell for each of {len(depth)} {plural}.",
            data=depth,
            name=f"depth_per_{by}",
        )


show_groups()
left, right = st.columns(2)
for place, value in ((left, "umis"), (right, "genes")):
    if value == "genes" or has_umis:
        with place:
            ui.show_chart(
                figures.depth_histogram(cells[value].to_numpy(), label=f"{NUMBERS[value]} per cell", unit=UNITS[value]),
                key=f"over_{value}",
                text=f"Histogram of {UNITS[value]} per cell, median {cells[value].median():.0f}.",
                data=cells[["perturbation", "guide", "batch", value]],
                name=f"{value}_per_cell",
            )
if len(index.batches) > 1:
    left, right = st.columns(2)
    pairs = ui.load_pairs(index)
    with left:
        ui.show_chart(
            figures.pairs_heatmap(pairs, rows="perturbation", columns="batch", plurals=("perturbations", "batches")),
            key="over_pairs",
            text=f"Heat map: cells of {schema.n_perturbations} perturbations in {len(index.batches)} batches.",
            data=pairs,
            name="cells_per_perturbation_and_batch",
        )
with right, st.container(border=True, key="over_summary"):
    st.markdown("**In numbers**")
    ui.show_summary(index)

with st.expander("How the file was read", icon=":material/fact_check:", expanded=False):
    ui.show_schema(schema)

ui.reproduce(*ui.data_commands(record.paths, record.columns))
