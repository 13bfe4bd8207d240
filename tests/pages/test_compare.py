"""The page Compare under AppTest: every view, links, gene sets, parts, and runs that have nothing in common."""

import shutil
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from page_kit import ask, assert_well, commands_of, is_among, keep_csvs, open_alone, parse_command, tables_of, use
from streamlit.testing.v1 import AppTest
from toy import make_counts

from vccapp.data.gene_sets import keep_gmt
from vccapp.data.reading.opening import open_dataset
from vccapp.data.splits.split import split_from_lists, write_split
from vccapp.data.workspace import register
from vccapp.figures.comparison.genes import gene_cells
from vccapp.settings import Settings
from vccapp.stats.building.build import build_index
from vccapp.stats.index import load_index
from vccapp.training import RunSpec, make_run_id, train
from vccapp.training.import_prediction import import_prediction
from vccapp.ui.comparison.findings import SIGNS

VIEWS = {
    "Agreement": (2, 1),
    "Genes": (5, 0),
    "Heat map": (1, 0),
    "Scores": (2, 2),
    "Confusion": (2, 1),
    "DEGs": (1, 2),
    "Two runs": (2, 0),
    "Diagnostics": (0, 1),
    "Calibrate": (3, 2),
}
"""Charts and tables of each view, two runs chosen."""


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Settings, list[str]]:
    """A workspace with two runs on one split, and one on a split that shares no test perturbation with it."""
    folder = tmp_path_factory.mktemp("compare")
    settings = Settings(home=folder / "workspace", checkpoints=folder / "checkpoints", data_roots=(folder,))
    make_counts(n_cells=900, n_perturbations=8).write_h5ad(folder / "toy.h5ad")
    dataset = open_dataset(folder / "toy.h5ad")
    home = register(dataset, settings, simulated=True)
    build_index(dataset, home / "index")
    labels = load_index(home / "index").labels[1:]
    made = []
    for name, test in (("one", labels[:4]), ("two", labels[5:])):
        learnt = [label for label in labels if label not in (*test, labels[4])]
        split = split_from_lists(name=name, dataset=dataset.fingerprint, train=learnt, val=[labels[4]], test=test)
        write_split(split, settings)
        for model in ("perturbation_mean", "knockdown_mean") if name == "one" else ("control_mean",):
            spec = RunSpec(model=model, dataset=dataset.fingerprint, split=name)
            made.append(make_run_id(spec, now=datetime.now(UTC)))
            train(spec, settings, run_id=made[-1])
    return settings, made


