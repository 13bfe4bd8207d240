"""The views of the page Compare that look at every perturbation of the part."""

import shlex

import numpy as np
import pandas as pd
import streamlit as st

from vccapp.data.significance import FDR
from vccapp.evaluation.comparison.agreement import compare_predictions
from vccapp.evaluation.comparison.difference import compare_genes, compare_scores
from vccapp.evaluation.metrics import METRICS
from vccapp.figures.comparison import agreement as figures
from vccapp.figures.comparison import perturbations as panels
from vccapp.references import CEILING, FULL_NAMES
from vccapp.ui.comparison.comparison import (
    Comparison,
    load_confusion,
    load_means,
    load_metric,
    load_overlap,
    load_scores_of,
    load_stored,
)
from vccapp.ui.kit.runs import score_names
from vccapp.ui.kit.show import show_chart, show_table

ENDS, PANEL_GENES = 4, 120
DISTANCES = {"l1": "L1 (2025)", "cosine": "Cosine (2026)"}
PDS = {"l1": "pds", "cosine": "pds_cosine_means"}
UNITS = {"l1": "L1 distance of deltas, own gene left out", "cosine": "cosine of deltas, the genes of all left out"}


def show_scores(chosen: Comparison) -> None:
    """Every metric of every perturbation, between floor and ceiling; the best and the worst."""
    means = load_means(chosen)
    show_table(means, key="cmp_means", text="Mean scores of runs, baselines and ceiling", name="scores", height=300)
    over = f"{len(chosen.labels)} perturbation{'s' * (len(chosen.labels) > 1)}"
    st.caption(
        f"Means over {over}; our own computation, not an official score. PDS depends on how many are "
        "compared. The ceiling, one half of the cells against the other, is at half depth."
    )
    if means.drop(columns="source").isna().all(axis=None):
        st.caption(":orange[The runs were judged on different perturbations: their means cannot stand side by side.]")
    metric = _choose_metric()
    found = METRICS[metric]
    scores = load_metric(chosen, metric)
    own = scores[scores["source"] == chosen.shown.name].sort_values(metric, ascending=found.best == "low")
    show_chart(
        figures.by_perturbation(
            scores,
            value=metric,
            label=found.label,
            title=f"{found.label}, each perturbation",
            told=f"{'more' if found.best == 'high' else 'less'} is better; sorted by {chosen.shown.name}",
            order=own["perturbation"].tolist(),
        ),
        key="cmp_strip",
        text=f"{found.label} of each perturbation for runs, baselines and ceiling.",
        data=scores[["perturbation", "source", metric]],
        name=f"compare_{metric}",
    )
    _show_gallery(chosen, own.dropna(subset=metric), metric=metric)
    st.subheader(f"{chosen.shown.name}, perturbation by perturbation", anchor=False)
    table = load_scores_of(chosen, chosen.shown).set_index("perturbation").loc[own["perturbation"]].reset_index()
    known = scores.set_index("perturbation")
    table.insert(2, f"{metric} baseline", _of(known, chosen.floor.name, metric, table["perturbation"]))
    table.insert(3, f"{metric} ceiling", _of(known, FULL_NAMES[CEILING], metric, table["perturbation"]))
    show_table(table, key="cmp_scores", text=f"All metrics of {chosen.shown.name} by perturbation", name="scores_all")


def _of(scores: pd.DataFrame, source: str, metric: str, labels: pd.Series) -> np.ndarray:
    return scores.loc[scores["source"] == source, metric].loc[labels].to_numpy()


def _choose_metric() -> str:
    return st.selectbox(
        "Metric", score_names(), key="cmp_metric", bind="query-params", format_func=lambda name: METRICS[name].label
    )


def _show_gallery(chosen: Comparison, ranked: pd.DataFrame, *, metric: str) -> None:
    """The best and the worst perturbations. ranked: perturbation and the metric, the best first."""
    ends = ranked if len(ranked) <= 2 * ENDS else pd.concat([ranked.head(ENDS), ranked.tail(ENDS)])
    if ends.empty:
        st.info(f"{chosen.shown.name} has no {METRICS[metric].label}: a constant prediction has no correlation.")
        return
    frames = []
    for label, value in zip(ends["perturbation"], ends[metric], strict=True):
        strongest = np.argsort(-np.abs(chosen.index.delta(label)), kind="stable")[:PANEL_GENES]
        genes = chosen.index.genes["gene"].to_numpy()[strongest].tolist()
        frame = compare_predictions(chosen.index, [chosen.shown], perturbations=[label], genes=genes)
        frames.append(frame.assign(panel=f"{label}  {value:.3g}"))
    both = pd.concat(frames, ignore_index=True)
    show_chart(
        panels.gallery(
            both[["panel", "gene", "real_delta", "predicted_delta"]],
            title=f"{chosen.shown.name}: the best and the worst",
            told=f"by {METRICS[metric].label}; across: real delta, up: predicted (log1p), of the "
            f"{PANEL_GENES} genes that change most; dashed: identity",
        ),
        key="cmp_gallery",
        text=f"Predicted against real deltas of the {len(ends)} best and worst perturbations of {chosen.shown.name}.",
        data=both,
        name="compare_gallery",
    )


