"""The views of the page Compare that look at every perturbation of the part. Each returns its command."""

import shlex

import pandas as pd
import streamlit as st

from vccapp.data.significance import FDR
from vccapp.evaluation.comparison.confusion import Distance, view_confusion
from vccapp.evaluation.comparison.difference import choose_pair, view_difference
from vccapp.evaluation.comparison.overlap import view_overlap
from vccapp.evaluation.comparison.scores import PANEL_GENES, Gallery, view_gallery, view_scores
from vccapp.evaluation.confidence import MEANING
from vccapp.evaluation.metrics import METRICS
from vccapp.evaluation.scoring.score import list_pseudobulk_metrics
from vccapp.figures.comparison import agreement as figures
from vccapp.figures.comparison import perturbations as panels
from vccapp.stats.halves import explain_halves
from vccapp.ui.comparison.choice import Choice
from vccapp.ui.kit.forms import choose_one, named
from vccapp.ui.kit.show import show_chart, show_table
from vccapp.wording import plain

DISTANCES: dict[Distance, str] = {"l1": "L1 (2025)", "cosine": "Cosine (2026)"}
UNITS = {
    "l1": "L1 distance of deltas, without the own target",
    "cosine": "cosine distance of deltas, without all targets",
}


def show_scores(chosen: Choice) -> list[str]:
    """Every metric of every perturbation, between floors and limits; the best and the worst."""
    means, name = st.container(), chosen.shown.name
    metric = _choose_metric()
    found = METRICS[metric]
    with st.spinner("Scoring every perturbation"):
        view = view_scores(chosen.comparison, chosen.shown, metric=metric)
    labels = chosen.comparison.labels
    with means:
        show_table(
            view.means, key="cmp_means", text="Mean scores of runs, baselines and limits", name="scores", height=300
        )
        st.caption(
            f"Means over {len(labels)} perturbation{'s' * (len(labels) > 1)}; our own computation, not an "
            "official score. PDS depends on the number of perturbations compared. Perfect: what the true means would "
            "get against these cells. Repeat: what a second experiment of as many cells would get."
        )
        if len(labels) == 1:
            st.caption("PDS is empty: one perturbation alone has no others to be told from.")
        for note in view.notes:
            st.caption(f":orange[{plain(note)}]")
        if missing := explain_halves(chosen.comparison.index, labels):
            st.caption(plain(missing))
        if view.means.drop(columns="source").isna().all(axis=None):
            st.caption(":orange[The runs were scored on different perturbations, so their means are not comparable.]")
    show_chart(
        figures.by_perturbation(
            view.by_source,
            value=metric,
            label=found.label,
            title=f"{found.label}, each perturbation",
            note=f"{'more' if found.best == 'high' else 'less'} is better; sorted by {name}",
            order=view.by_perturbation["perturbation"].tolist(),
        ),
        key="cmp_strip",
        text=f"{found.label} of each perturbation for runs, baselines and limits.",
        data=view.by_source[["perturbation", "source", metric]],
        name=f"compare_{metric}",
    )
    _show_gallery(view_gallery(chosen.comparison, chosen.shown, metric=metric), name, metric=metric)
    st.subheader(f"{plain(name)}, perturbation by perturbation", anchor=False)
    show_table(view.by_perturbation, key="cmp_scores", text=f"All metrics of {name} by perturbation", name="scores_all")
    if chosen.shown.confidence:
        st.caption(f"Confidence: {MEANING}")
    return [chosen.command(verb, "--metric", metric, detail=True) for verb in ("scores", "gallery")]


def _choose_metric() -> str:
    return st.selectbox(
        "Metric",
        list_pseudobulk_metrics(),
        key="cmp_metric",
        bind="query-params",
        format_func=lambda name: METRICS[name].label,
    )


def _show_gallery(gallery: Gallery, name: str, *, metric: str) -> None:
    """The best and the worst perturbations of the prediction of this name."""
    label, values = METRICS[metric].label, gallery.values
    if values.empty:
        st.info(f"{plain(name)} has no {plain(label)}: a constant prediction has no correlation.")
        return
    show_chart(
        panels.gallery(
            values[["panel", "gene", "real_delta", "predicted_delta"]],
            title=f"{name}: the best and the worst",
            note=f"by {label}; across: real delta, up: predicted (log1p), of the "
            f"{PANEL_GENES} genes that change most; dashed: identity",
        ),
        key="cmp_gallery",
        text=f"Predicted against real deltas of the {values['perturbation'].nunique()} best and worst perturbations of "
        f"{name}.",
        data=values,
        name="compare_gallery",
    )