@pytest.fixture
def here(runs: tuple[Settings, list[str]], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    use(runs[0], monkeypatch)
    return runs[1]


def open_view(view: str, runs: list[str], **params: str) -> AppTest:
    page = open_alone("compare", cmp_view=view, cmp_runs=runs, **params)
    assert_well(page)
    return page


def charts(page: AppTest) -> list:
    return [*page.get("vega_lite_chart"), *page.get("plotly_chart")]


@pytest.mark.parametrize("view", VIEWS)
def test_every_view_draws_two_runs(view: str, here: list[str]) -> None:
    page = open_view(view, here[:2])
    assert page.multiselect(key="cmp_runs").value == here[:2]
    assert (len(charts(page)), len(page.dataframe)) == VIEWS[view]
    assert all(chart.proto.alt for chart in charts(page))


def test_only_the_view_that_is_open_is_built(here: list[str]) -> None:
    page = open_view("Agreement", here[:1])
    assert not [box for box in page.selectbox if box.key == "cmp_metric"]


def test_the_link_reopens_the_runs(here: list[str]) -> None:
    page = open_view("Agreement", here[:2])
    again = open_alone("compare", cmp_runs=page.query_params["cmp_runs"])
    assert again.multiselect(key="cmp_runs").value == here[:2]


def test_baselines_and_limits_stand_beside_every_score(here: list[str]) -> None:
    page = open_view("Scores", here[:1], cmp_metric="MAE")
    means, every = (table.value for table in page.dataframe)
    assert len(means) == 7
    assert means["source"].str.startswith("baseline: ").sum() == 2
    assert [name.split(":")[0] for name in means["source"][3:]] == ["repeat", "repeat", "perfect", "perfect"]
    assert means["mae"].notna().all()
    assert {"mae baseline", "mae repeat", "mae perfect"} <= set(every.columns)


def test_stored_means_are_those_of_the_perturbations(here: list[str]) -> None:
    page = open_view("Scores", here[1:2], cmp_metric="MAE")
    means, every = (table.value for table in page.dataframe)
    assert means["mae"].iloc[0] == pytest.approx(every["mae"].mean())
    floor = means.set_index("source")["mae"]["baseline: perturbation mean"]
    assert floor == pytest.approx(every["mae baseline"].mean())
    assert means["mae"].iloc[-2] == pytest.approx(every["mae perfect"].mean())
    assert means["mae"].iloc[-1] == pytest.approx(every["mae perfect"].sem())


def test_scores_are_the_same_where_none_were_stored(here: list[str], runs: tuple[Settings, list[str]]) -> None:
    stored = [table.value for table in open_view("Scores", here[1:2], cmp_metric="PDS (L1)").dataframe]
    [kept] = (runs[0].checkpoints / here[1] / "scores").glob("references-test.parquet")
    content = kept.read_bytes()
    kept.unlink()
    worked_out = [table.value for table in open_view("Scores", here[1:2], cmp_metric="PDS (L1)").dataframe]
    kept.write_bytes(content)
    for one, other in zip(stored, worked_out, strict=True):
        pd.testing.assert_frame_equal(one, other, check_dtype=False)


def test_a_baseline_can_be_looked_at_in_detail(here: list[str]) -> None:
    for view in ("Heat map", "Scores", "Confusion", "DEGs", "Diagnostics"):
        page = open_view(view, here[:1], cmp_shown="baseline: control mean")
        assert page.selectbox(key="cmp_shown").value == "control_mean"


def test_changing_the_part_keeps_the_page_well(here: list[str]) -> None:
    page = open_view("Agreement", here[:2])
    page.segmented_control(key="cmp_part").set_value("val").run()
    assert_well(page)
    assert len(page.multiselect(key="cmp_perturbations").value) == 1


def test_other_genes_bring_other_cells(here: list[str]) -> None:
    page = open_view("Genes", here[:1], cmp_by="Named", cmp_genes="GENE20 GENE21")
    page.multiselect(key="cmp_cells").set_value(["GENE21"]).run()
    page.text_input(key="cmp_genes").set_value("GENE30").run()
    assert_well(page)
    assert page.multiselect(key="cmp_cells").value == ["GENE30"]
    assert len(charts(page)) == 2


def test_runs_without_a_common_perturbation_are_told_apart(here: list[str]) -> None:
    page = open_alone("compare", cmp_runs=[here[0], here[2]])
    assert_well(page)
    assert "no perturbation in common" in page.info[0].value


def test_nothing_chosen_is_said_and_no_error(here: list[str]) -> None:
    for key, said in (("cmp_runs", "one run"), ("cmp_perturbations", "one perturbation")):
        page = open_view("Agreement", here[:1])
        page.multiselect(key=key).set_value([]).run()
        assert_well(page)
        assert said in page.info[0].value


def test_genes_are_named_searched_and_taken_from_a_set(here: list[str], runs: tuple[Settings, list[str]]) -> None:
    page = open_alone("compare", cmp_genes="gene1, GENE2* NOGENE")
    assert_well(page)
    found = set(page.dataframe[0].value["gene"])
    assert found == {"GENE1", "GENE2", *(f"GENE2{i}" for i in range(10))}
    assert any("NOGENE" in caption.value for caption in page.caption)
    unnamed = open_alone("compare", cmp_by="Named")
    assert_well(unnamed)
    assert unnamed.dataframe[0].value["gene"].nunique() == 20
    empty = open_alone("compare", cmp_by="Gene set")
    assert_well(empty)
    assert "No gene is chosen" in empty.info[0].value
    keep_gmt("mine.gmt", b"ONE\tx\tGENE3\tGENE5\nTWO\tx\tGENE7\tABSENT\n", runs[0])
    page = open_alone("compare", cmp_by="Gene set", cmp_gmt="mine.gmt", cmp_set="TWO")
    assert_well(page)
    assert set(page.dataframe[0].value["gene"]) == {"GENE7"}
    (Path(runs[0].home) / "gene_sets" / "mine.gmt").unlink()


def test_the_clearest_degs_are_significant(here: list[str], runs: tuple[Settings, list[str]]) -> None:
    page = open_alone("compare", cmp_by="Clearest DEGs", cmp_top="5")
    assert_well(page)
    [folder] = runs[0].datasets.glob("*/index")
    index = load_index(folder)
    fdr = index.array("de/fdr")[index.rows(page.multiselect(key="cmp_perturbations").value)].min(axis=0)
    for gene in set(page.dataframe[0].value["gene"]):
        assert fdr[index.gene_position[gene]] < 0.05


def test_an_imported_prediction_is_compared_with_its_own_cells(
    here: list[str], runs: tuple[Settings, list[str]], tmp_path: Path
) -> None:
    settings, made = runs
    cells = make_counts(n_cells=400, n_perturbations=8, seed=5)
    cells.write_h5ad(tmp_path / "elsewhere.h5ad")
    [folder] = settings.datasets.iterdir()
    run_id, _ = import_prediction(tmp_path / "elsewhere.h5ad", settings, dataset=folder.name, split="one")
    page = open_view("Genes", [run_id, made[0]], cmp_by="Named", cmp_genes="GENE20", cmp_perturbation="GENE1")
    assert len(charts(page)) == 2
    for view in VIEWS:
        open_view(view, [run_id, made[0]])
    shutil.rmtree(settings.checkpoints / run_id)


def test_without_a_run_there_are_ways_to_get_one(here: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VCCAPP_CHECKPOINTS", "/nonexistent")
    page = open_alone("compare")
    assert_well(page)
    assert "no finished run" in page.info[0].value
    assert [box.label for box in page.expander] == ["Import a prediction made elsewhere"]


OPEN = {
    "Agreement": {"cmp_quantity": "Pseudobulks", "cmp_by": "Clearest DEGs", "cmp_top": "7"},
    "Genes": {"cmp_genes": "GENE20, GENE2* GENE5", "cmp_perturbation": "GENE1"},
    "Heat map": {"cmp_wide": "true", "cmp_shown": "baseline: perturbation mean"},
    "Scores": {"cmp_metric": "MAE", "cmp_part": "val"},
    "Confusion": {"cmp_distance": "Cosine (2026)"},
    "DEGs": {"cmp_shown": "baseline: perturbation mean"},
    "Two runs": {"cmp_second": "baseline: control mean", "cmp_metric": "MAE"},
    "Diagnostics": {},
}
"""Choices of each view that differ from the first ones."""


@pytest.mark.parametrize("chosen", [False, True])
@pytest.mark.parametrize("view", OPEN)
def test_the_command_of_a_view_gives_what_the_page_shows(
    view: str, chosen: bool, here: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    assert {*OPEN, "Calibrate"} == set(VIEWS)
    csvs = keep_csvs(monkeypatch)
    page = open_view(view, here[:2], **(OPEN[view] if chosen else {}))
    commands = [words for words in commands_of(page) if "--part" in words and "official" not in words]
    answers = [ask(words, capsys) for words in commands]
    assert answers[0]["runs"] == here[:2]
    tables = tables_of(answers)
    assert csvs
    for name, frame in csvs.items():
        assert len(frame)
        if name.endswith("_cells"):  # densities, drawn from the cells that the command gives
            gene, cells = name.split("_")[1], tables[1]
            own = cells[cells["gene"] == gene]
            values, sources = own["value"].to_numpy(np.float32), own["source"]
            sources = pd.Categorical(sources, categories=list(dict.fromkeys(sources)))
            _, again = gene_cells(values, pd.Series(sources), gene=gene)
            pd.testing.assert_frame_equal(again, frame, check_categorical=False, check_dtype=False)
        elif name == "diagnostics":
            words = {word: status for status, (_, word) in SIGNS.items()}
            assert is_among(frame.replace(words), tables)
        else:
            assert is_among(frame, tables), name


def test_a_calibration_shows_what_its_command_gives(
    here: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    csvs = keep_csvs(monkeypatch)
    page = open_view("Calibrate", here[1:2], cal_amplitude="0.5", cal_set="true", cal_target_level="0.3")
    look, make = (words for words in commands_of(page) if "calibrate" in words)
    assert make == [*look, "--write"] and parse_command(make)["write"]
    answer = ask(look, capsys)
    assert answer["run"] == here[1] and len(answer["perturbations"]) == 1
    assert (answer["setting"]["amplitude"], answer["setting"]["target_level"]) == (0.5, 0.3)
    tables = tables_of([answer])
    assert is_among(csvs["chosen"], tables)
    for name in ("pearson_delta", "pds", "mae"):
        assert is_among(csvs[f"calibration_{name}"][["value", "mean", "se"]], tables), name
    numbers = ["chosen", "best_value", "best_gain", "cross_fitted", "se", "at_end"]
    assert is_among(csvs["choices"][numbers], tables)
    assert not page.button(key="cal_start").disabled
    assert open_view("Calibrate", here[1:2]).button(key="cal_start").disabled  # nothing is changed


def test_a_gene_set_is_chosen_by_the_command_too(
    here: list[str], runs: tuple[Settings, list[str]], capsys: pytest.CaptureFixture
) -> None:
    kept = keep_gmt("mine.gmt", b"ONE\tx\tGENE3\tGENE5\nTWO\tx\tGENE7\tABSENT\n", runs[0])
    page = open_view("Agreement", here[:1], cmp_by="Gene set", cmp_gmt="mine.gmt", cmp_set="TWO")
    answer = ask(commands_of(page)[-1], capsys)
    kept.unlink()
    assert {row["gene"] for row in answer["values"]} == {"GENE7"}
