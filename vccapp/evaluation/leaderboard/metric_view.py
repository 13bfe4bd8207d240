"""One metric of the leaderboard as the figures draw it: rows, single runs, floors and limits, differences, splits.

view = view_metric(entries, values, marks, tables, metric="mae", reference=group)
"""

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from vccapp.evaluation.leaderboard.metric_names import best_of
from vccapp.evaluation.leaderboard.ranking import explain_differences, name_groups, rank_groups, summarise_groups
from vccapp.evaluation.leaderboard.significance import compare_groups, mean_over_seeds


@dataclass(frozen=True)
class MetricView:
    """Frames in the order to draw, the best first; only rows that can be compared with the reference, but for `splits`.

    groups : group, label, mean, sd, seeds. runs : label, run, value. marks : name, value
    differences : label, n, difference, low, high, p, p_holm. pairs : label, perturbation, difference
    table : perturbation, and by label the score (mean over seeds). splits : split, model, mean, sd, seeds, of all rows
    """

    groups: pd.DataFrame
    runs: pd.DataFrame
    marks: pd.DataFrame
    differences: pd.DataFrame
    pairs: pd.DataFrame
    table: pd.DataFrame
    splits: pd.DataFrame


def view_metric(
    entries: pd.DataFrame,
    values: pd.DataFrame,
    marks: pd.DataFrame,
    tables: Mapping[str, pd.DataFrame],
    *,
    metric: str,
    reference: str,
) -> MetricView:
    """The frames of one metric, compared with the group `reference`. entries : with `group`, of one part and scorer."""
    names = name_groups(entries)
    compared = explain_differences(entries, reference).loc[lambda why: why == ""].index
    every = summarise_groups(entries, values[values["metric"] == metric])
    groups = every[every["group"].isin(compared)]
    groups = groups.assign(label=groups["group"].map(names), rank=rank_groups(groups["mean"], best=best_of(metric)))
    groups = groups.sort_values(["rank", "label"])[["group", "label", "mean", "sd", "seeds"]]
    members = entries[entries["group"].isin(groups["group"])][["run", "group", "label"]]
    runs = members.assign(label=members["group"].map(names)).merge(values[values["metric"] == metric], on="run")
    newest = entries.loc[entries["group"] == reference, "run"].iloc[-1]
    own = marks[(marks["run"] == newest) & (marks["metric"] == metric)].dropna(subset="value")
    scores = mean_over_seeds(members, tables, metric)
    scores = scores[[group for group in groups["group"] if group in scores]]
    if reference in scores:
        differences = compare_groups(scores, reference)
        pairs = scores.drop(columns=reference).sub(scores[reference], axis=0).rename(columns=names)
    else:
        differences, pairs = compare_groups(pd.DataFrame({reference: []}), reference), pd.DataFrame()
    return MetricView(
        groups=groups.reset_index(drop=True),
        runs=runs[["label", "run", "value"]],
        marks=own[["name", "value"]].reset_index(drop=True),
        differences=differences.assign(group=differences["group"].map(names)).rename(columns={"group": "label"}),
        pairs=_melt(pairs),
        table=scores.rename(columns=names).reset_index(),
        splits=_by_split(entries, every),
    )


def _melt(pairs: pd.DataFrame) -> pd.DataFrame:
    long = (
        pairs.rename_axis("perturbation").reset_index().melt("perturbation", var_name="label", value_name="difference")
    )
    return long.dropna(subset="difference")


def _by_split(entries: pd.DataFrame, summary: pd.DataFrame) -> pd.DataFrame:
    """Means of each model and its parameters on each split."""
    groups = entries.drop_duplicates("group", keep="last")[["group", "label", "params", "split"]]
    model = groups["label"] + groups["params"].map(lambda params: "" if params == "{}" else f" {params}")
    known = groups.assign(model=model).merge(summary, on="group")
    return known.sort_values(["split", "model"])[["split", "model", "mean", "sd", "seeds"]].reset_index(drop=True)
