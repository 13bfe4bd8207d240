"""Rows of the leaderboard as they are looked at: which runs, on which scale, compared with which, by which metrics.

board = load_board(settings, dataset=fingerprint)
rows = choose_rows(board, RowChoice(part="test", scorer="pseudobulks"))
rows.table(rows.first_metrics, rows.default_reference)
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import pandas as pd

from vccapp.data.reading.ignored import COLUMN
from vccapp.errors import SpecError
from vccapp.evaluation.leaderboard.metric_names import best_of, find_metric, official_name
from vccapp.evaluation.leaderboard.metric_view import MetricView, view_metric
from vccapp.evaluation.leaderboard.ranking import (
    FLOOR,
    MARK,
    TOP,
    add_entered,
    explain_differences,
    group_seeds,
    name_groups,
    search,
    tabulate,
)
from vccapp.evaluation.scorers.base import is_official
from vccapp.evaluation.scorers.own import PSEUDOBULKS
from vccapp.references import PERTURBATION_MEAN
from vccapp.training.record import Part
from vccapp.training.results.board import Board
from vccapp.training.results.entered import EnteredResult, tabulate_results
from vccapp.training.results.pooled import POOLED_PART

FIRST_METRICS = ("pearson_delta", "pds", "mae", "nmse", "scouter_pcc_error")
"""Metrics in the table at first, where the scorer gives them; else those of a challenge."""
OWN_SCALES = {"raw": "as computed", "scaled": f"0 at the {FLOOR}, 1 at {TOP}, empty where that is not better"}
OFFICIAL_SCALES = {
    "raw": "as the scorer gives them",
    "scaled": "between its baseline (0) and its best value (1)",
    "clipped": "scaled, as the judges clip them",
}


def scales_of(scorer: str) -> dict[str, str]:
    """What values there are of a scorer, and what they are."""
    if is_official(scorer):
        return OFFICIAL_SCALES
    return OWN_SCALES if scorer == PSEUDOBULKS else {"raw": OWN_SCALES["raw"]}


@dataclass(frozen=True)
class RowChoice:
    """models, splits, text : filters; empty leaves all.

    per : "models", over their seeds; "folds", the same of a board of `pool_folds`; or single "runs"
    """

    part: Part = "test"
    scorer: str = PSEUDOBULKS
    scale: str = "raw"
    per: str = "models"
    models: tuple[str, ...] = ()
    splits: tuple[str, ...] = ()
    text: str = ""


@dataclass(frozen=True)
class Rows:
    """The rows chosen. raw : the board of one part and scorer, entries with `group`; shown : the same on the scale."""

    choice: RowChoice
    raw: Board
    shown: Board

    @property
    def entries(self) -> pd.DataFrame:
        return self.raw.entries

    @property
    def metrics(self) -> list[str]:
        """Those that some of the rows have on the scale; the challenge's average is there scaled alone."""
        return list_metrics(self.shown)

    @property
    def raw_metrics(self) -> list[str]:
        """Those that can be drawn and tested."""
        return list_metrics(self.raw)

    @property
    def first_metrics(self) -> list[str]:
        known = self.metrics
        first = [name for name in FIRST_METRICS if name in known]
        return first or [name for name in known if find_metric(name)] or known

    @property
    def names(self) -> pd.Series:
        """By group, see `name_groups`."""
        return name_groups(self.entries)

    @property
    def default_reference(self) -> str:
        """The mean of the training perturbations on the split of the newest run; that run, where it was not trained."""
        entries = self.entries
        newest = entries.sort_values("created").iloc[-1]
        floor = entries[(entries["split_key"] == newest["split_key"]) & (entries["model"] == PERTURBATION_MEAN)]
        return floor["group"].iloc[-1] if len(floor) else newest["group"]

    def find_group(self, run: str | None) -> str:
        """The group of a run, of the default reference where it is None. Raises SpecError for a run without a row."""
        groups = self.entries.set_index("run")["group"]
        if run is None:
            return self.default_reference
        if run not in groups:
            raise SpecError(
                "not_on_leaderboard",
                f"The run {run} is not on the leaderboard",
                fix=f"on it are {', '.join(groups.index[:5])}",
            )
        return groups[run]

    def newest(self, group: str) -> str:
        """The newest run of a group."""
        return self.entries.loc[self.entries["group"] == group, "run"].iloc[-1]

    def check_metrics(self, metrics: Sequence[str] | None) -> list[str]:
        """The metrics asked, or all. Raises SpecError for one that the rows do not have on the scale."""
        return check_metrics(self.metrics, metrics)

    def drawn(self, metrics: Sequence[str]) -> str:
        """The first of these that can be drawn and tested."""
        raw = self.raw_metrics
        return next((name for name in metrics if name in raw), raw[0])

    def table(self, metrics: Sequence[str], reference: str, *, results: Sequence[EnteredResult] = ()) -> pd.DataFrame:
        """The leaderboard, see `tabulate`; the first metric ranks. results : entered by hand, below the others."""
        scale, official = self.choice.scale, is_official(self.choice.scorer)
        table = tabulate(
            self.shown.entries,
            self.shown.values,
            self.shown.marks,
            metrics={name: best_of(name, scaled=official and scale != "raw") for name in metrics},
            reference=reference,
            scaled=not official and scale == "scaled",
        )
        entered = tabulate_results(results)
        if official:
            entered["metric"] = entered["metric"].map(official_name)
        table = add_entered(table, entered[entered["scale"] == ("raw" if scale == "raw" else "scaled")])
        return self._mark_ignored(table, reference)

    def _mark_ignored(self, table: pd.DataFrame, reference: str) -> pd.DataFrame:
        """With the context that each run's data has and the user ignored; marks are of the data of the reference."""
        if self.raw.context_ignored is None:
            return table
        ignored = self.entries.set_index("run")["dataset"].map(self.raw.ignored)
        own = table["run"].map(ignored)
        return table.assign(**{COLUMN: own.mask(table["kind"] == MARK, ignored.get(self.newest(reference)))})

    def explain(self, reference: str) -> pd.Series:
        """By group, why it cannot be compared with the reference; see `explain_differences`."""
        return explain_differences(self.entries, reference)

    def view(self, metric: str, reference: str) -> MetricView:
        """One metric, raw."""
        board = self.raw
        return view_metric(board.entries, board.values, board.marks, board.tables, metric=metric, reference=reference)


