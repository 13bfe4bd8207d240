"""Every figure draws from a toy frame, on empty and one-row frames too, and says its title and its axes."""

import altair as alt
import numpy as np
import pandas as pd
import pytest

from vccapp.figures import genes, overview, perturbations, similarity, splits, style, submission

RNG = np.random.default_rng(0)


def toy(n: int) -> pd.DataFrame:
    """Columns of every figure, n rows."""
    names = [f"G{i}" for i in range(n)]
    value = RNG.normal(size=n)
    return pd.DataFrame(
        {
            "gene": names,
            "perturbation": names,
            "guide": names,
            "batch": [f"b{i % 3}" for i in range(n)],
            "n_cells": RNG.integers(1, 500, n),
            "mean": np.abs(value) * np.arange(n),
            "degs": RNG.integers(0, 90, n),
            "up": RNG.integers(0, 40, n),
            "down": RNG.integers(0, 40, n),
            "delta": value,
            "control": np.abs(value),
            "perturbed": np.abs(value) + 0.1,
            "direction": np.where(value > 1, "up", np.where(value < -1, "down", "not significant")),
            "p_value": RNG.random(n),
            "fdr": RNG.random(n),
            "log2_fold_change": value,
            "knockdown": RNG.random(n),
            "real": value,
            "predicted": value + 0.1,
            "model": "this run",
            "pearson_delta": RNG.random(n),
            "part": [splits.PARTS[i % 3] for i in range(n)],
            "effect": np.abs(value),
            "umis_low": value,
            "umis_median": value + 1,
            "umis_high": value + 2,
            "means": np.abs(value),
            "dispersions": value,
            "highly_variable": value > 0,
            "quadrant": [list(genes.QUADRANTS)[i % 4] for i in range(n)],
            "x": value,
            "y": value,
            "r": np.clip(value, -1, 1),
            "reliability": RNG.random(n),
            "wanted": RNG.integers(1, 900, n),
            "given": RNG.integers(1, 90, n),
        }
    )


def violins(frame: pd.DataFrame) -> pd.DataFrame:
    return genes.compute_violins(frame["mean"].to_numpy(), frame["perturbation"], chosen=frame["perturbation"][:5])


def ecdf(frame: pd.DataFrame) -> pd.DataFrame:
    return genes.compute_ecdf(frame["mean"].to_numpy(), frame["perturbation"], chosen=frame["perturbation"][:5])


def means(frame: pd.DataFrame) -> pd.DataFrame:
    return genes.compute_expression(frame["mean"].to_numpy(), frame["perturbation"], chosen=frame["perturbation"][:5])


FIGURES = {
    "cells_ranked": lambda f: overview.cells_ranked(f, name="perturbation", plural="perturbations", controls=("G0",)),
    "depth_groups": lambda f: overview.depth_groups(f, name="guide", plural="guides", value="umis", unit="UMIs"),
    "depth_of_many": lambda f: overview.depth_groups(
        pd.concat([f] * 9), name="guide", plural="guides", value="umis", unit="UMIs"
    ),
    "pairs_heatmap": lambda f: overview.pairs_heatmap(
        f, rows="perturbation", columns="batch", plurals=("perturbations", "batches")
    ),
    "depth_histogram": lambda f: overview.depth_histogram(f["n_cells"].to_numpy(), label="UMIs per cell", unit="UMIs"),
    "means_histogram": lambda f: genes.means_histogram(f, unit="counts"),
    "mean_dispersion": lambda f: genes.mean_dispersion(f, cuts=(0.1, 0.2)),
    "violins": lambda f: genes.expression_violins(violins(f), gene="MYC", controls=("G0",)),
    "curves": lambda f: genes.expression_curves(ecdf(f), gene="MYC", controls=("G0",)),
    "means": lambda f: genes.expression_means(means(f), gene="MYC", controls=("G0",)),
    "pseudobulk_map": lambda f: similarity.pseudobulk_map(f, shares=(0.5, 0.2), controls=("G0",), chosen="G1"),
    "reliability": lambda f: similarity.reliability(f, chosen="G0"),
    "neighbours": lambda f: similarity.neighbours(f, label="G0"),
    "guide_bars": lambda f: perturbations.guide_bars(f, label="G0"),
    "deg_bars": lambda f: perturbations.deg_bars(f, rule="FDR < 0.05"),
    "delta_histogram": lambda f: perturbations.delta_histogram(f["delta"].to_numpy(), label="G1"),
    "top_deltas": lambda f: perturbations.top_deltas(f, label="G1"),
    "mean_scatter": lambda f: perturbations.mean_scatter(f, label="G1"),
    "volcano": lambda f: perturbations.volcano(f, label="G1", rule="FDR < 0.05"),
    "knockdown_strip": lambda f: perturbations.knockdown_strip(f, f),
    "part_balance": lambda f: splits.part_balance(f, value="effect", label="effect"),
    "budget_bars": lambda f: submission.budget_bars(f, alpha=0.5),
}


