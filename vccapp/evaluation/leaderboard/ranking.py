"""The leaderboard: scores of runs over seeds, between floor and limits. Frames in, frames out.

entries : one row a run that was scored: run, title, model, label, params, seed, created and what `COMPARABLE` names
values  : one row a run and metric: run, metric, value (the scorer's own mean)
marks   : floors and limits beside each run: run, name, metric, value

Rows are compared with a reference only where data, split, part, scorer and its settings, the version of an official
scorer, and the scored perturbations are the same.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from vccapp.evaluation.leaderboard.metric_names import AVERAGE, OVERALL, PANEL_RANKS
from vccapp.references import NAMES, PERFECT, PERTURBATION_MEAN

COMPARABLE = {
    "dataset": "other data",
    "split_key": "other split",
    "part": "other part",
    "scorer": "other scorer",
    "definition": "other version of the scorer",
    "settings": "other settings of the scorer",
    "panel": "other perturbations",
}
"""What rows must share to be compared, and what is said where they do not.

panel : the set of perturbations; definition : version of an official scorer, as our own metrics do not change with ours
"""
FLOOR, TOP = NAMES[PERTURBATION_MEAN], NAMES[PERFECT]
"""What is 0 and 1 when scores are scaled."""
RUN, MARK, ENTERED = "run", "reference", "entered by hand"
NOT_COMPARABLE = "not comparable: "


def group_seeds(entries: pd.DataFrame) -> pd.DataFrame:
    """The entries with a column `group`: the oldest run of the same model, parameters and `COMPARABLE`.

    Of runs with the same seed the newest is kept, as it is the same run made again.
    """
    same = ["model", "params", *COMPARABLE]
    ordered = entries.sort_values(["created", "run"], kind="stable")
    group = ordered.groupby(same, dropna=False, sort=False)["run"].transform("first")
    return ordered.assign(group=group).drop_duplicates(["group", "seed"], keep="last").reset_index(drop=True)


def summarise_groups(entries: pd.DataFrame, values: pd.DataFrame) -> pd.DataFrame:
    """Over the seeds of a group: columns group, metric, mean, sd (n - 1; NaN for one seed), seeds.

    entries : with `group`. Runs whose metric is undefined do not count.
    """
    known = entries[["run", "group"]].merge(values.dropna(subset="value"), on="run")
    return known.groupby(["group", "metric"], as_index=False, sort=False)["value"].agg(
        mean="mean", sd="std", seeds="count"
    )


def scale(value: pd.Series, floor: pd.Series, top: pd.Series, *, best: str) -> pd.Series:
    """0 at the floor, 1 at the top; NaN where the top is not the better of the two. best : "high" or "low"."""
    span = top - floor
    return (value - floor) / span.where(span > 0 if best == "high" else span < 0)


def rank_groups(means: pd.Series, *, best: str) -> pd.Series:
    """1 for the best; equal means share the better rank; NaN where undefined. best : "high" or "low"."""
    return means.rank(ascending=best == "low", method="min")


def explain_differences(entries: pd.DataFrame, reference: str) -> pd.Series:
    """By group, why it cannot be compared with the group `reference`; empty where it can. entries : with `group`."""
    groups = entries.drop_duplicates("group", keep="last").set_index("group")
    own = groups.loc[reference]

    def explain(row: pd.Series) -> str:
        found = {name: text for name, text in COMPARABLE.items() if row[name] != own[name]}
        if row["n_perturbations"] != own["n_perturbations"]:
            found["panel"] = f"{row['n_perturbations']} perturbations, not {own['n_perturbations']}"
        return ", ".join(found.values())

    return groups.apply(explain, axis=1)


def describe_differences(differing: pd.Series, reference: str) -> str:
    """One sentence on the rows that cannot be compared with the one called `reference`; empty where there are none."""
    counts = differing[differing != ""].value_counts()
    if counts.empty:
        return ""
    n, reasons = counts.sum(), "; ".join(f"{why} ({count:,})" for why, count in counts.items())
    rows = "1 row is" if n == 1 else f"{n:,} rows are"
    return f"{rows} not comparable with {reference} and are neither ranked nor tested: {reasons}."


def name_groups(entries: pd.DataFrame) -> pd.Series:
    """By group, a short name that no other has: the newest title or the model, and as much more as tells them apart.

    entries : with `group`, title, label (of the model), split, version.
    """
    groups = entries.drop_duplicates("group", keep="last").set_index("group")
    names = groups["title"].where(groups["title"] != "", groups["label"])
    for more in (groups["params"].replace("{}", ""), groups["split"], groups["version"], groups.index.to_series()):
        twice = names.duplicated(keep=False) & (more != "")
        names = names.where(~twice, names + " · " + more.astype(str))
    return names


def tabulate(
    entries: pd.DataFrame,
    values: pd.DataFrame,
    marks: pd.DataFrame,
    *,
    metrics: Mapping[str, str],
    reference: str,
    scaled: bool,
) -> pd.DataFrame:
    """The leaderboard: one row a group, below them floors and limits of the reference, last what cannot be compared.

    metrics : name to "high" or "low"; the first ranks the rows. marks : run, name, metric, value; `FLOOR` and TOP
    make the scale. Columns: row, kind (RUN, MARK or NOT_COMPARABLE and why), rank, seeds, n_perturbations, of each
    metric its mean, `<metric> sd` where a row has several seeds and `<metric> n` beside one that ranks perturbations
    among each other (PDS), then model, params, split, version, group, run (the newest).
    """
    groups = entries.drop_duplicates("group", keep="last").set_index("group")
    summary = summarise_groups(entries, values).set_index(["metric", "group"])
    differing = explain_differences(entries, reference)
    table = pd.DataFrame(
        {"row": name_groups(entries), "kind": (NOT_COMPARABLE + differing).where(differing != "", RUN)}
    )
    table["n_perturbations"] = groups["n_perturbations"]
    table["seeds"] = entries.groupby("group", sort=False)["run"].count()
    own = marks[marks["run"] == groups.loc[reference, "run"]]
    below = own.pivot_table("value", "name", "metric", sort=False).reindex(columns=list(metrics))
    by_group = marks.assign(group=marks["run"].map(groups.reset_index().set_index("run")["group"]))
    for metric, best in metrics.items():
        known = summary.loc[metric] if metric in summary.index else summary.iloc[:0].droplevel(0)
        mean, spread = known["mean"].reindex(table.index), known["sd"].reindex(table.index)
        if scaled:
            ends = by_group[by_group["metric"] == metric].pivot_table("value", "group", "name").reindex(table.index)
            floor, top = (ends.get(name, pd.Series(np.nan, table.index)) for name in (FLOOR, TOP))
            mean = scale(mean, floor, top, best=best)
            spread = (spread / (top - floor).abs()).where(mean.notna())
            low, high = (below[metric].get(name, np.nan) for name in (FLOOR, TOP))
            below[metric] = scale(below[metric], below[metric] * 0 + low, below[metric] * 0 + high, best=best)
        table[metric] = mean
        if spread.notna().any():
            table[f"{metric} sd"] = spread
        if metric in PANEL_RANKS:
            table[f"{metric} n"] = table["n_perturbations"]
    first, best = next(iter(metrics.items()))
    means = summary.loc[first]["mean"] if first in summary.index else pd.Series(dtype=float)
    table.insert(2, "rank", rank_groups(means.reindex(table.index).where(table["kind"] == RUN), best=best))
    table = table.join(groups[["model", "params", "split", "version", "run"]]).rename_axis("group").reset_index()
    table = table.iloc[np.lexsort((table["row"], table["rank"].fillna(np.inf), table["kind"] != RUN))]
    marked = below.rename_axis("row").reset_index().assign(kind=MARK)
    cut = int((table["kind"] == RUN).sum())
    return pd.concat([table[:cut], marked, table[cut:]], ignore_index=True)[table.columns]


def add_entered(table: pd.DataFrame, results: pd.DataFrame) -> pd.DataFrame:
    """The leaderboard with results entered by hand below it. results : row, metric, value, the rows in their order."""
    if results.empty:
        return table
    wide = results.pivot_table("value", "row", "metric", sort=False)
    known = [name for name in wide.columns if name in table or name in (OVERALL, AVERAGE)]
    below = wide[known].reset_index().assign(kind=ENTERED)
    columns = [*table.columns, *(name for name in known if name not in table)]
    return pd.concat([table, below], ignore_index=True)[columns]


def search(entries: pd.DataFrame, text: str) -> pd.DataFrame:
    """Entries of which title, model, parameters, split or id hold every word of the text, in any case."""
    if entries.empty:
        return entries
    said = entries[["title", "label", "model", "params", "split", "run"]].agg(" ".join, axis=1).str.lower()
    for word in text.lower().split():
        found = said.str.contains(word, regex=False)
        entries, said = entries[found], said[found]
    return entries