def show_confusion(chosen: Comparison) -> None:
    """Who is mistaken for whom, with the places that PDS counts."""
    distance = st.segmented_control(
        "Distance",
        list(DISTANCES),
        default="l1",
        required=True,
        key="cmp_distance",
        bind="query-params",
        format_func=DISTANCES.get,
    )
    found = load_confusion(chosen, chosen.shown, distance)
    labels = found.frame["perturbation"].to_numpy()[found.order].tolist()
    places = found.places[np.ix_(found.order, found.order)]
    means = load_means(chosen).set_index("source")[PDS[distance]].dropna()
    told = "; ".join(f"{name} {value:.3f}" for name, value in means.items())
    st.caption(f"Mean PDS over {len(labels)} perturbations: {told}. By chance about 0.5, at best 1.")
    left, right = st.columns([3, 2])
    with left:
        show_chart(
            panels.confusion(places, labels, name=chosen.shown.name, unit=UNITS[distance]),
            key="cmp_confusion",
            text=f"Heat map: how near each real perturbation lies to each prediction of {chosen.shown.name}.",
            data=pd.DataFrame(places + 1, columns=labels).assign(prediction=labels),
            name="compare_confusion",
        )
    with right:
        show_chart(
            panels.taken_for(found.frame),
            key="cmp_taken",
            text="Real perturbations that most predictions lie nearest to.",
            data=found.frame,
            name="compare_taken_for",
        )
    show_table(
        found.frame.sort_values("place", ascending=False, kind="stable"),
        key="cmp_places",
        text="Place of each perturbation's own real effect, and the nearest one",
        name="pds_places",
        height=300,
    )


def show_degs(chosen: Comparison) -> None:
    """Real DEGs that predictions find."""
    frame = load_overlap(chosen)
    own = frame[frame["source"] == chosen.shown.name].sort_values("n_degs", ascending=False, kind="stable")
    st.caption(
        f"A mean alone has no DE. Here the k real DEGs (FDR < {FDR:g}) of a perturbation stand against the k genes of "
        "largest predicted |delta|: a top-|delta| overlap, not the DES of 2025."
    )
    show_chart(
        figures.by_perturbation(
            frame,
            value="overlap",
            label="share of the real DEGs found",
            title="Top-|delta| overlap with the real DEGs",
            told="sorted by number of DEGs; a perturbation without DEGs, or a constant prediction, has none",
            order=own["perturbation"].tolist(),
        ),
        key="cmp_overlap",
        text="Share of the real DEGs among the predicted strongest genes, by perturbation.",
        data=frame,
        name="compare_deg_overlap",
    )
    means = frame.groupby("source", sort=False)[["overlap", "same_direction"]].mean().reset_index()
    show_table(means, key="cmp_overlap_means", text="Mean overlap by source", name="deg_overlap_means", height=300)
    show_table(own.drop(columns="source"), key="cmp_overlap_table", text="Overlap by perturbation", name="deg_overlap")
    _show_scores_of_cells(chosen)


def _show_scores_of_cells(chosen: Comparison) -> None:
    """DE of predicted cells, where they were made and scored."""
    st.subheader(f"{chosen.shown.name}: DE of its cells", anchor=False)
    table = load_stored(chosen, chosen.shown, "vccapp")
    if table is not None:
        show_table(table, key="cmp_cell_scores", text="Scores of predicted cells by perturbation", name="cell_scores")
    elif chosen.shown.kind == "run":
        st.info("Its cells were not scored yet. This makes them, tests every gene, and keeps DES and the like:")
        words = ["vccapp", "eval", "official", "--scorer", "vccapp", "--run", chosen.shown.key, "--part", chosen.part]
        st.code(shlex.join(words), language="bash", wrap_lines=True)
    else:
        st.info("Only cells of runs are scored; choose one under In detail.")


def show_difference(chosen: Comparison) -> None:
    """Two predictions: where one is better than the other."""
    names = {own.key: own.name for own in chosen.everyone}
    left, middle, right = st.columns(3)
    pick = {"bind": "query-params", "format_func": names.get}
    first = left.selectbox("First", list(names), key="cmp_first", **pick)
    other = 1 if len(chosen.runs) > 1 else len(names) - 1  # a second run, else the baseline that is no constant
    second = middle.selectbox("Second", list(names), index=other, key="cmp_second", **pick)
    if first == second:
        st.info("Choose two different predictions.")
        return
    with right:
        metric = _choose_metric()
    found, scores = METRICS[metric], load_metric(chosen, metric)
    sides = [scores[scores["source"] == names[key]] for key in (first, second)]
    frame = compare_scores(*sides, metric=metric)
    both = (names[first], names[second])
    if frame.empty:
        st.info(f"One of the two has no {found.label}: a constant prediction has no correlation.")
    else:
        show_chart(
            figures.score_differences(frame, label=found.label, names=both, best=found.best),
            key="cmp_difference",
            text=f"{found.label}: {both[0]} minus {both[1]} for each perturbation.",
            data=frame,
            name="compare_difference",
        )
    own = {each.key: each for each in chosen.everyone}
    genes = compare_genes(chosen.index, own[first], own[second], labels=chosen.labels)
    show_chart(
        figures.gene_differences(genes, names=both),
        key="cmp_gene_difference",
        text=f"Genes at which the errors of {both[0]} and {both[1]} differ most.",
        data=genes,
        name="compare_gene_difference",
    )