def axis_titles(spec: dict) -> list:
    layers = spec.get("layer", [spec])
    return [
        layer["encoding"][side].get("title", "") for layer in layers for side in ("x", "y") if side in layer["encoding"]
    ]


@pytest.mark.parametrize("name", FIGURES)
@pytest.mark.parametrize("n", [1, 30])
def test_figure_has_a_title_and_named_axes(name: str, n: int) -> None:
    chart = FIGURES[name](toy(n))
    assert isinstance(chart, alt.TopLevelMixin)
    spec = chart.to_dict()
    assert spec["title"]["text"]
    assert any(axis_titles(spec)), "no axis says what it shows"


def test_volcano_draws_infinite_fold_changes_at_its_edges_and_counts_them() -> None:
    lfc = [-np.inf, np.inf, 2.0, -1.0, np.nan]
    frame = toy(5).assign(log2_fold_change=lfc, p_value=[1e-20, 1e-30, 0.01, 0.5, np.nan])
    spec = perturbations.volcano(frame, label="G1", rule="x").to_dict()
    [values] = spec["datasets"].values()
    places = {row["gene"]: row["place"] for row in values}
    edge = max(places.values())
    assert [places[gene] for gene in frame["gene"][:4]] == [-edge, edge, 2.0, -1.0] and edge > 2
    assert sorted(row["fold"] for row in values) == ["-1.00", "-∞", "2.00", "∞"]
    said = " ".join(spec["title"]["subtitle"])
    assert "2 at the edges" in said and "1 genes without a test" in said


def test_volcano_leaves_out_untested_genes_and_keeps_p_of_zero_finite() -> None:
    frame = toy(3).assign(p_value=[0.0, np.nan, 0.5])
    spec = perturbations.volcano(frame, label="G1", rule="x").to_dict()
    [rows] = spec["datasets"].values()
    assert [row["evidence"] for row in rows] == [300, pytest.approx(-np.log10(0.5))]


def test_deg_bars_put_down_below_zero_and_most_first() -> None:
    frame = pd.DataFrame({"perturbation": ["A", "B"], "degs": [1, 5], "up": [1, 2], "down": [0, 3]})
    spec = perturbations.deg_bars(frame, rule="x").to_dict()
    [rows] = spec["datasets"].values()
    assert spec["encoding"]["x"]["sort"] == ["B", "A"]
    assert {(r["perturbation"], r["direction"]): r["n"] for r in rows}["B", "down"] == -3


def test_top_deltas_keep_the_largest_of_both_signs() -> None:
    frame = pd.DataFrame({"gene": [f"G{i}" for i in range(100)], "delta": np.linspace(-1, 0.5, 100)})
    [rows] = perturbations.top_deltas(frame, label="x").to_dict()["datasets"].values()
    kept = np.array([row["delta"] for row in rows])
    assert len(kept) == 50
    assert np.abs(kept).min() >= np.sort(np.abs(frame["delta"]))[-51]


