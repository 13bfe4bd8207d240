"""The board gathers what runs and scorers stored, and the page's and the report's numbers are those."""

import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from refusals import refusal
from toy import make_counts

from vccapp.data.reading.opening import open_dataset
from vccapp.data.splits.split import make_split, write_split
from vccapp.data.workspace import register
from vccapp.errors import SpecError
from vccapp.evaluation.leaderboard.metric_names import best_of
from vccapp.evaluation.leaderboard.metric_view import view_metric
from vccapp.evaluation.leaderboard.ranking import ENTERED, MARK, RUN, add_entered, group_seeds, search, tabulate
from vccapp.evaluation.scorers.base import Scaled
from vccapp.settings import Settings
from vccapp.stats.building.build import build_index
from vccapp.training import RunSpec, load_run, train
from vccapp.training.results.board import OFFICIAL_BASELINE, Board, load_board
from vccapp.training.results.entered import make_result, tabulate_results, write_result
from vccapp.training.results.report import make_report, write_report
from vccapp.training.results.scores import Score, write_score

LABELS = [f"GENE{i}" for i in range(12)]
RUNS = {
    "a0": ("perturbation_mean", "s", 0),
    "a1": ("perturbation_mean", "s", 1),
    "b0": ("knockdown_mean", "s", 0),
    "c0": ("knockdown_mean", "t", 0),
}


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Four runs on two splits of a toy dataset, one of them scored officially; not to be changed."""
    folder = tmp_path_factory.mktemp("board")
    settings = Settings(home=folder / "workspace", checkpoints=folder / "checkpoints", data_roots=(folder,))
    make_counts(400, n_perturbations=12).write_h5ad(folder / "toy.h5ad")
    dataset = open_dataset(folder / "toy.h5ad")
    build_index(dataset, register(dataset, settings, title="Toy <i>cells</i>") / "index")
    for name, seed in (("s", 1), ("t", 2)):
        split = make_split(LABELS, name=name, dataset=dataset.fingerprint, ratio=(0.4, 0.2, 0.4), seed=seed)
        write_split(split, settings)
    for run, (model, split, seed) in RUNS.items():
        title = "<script>alert(1)</script>" if run == "b0" else ""
        spec = RunSpec(model=model, dataset=dataset.fingerprint, split=split, seed=seed, title=title)
        train(spec, settings, run_id=run)
    store_official(settings, "b0")
    return settings


def store_official(settings: Settings, run_id: str) -> None:
    run = load_run(run_id, settings)
    table = pd.DataFrame({"perturbation": sorted(run.split.test), "mae": 0.1, "overlap_at_N": np.nan})
    score = Score(
        run=run.id,
        scorer="cell-eval",
        scorer_version="0.8.2",
        settings={"profile": "vcc"},
        part="test",
        created=datetime.now(UTC),
        n_perturbations=len(table),
        n_cells={"predicted": 5},
        seconds=1.0,
        means={"mae": 0.1, "overlap_at_N": None},
        baseline={"mae": 0.2, "overlap_at_N": 0.0},
        scaled={"mae": Scaled(raw=-0.5, clipped=0.0), "avg_score": Scaled(raw=-0.25, clipped=0.0)},
    )
    write_score(run, score, table)


def grouped(board: Board) -> Board:
    return Board(group_seeds(board.entries), board.values, board.marks, board.stored)


def table_of(board: Board, metrics: tuple[str, ...], reference: str = "a0", **options: bool) -> pd.DataFrame:
    ends = {name: best_of(name) for name in metrics}
    return tabulate(
        board.entries, board.values, board.marks, metrics=ends, reference=reference, **{"scaled": False} | options
    )


@pytest.mark.slow
def test_every_training_leaves_the_scores_of_each_perturbation(settings: Settings) -> None:
    board = load_board(settings)
    for run_id in RUNS:
        run = load_run(run_id, settings)
        for part in ("val", "test"):
            only = board.only(part=part, scorer="pseudobulks")
            table = only.tables[run_id]
            assert table["perturbation"].tolist() == sorted(getattr(run.split, part))
            values = only.values[only.values["run"] == run_id].set_index("metric")["value"]
            for metric, mean in run.metrics[part][run.spec.model].items():
                assert values[metric] == pytest.approx(np.nan if mean is None else mean, nan_ok=True)
                assert table[metric].mean() == pytest.approx(values[metric], nan_ok=True)


@pytest.mark.slow
def test_rows_are_models_over_seeds_beside_floors_and_limits(settings: Settings) -> None:
    board = grouped(load_board(settings).only(part="test", scorer="pseudobulks"))
    table = table_of(board, ("mae", "pds"))
    assert table["kind"].tolist() == [
        RUN,
        RUN,
        MARK,
        MARK,
        MARK,
        MARK,
        "not comparable: other split, other perturbations",
    ]
    runs = table[table["kind"] == RUN].set_index("group")
    assert runs.loc["a0", "seeds"] == 2 and runs.loc["b0", "seeds"] == 1
    assert runs["rank"].tolist() == [1, 2] and runs["mae"].is_monotonic_increasing
    assert (runs["pds n"] == runs["n_perturbations"]).all()
    floors = table[table["kind"] == MARK].set_index("row")
    expected = load_run("a0", settings).metrics["test"]
    assert floors.loc["control mean", "mae"] == pytest.approx(expected["control_mean"]["mae"])
    assert floors.loc["perfect", "pds"] == pytest.approx(expected["perfect"]["pds"])
    assert table.iloc[-1]["run"] == "c0" and np.isnan(table.iloc[-1]["rank"])


def test_scaled_scores_are_zero_at_the_floor(settings: Settings) -> None:
    board = grouped(load_board(settings).only(part="test", scorer="pseudobulks"))
    known = load_run("b0", settings).metrics["test"]
    table = table_of(board, ("mae",), scaled=True).set_index("row")
    assert table["rank"].tolist()[:2] == [1, 2]
    floor, top = (known[name]["mae"] for name in ("perturbation_mean", "perfect"))
    if top is not None and top < floor:
        assert table.loc["perturbation mean", "mae"] == 0 and table.loc["perfect", "mae"] == pytest.approx(1)
        own = table[table["run"] == "b0"]["mae"].item()
        assert own == pytest.approx((known["knockdown_mean"]["mae"] - floor) / (top - floor))
    else:
        assert table["mae"].iloc[:6].isna().all()


def test_one_metric_is_tested_among_the_rows_that_can_be_compared(settings: Settings) -> None:
    board = grouped(load_board(settings).only(part="test", scorer="pseudobulks"))
    view = view_metric(board.entries, board.values, board.marks, board.tables, metric="mae", reference="a0")
    assert set(view.groups["group"]) == {"a0", "b0"}
    [row] = view.differences.to_dict("records")
    pairs = board.tables["b0"].set_index("perturbation")["mae"] - board.tables["a1"].set_index("perturbation")["mae"]
    assert row["label"] == "<script>alert(1)</script>" and row["n"] == len(pairs)
    assert row["difference"] == pytest.approx(pairs.mean())
    assert view.pairs.set_index("perturbation")["difference"].to_dict() == pytest.approx(pairs.to_dict())
    assert set(view.marks["name"]) == {"control mean", "perturbation mean", "repeat", "perfect"}
    assert set(view.splits["split"]) == {"s", "t"}


def test_official_scores_are_kept_apart_raw_and_clipped(settings: Settings) -> None:
    board = load_board(settings)
    raw = grouped(board.only(part="test", scorer="cell-eval"))
    assert raw.entries["run"].tolist() == ["b0"]
    table = table_of(raw, ("mae",), reference="b0").set_index("row")
    assert table["mae"].tolist() == [0.1, 0.2] and table.index[1] == OFFICIAL_BASELINE
    assert "mae" in set(board.only(part="test", scorer="pseudobulks").values["metric"])
    for scale, expected in (("scaled", {"mae": -0.5, "avg_score": -0.25}), ("clipped", {"mae": 0, "avg_score": 0})):
        values = board.only(part="test", scorer="cell-eval", scale=scale).values
        assert values.set_index("metric")["value"].to_dict() == expected


def test_entered_results_stand_below_and_say_so(settings: Settings) -> None:
    board = grouped(load_board(settings).only(part="test", scorer="pseudobulks"))
    same = {"season": "vcc2025", "date": "2025-11-02", "note": "twice"}
    results = [make_result(settings, id=name, scores={"mae": 0.03, "overall": 9.5}, **same) for name in ("x1", "x2")]
    table = add_entered(table_of(board, ("mae",)), tabulate_results(results))
    below = table[table["kind"] == ENTERED]
    assert len(below) == 2 and below["row"].is_unique and below["rank"].isna().all()
    assert below["mae"].tolist() == [0.03, 0.03] and below["overall"].tolist() == [9.5, 9.5]
    assert table.index[table["kind"] == ENTERED].min() > table.index[table["kind"] != ENTERED].max()


def test_words_are_searched_in_titles_parameters_and_ids(settings: Settings) -> None:
    entries = load_board(settings).only(part="test", scorer="pseudobulks").entries
    assert set(search(entries, "Knock")["run"]) == {"b0", "c0"}
    assert set(search(entries, "knock alert(1)")["run"]) == {"b0"}
    assert set(search(entries, "")["run"]) == set(RUNS)
    assert search(entries, "nothing such").empty


@pytest.mark.slow
def test_a_report_is_one_file_that_says_where_it_is_from(settings: Settings, tmp_path: Path) -> None:
    own = settings.model_copy(update={"home": tmp_path / "home"})
    own.home.mkdir()
    (own.home / "datasets").symlink_to(settings.datasets)
    write_result(make_result(own, id="x", date="2025-11-02", season="vcc2025", scores={"mae": 0.031}, run="a0"), own)
    write_result(make_result(own, id="y", date="2025-11-02", season="vcc2025", scores={"mae": 0.777}, run="other"), own)
    path = write_report(list(RUNS), tmp_path / "out" / "report.html", own, reference="b0", metrics=["mae", "pds"])
    text = path.read_text()
    assert "<script" not in text and "&lt;script&gt;alert(1)" in text
    assert "Toy &lt;i&gt;cells" in text
    for outside in ("http://", "https://", "src=", "@import", "url("):
        found = text.replace("http://www.w3.org/2000/svg", "").replace("http://www.w3.org/1999/xlink", "")
        assert outside not in found, outside
    assert text.count("<svg") == 2 * 3
    run = load_run("a0", settings)
    for said in (run.spec.dataset, run.split.test[0], "entered by hand", ">0.031<", "vccapp train start", "n of PDS"):
        assert said in text, said
    assert ">0.777<" not in text
    assert "1 row is not comparable" in text


def test_a_report_of_what_is_not_scored_is_refused(settings: Settings) -> None:
    with refusal(SpecError, "not_scored"):
        make_report(["a0", "b0"], settings, scorer="cell-eval")
    with refusal(SpecError, "unknown_run"):
        make_report(["zz"], settings)
    with refusal(SpecError, "unknown_metric"):
        make_report(["a0"], settings, metrics=["depth"])
    with refusal(SpecError, "not_scored"):
        make_report(["a0"], settings, reference="c0")


@pytest.mark.slow
def test_the_commands_print_what_the_page_shows(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    from vccapp.cli import main
    from vccapp.jobs.keeping.launch import environment

    for name, value in environment(settings).items():
        monkeypatch.setenv(name, value)

    def call(*words: str) -> dict:
        with pytest.raises(SystemExit) as end:
            main([*words, "--json"])
        out = capsys.readouterr()
        assert end.value.code == 0, out.err
        return json.loads(out.out)

    shown = call("eval", "leaderboard", "--metric", "mae", "--reference", "a1")
    assert shown["reference"] == "a0"
    assert {row["run"] for row in shown["rows"] if row["rank"]} == {"a1", "b0"}
    assert shown["differences"][0]["n"] == 5
    made = call("eval", "report", "all", "--metric", "mae", "--out", str(tmp_path / "r.html"))
    assert set(made["runs"]) == set(RUNS) and (tmp_path / "r.html").stat().st_size > 10_000
    added = call("eval", "entered", "add", "--season", "2025", "--score", "des=0.2", "--date", "2025-11-02")
    changed = call("eval", "entered", "add", "--season", "2025", "--score", "des=0.3", "--id", added["id"])
    assert changed["scores"] == {"des": 0.3}
    assert [result["id"] for result in call("eval", "entered", "list")["results"]] == [added["id"]]
    call("eval", "entered", "remove", added["id"])
    assert call("eval", "entered", "list") == {"results": [], "unreadable": []}