def choose_rows(board: Board, choice: RowChoice) -> Rows:
    """Entries are empty where nothing is left. Raises SpecError for what is not there: a scale of the scorer, or folds
    of another part or scorer than `pool_folds` gives.
    """
    if choice.per == "folds" and (choice.part, choice.scorer) != (POOLED_PART, PSEUDOBULKS):
        raise SpecError(
            "not_pooled",
            f"Folds are pooled on the test part by our scores of pseudobulks, not of {choice.scorer} on {choice.part}",
            fix=f"choose the part {POOLED_PART} and the scorer {PSEUDOBULKS}",
        )
    scales = scales_of(choice.scorer)
    if choice.scale not in scales:
        raise SpecError(
            "no_scale",
            f"Scores of {choice.scorer} are not {choice.scale}",
            fix=f"choose {' or '.join(scales)}",
        )
    raw = board.only(part=choice.part, scorer=choice.scorer)
    official = is_official(choice.scorer)
    shown = board.only(part=choice.part, scorer=choice.scorer, scale=choice.scale) if official else raw
    entries = search(raw.entries, choice.text)
    for column, wanted in (("model", choice.models), ("split", choice.splits)):
        entries = entries[entries[column].isin(wanted)] if wanted else entries
    entries = entries.assign(group=entries["run"]) if choice.per == "runs" else group_seeds(entries)
    return Rows(choice, replace(raw, entries=entries), replace(shown, entries=entries))


def list_metrics(board: Board) -> list[str]:
    """Those that some of the runs have."""
    known = board.values[board.values["run"].isin(board.entries["run"])].dropna(subset="value")
    return list(dict.fromkeys(known["metric"]))


def check_metrics(known: Sequence[str], metrics: Sequence[str] | None) -> list[str]:
    """The metrics asked, or all that are known. Raises SpecError for another one."""
    if unknown := [name for name in metrics or () if name not in known]:
        raise SpecError(
            "unknown_metric",
            f"The scores have no metric {', '.join(unknown)}",
            fix=f"they have {', '.join(known)}",
        )
    return list(metrics or known)