def test_thin_keeps_the_most_important_rows_and_the_limit() -> None:
    frame = toy(1000)
    importance = np.random.default_rng(0).permutation(1000).astype(float)
    importance[3] = np.nan
    kept = style.thin(frame, importance, limit=50)
    assert len(kept) == 50
    assert kept.index.is_monotonic_increasing and kept.index.is_unique
    assert set(frame["gene"][np.nan_to_num(importance) >= 975]) <= set(kept["gene"])
    assert kept.index.max() > 900 and kept.index.min() < 100
    assert style.thin(frame, importance, limit=1000) is frame


def test_names_that_would_hide_another_are_left_out() -> None:
    frame = pd.DataFrame({"name": list("abcd"), "x": [0, 0.5, 9, 9], "y": [0, 0.1, 9, 5]})
    assert style.apart(frame, x="x", y="y", across=frame)["name"].tolist() == ["a", "c", "d"]
    assert style.apart(frame[:1], x="x", y="y", across=frame[:1])["name"].tolist() == ["a"]


def test_few_knockdowns_are_named_and_many_ranked() -> None:
    frame = pd.DataFrame({"perturbation": [f"P{i}" for i in range(60)], "knockdown": np.linspace(0.1, 0.9, 60)})
    guides = frame.assign(guide=frame["perturbation"] + "_1", n_cells=9)
    kinds = [
        perturbations.knockdown_strip(frame[:n], guides).to_dict()["layer"][-1]["encoding"]["x"]["field"]
        for n in (5, 60)
    ]
    assert kinds == ["perturbation", "rank"]


def test_violins_close_above_the_largest_value() -> None:
    values = np.array([0.0, 1.0, 5.0, 5.0, 5.0])
    frame = genes.compute_violins(values, pd.Series(list("aaaaa")), chosen=["a"])
    width = (frame["right"] - frame["left"]).to_numpy()
    assert width[-1] < width.max() / 20
    assert frame["value"].max() > values.max()


def test_violins_are_of_one_width_around_their_place() -> None:
    values = np.array([0, 0, 0, 2, 2, 1], dtype=np.float32)
    frame = genes.compute_violins(values, pd.Series(list("aaabbb")), chosen=["b", "none", "a"])
    assert frame.groupby("group")["place"].first().to_dict() == {"b": 0, "a": 1}
    assert frame.groupby("group")["density"].max().tolist() == pytest.approx([genes.VIOLIN_WIDTH] * 2)
    assert ((frame["left"] + frame["right"]) / 2).tolist() == pytest.approx(frame["place"].tolist())
    peak = frame.loc[frame[frame["group"] == "a"]["density"].idxmax(), "value"]
    assert peak < 0.2


def test_heat_map_keeps_the_order_of_its_labels() -> None:
    figure = similarity.similarity_heatmap(np.eye(3), ["b", "a", "c"])
    [heat] = figure.data
    assert list(heat.x) == ["b", "a", "c"]
    assert (heat.zmin, heat.zmax) == (-1, 1)
    assert figure.layout.title.text


def test_expression_means_count_cells_and_shares() -> None:
    values = np.array([0, 0, 1, 3, 2], dtype=np.float32)
    groups = pd.Series(["a", "a", "a", "b", "b"])
    frame = genes.compute_expression(values, groups, chosen=["b", "a", "absent"])
    assert frame["group"].tolist() == ["b", "a"]
    assert frame["mean"].tolist() == pytest.approx([2.5, 1 / 3])
    assert frame["nonzero_fraction"].tolist() == pytest.approx([1, 1 / 3])


def test_ecdf_starts_with_the_share_of_expressing_cells_and_falls() -> None:
    values = np.array([0, 0, 1, 3], dtype=np.float32)
    curve = genes.compute_ecdf(values, pd.Series(["a"] * 4), chosen=["a"])
    assert curve["share"].iloc[0] == 0.5
    assert curve["share"].iloc[-1] == 0.25
    assert (np.diff(curve["share"]) <= 0).all()


def test_histogram_counts_every_finite_value_once() -> None:
    values = np.array([1.0, 1.0, 2.0, np.nan, 5.0])
    assert style.histogram_counts(values, bins=7)["n"].sum() == 4
    assert style.histogram_counts(np.full(3, 2.0), bins=7)["n"].sum() == 3
    assert style.histogram_counts(np.array([np.nan]), bins=7).empty
