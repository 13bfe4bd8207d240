"""`vccapp eval leaderboard` and `vccapp eval report`: stored scores of runs beside each other."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from vccapp.cli.names import find_dataset, open_settings
from vccapp.cli.output import Json, format_table, show

if TYPE_CHECKING:
    import pandas as pd

Part = Annotated[Literal["val", "test"], typer.Option(help="Held-out part of the split.")]
Scorer = Annotated[
    str,
    typer.Option(help="Whose scores: pseudobulks or vccapp (ours, of cells), cell-eval, cell-eval2, or a plug-in's."),
]
Metrics = Annotated[list[str] | None, typer.Option(help="Metrics to show, the first ranks; repeat. All without it.")]
Reference = Annotated[str | None, typer.Option(help="Id of the run that the others are compared with.")]


def leaderboard(
    dataset: Annotated[str | None, typer.Option(help="Only runs on this data: path, fingerprint or title.")] = None,
    part: Part = "test",
    scorer: Scorer = "pseudobulks",
    metric: Metrics = None,
    reference: Reference = None,
    scaled: Annotated[bool, typer.Option("--scaled", help="0 at the perturbation mean, 1 at the ceiling.")] = False,
    as_json: Json = False,
) -> None:
    """Show the scores of runs over their seeds, beside floor and ceiling, and test how they differ."""
    from vccapp.errors import SpecError
    from vccapp.evaluation.leaderboard.metric_names import best_of
    from vccapp.evaluation.leaderboard.metric_view import view_metric
    from vccapp.evaluation.leaderboard.ranking import group_seeds, tabulate
    from vccapp.training.results.board import load_board
    from vccapp.training.results.report import check_metrics

    settings = open_settings()
    fingerprint = None if dataset is None else find_dataset(dataset, settings).fingerprint
    board = load_board(settings, dataset=fingerprint).only(part=part, scorer=scorer)
    if board.entries.empty:
        raise SpecError(
            "no_scores",
            f"No run has scores of {scorer} on its {part} part",
            fix="train one, or see `vccapp eval official --help`",
        )
    entries = group_seeds(board.entries)
    chosen = check_metrics(board, metric)
    groups = entries.set_index("run")["group"]
    if reference is not None and reference not in groups:
        raise SpecError(
            "not_on_leaderboard",
            f"The run {reference} is not on the leaderboard",
            fix=f"on it are {', '.join(groups.index[:5])}",
        )
    own = groups.get(reference, groups.iloc[-1])
    ends = {name: best_of(name) for name in chosen}
    table = tabulate(entries, board.values, board.marks, metrics=ends, reference=own, scaled=scaled)
    view = view_metric(entries, board.values, board.marks, board.tables, metric=chosen[0], reference=own)
    value = {"reference": own, "rows": _records(table), "tested": chosen[0], "differences": _records(view.differences)}
    columns = [name for name in table if name not in ("group", "model", "params", "version")]
    tests = ("label", "n", "difference", "low", "high", "p", "p_holm")

    def text() -> str:
        parts = [format_table(value["rows"], columns)]
        if len(view.differences):
            parts.append(f"{chosen[0]}, minus that of {own}:\n{format_table(value['differences'], tests)}")
        return "\n\n".join(parts)

    show(value, text, as_json=as_json)


def report(
    runs: Annotated[list[str], typer.Argument(help="Ids of the runs, or 'all'.", show_default=False)],
    out: Annotated[Path, typer.Option(help="The HTML file to write.")] = Path("report.html"),
    part: Part = "test",
    scorer: Scorer = "pseudobulks",
    metric: Metrics = None,
    reference: Reference = None,
    as_json: Json = False,
) -> None:
    """Write a report of scored runs: one HTML file that opens without a network."""
    from vccapp.training.results.board import load_board
    from vccapp.training.results.report import write_report

    settings = open_settings()
    if runs == ["all"]:
        runs = load_board(settings).only(part=part, scorer=scorer).entries["run"].tolist()
    path = write_report(runs, out, settings, part=part, scorer=scorer, reference=reference, metrics=metric)
    show({"path": str(path), "runs": runs}, lambda: f"Wrote {path} ({len(runs)} runs).", as_json=as_json)


def _records(frame: "pd.DataFrame") -> list[dict]:
    return json.loads(frame.to_json(orient="records", double_precision=15))