def show_confusion(chosen: Choice) -> list[str]:
    """Confusion of perturbations, with the ranks that PDS counts."""
    distance = choose_one("Distance", DISTANCES, key="cmp_distance", default="l1")
    with st.spinner("Measuring distances"):
        view = view_confusion(chosen.comparison, chosen.shown, distance=distance)
    means = "; ".join(f"{name} {value:.3f}" for name, value in view.means.itertuples(index=False))
    st.caption(f"Mean PDS over {len(view.labels)} perturbations: {plain(means)}. Chance is about 0.5, the best is 1.")
    by_label = view.table.sort_index()
    left, right = st.columns([3, 2])
    with left:
        show_chart(
            panels.confusion(view.places, view.labels, name=chosen.shown.name, unit=UNITS[distance]),
            key="cmp_confusion",
            text=f"Heat map: how close each real perturbation is to each prediction of {chosen.shown.name}.",
            data=view.matrix,
            name="compare_confusion",
        )
    with right:
        show_chart(
            panels.taken_for(by_label),
            key="cmp_taken",
            text="Real perturbations that are closest to most predictions.",
            data=by_label,
            name="compare_taken_for",
        )
    show_table(
        view.table,
        key="cmp_places",
        text="Rank of each perturbation's own real effect, and the closest one",
        name="pds_places",
        height=300,
    )
    return [chosen.command("confusion", "--distance", distance, detail=True)]


def show_degs(chosen: Choice) -> list[str]:
    """Real DEGs that predictions find."""
    with st.spinner("Counting shared DEGs"):
        view = view_overlap(chosen.comparison, chosen.shown)
    st.caption(
        f"A mean alone has no DE. Here the k real DEGs (FDR < {FDR:g}) of a perturbation stand against the k genes of "
        "largest predicted |delta|: a top-|delta| overlap, not the DES of 2025."
    )
    show_chart(
        figures.by_perturbation(
            view.by_source,
            value="overlap",
            label="share of the real DEGs found",
            title="Top-|delta| overlap with the real DEGs",
            note="sorted by number of DEGs; empty for perturbations without DEGs and constant predictions",
            order=view.by_perturbation["perturbation"].tolist(),
        ),
        key="cmp_overlap",
        text="Share of the real DEGs among the predicted strongest genes, by perturbation.",
        data=view.by_source,
        name="compare_deg_overlap",
    )
    show_table(view.means, key="cmp_overlap_means", text="Mean overlap by source", name="deg_overlap_means", height=300)
    show_table(view.by_perturbation, key="cmp_overlap_table", text="Overlap by perturbation", name="deg_overlap")
    _show_cell_scores(chosen, view.cell_scores)
    return [chosen.command("overlap", detail=True)]


def _show_cell_scores(chosen: Choice, scores: pd.DataFrame | None) -> None:
    """DE of predicted cells, where they were made and scored."""
    shown = chosen.shown
    st.subheader(f"{plain(shown.name)}: DE of its cells", anchor=False)
    if scores is not None:
        show_table(scores, key="cmp_cell_scores", text="Scores of predicted cells by perturbation", name="cell_scores")
    elif shown.kind == "run":
        st.info(
            "Its cells have not been scored yet. This command generates them, tests every gene and stores DES and "
            "other scores:"
        )
        words = ["vccapp", "eval", "official", "--scorer", "vccapp", "--run", shown.key]
        st.code(shlex.join([*words, "--part", chosen.comparison.part]), language="bash", wrap_lines=True)
    else:
        st.info("Only cells of runs can be scored; choose a run under Shown in detail.")


def show_difference(chosen: Choice) -> list[str]:
    """Two predictions: where one is better than the other."""
    comparison = chosen.comparison
    names = {own.key: own.name for own in comparison.predictions}
    left, middle, right = st.columns(3)
    keys, defaults = list(names), [own.key for own in choose_pair(comparison)]
    first, second = (
        place.selectbox(title, keys, index=keys.index(default), key=key, bind="query-params", format_func=named(names))
        for place, title, default, key in zip(
            (left, middle), ("First", "Second"), defaults, ("cmp_first", "cmp_second"), strict=True
        )
    )
    if first == second:
        st.info("Choose two different predictions.")
        return []
    with right:
        metric = _choose_metric()
    found, both = METRICS[metric], (names[first], names[second])
    with st.spinner("Scoring every perturbation"):
        view = view_difference(comparison, comparison.find(first), comparison.find(second), metric=metric)
    if view.scores.empty:
        st.info(f"One of the two has no {plain(found.label)}: a constant prediction has no correlation.")
    else:
        show_chart(
            figures.score_differences(view.scores, label=found.label, names=both, best=found.best),
            key="cmp_difference",
            text=f"{found.label}: {both[0]} minus {both[1]} for each perturbation.",
            data=view.scores,
            name="compare_difference",
        )
    show_chart(
        figures.gene_differences(view.genes, names=both),
        key="cmp_gene_difference",
        text=f"Genes at which the errors of {both[0]} and {both[1]} differ most.",
        data=view.genes,
        name="compare_gene_difference",
    )
    return [chosen.command("difference", "--first", first, "--second", second, "--metric", metric)]
