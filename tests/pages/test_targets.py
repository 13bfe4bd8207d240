"""The page Targets: what it shows is what its commands give, measured and predicted effects apart."""

from pathlib import Path

import pandas as pd
import pytest
from page_kit import ask, assert_well, commands_of, is_among, keep_csvs, open_alone, tables_of
from streamlit.testing.v1 import AppTest

from vccapp.data.splits.split import write_split
from vccapp.data.workspace import list_datasets
from vccapp.settings import Settings
from vccapp.stats.index import Index, load_index
from vccapp.training import RunSpec, train
from vccapp.ui.standard_split import standard_split

RUN = "predicted"


@pytest.fixture(scope="module")
def index(workspace: Settings) -> Index:
    """That of the demo, with a run that predicts."""
    [record] = list_datasets(workspace)
    index = load_index(record.index_folder)
    split = standard_split(record, index)
    write_split(split, workspace)
    train(RunSpec(model="ridge", dataset=record.fingerprint, split=split.name), workspace, run_id=RUN)
    return index


@pytest.fixture
def signature(index: Index, here: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A signature of the demo, also as the file that the commands read."""
    monkeypatch.chdir(tmp_path)
    values = zip(index.genes["gene"], -index.delta("MYC") + 0.3 * index.delta("TP53"), strict=True)
    text = "gene,log2_fold_change\n" + "\n".join(f"{gene},{value}" for gene, value in values)
    Path("signature.csv").write_text(text)
    return text


def paste(text: str, *, run: str = "", **params: str) -> AppTest:
    page = open_alone("targets", **params)
    page.text_area(key="tgt_table").set_value(text)
    page.selectbox(key="tgt_run").set_value(run).run()
    assert_well(page)
    return page


def check_commands(page: AppTest, frames: dict[str, pd.DataFrame], capsys: pytest.CaptureFixture) -> None:
    """Every frame that the page shows is among the tables of its commands, to the last digit."""
    assert frames
    tables = tables_of([ask(words, capsys) for words in commands_of(page)])
    for name, frame in frames.items():
        assert is_among(frame, tables), name


@pytest.mark.parametrize(
    ("view", "params"),
    [
        ("Ranking", {"tgt_known": "MYC, TP53"}),
        ("Ranking", {"tgt_goal": "Mimic", "run": RUN, "tgt_predict": "GATA4,KLF4,NES,PAX6,FOXA1"}),
        ("Gene by gene", {"tgt_pert": "TP53"}),
        ("Validation", {}),
        ("Next", {"run": RUN}),
    ],
)
def test_the_page_shows_what_its_command_gives(
    view: str, params: dict[str, str], signature: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    kept = keep_csvs(monkeypatch)
    page = paste(signature, tgt_view=view, **params)
    check_commands(page, {name: frame.head(200) for name, frame in kept.items()}, capsys)
    if view == "Ranking":
        shown = kept["targets"]
        kinds = shown["kind"] if "kind" in shown else pd.Series([], dtype=str)
        assert set(kinds) == ({"measured", "predicted"} if "run" in params else {"measured"})
        best = shown.loc[shown["kind"] == "measured", "perturbation"].iloc[-1 if "tgt_goal" in params else 0]
        assert best == "MYC"


def test_groups_of_cells_do_not_find_their_own_cells(
    index: Index, here: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    kept = keep_csvs(monkeypatch)
    [control] = index.controls
    chosen = {"tgt_first_perturbation": "MYC", "tgt_second_perturbation": control}
    page = open_alone("targets", tgt_way="Groups of cells", **chosen)
    assert_well(page)
    assert "MYC" not in set(kept["targets"]["perturbation"])
    assert len(kept["targets"]) == len(index.perturbed) - 1
    check_commands(page, kept, capsys)


def test_lists_stand_in_the_link_and_few_genes_are_refused(index: Index, here: Settings) -> None:
    genes = index.genes["gene"].tolist()
    page = open_alone("targets", tgt_way="Up and down", tgt_up=" ".join(genes[:40]), tgt_down=",".join(genes[40:90]))
    assert_well(page)
    assert page.dataframe
    page = open_alone("targets", tgt_way="Up and down", tgt_up=" ".join(genes[:40]))
    assert not page.exception and len(page.error) == 1


def test_what_is_measured_is_not_predicted(here: Settings, index: Index, capsys: pytest.CaptureFixture) -> None:
    from vccapp.cli import main

    with pytest.raises(SystemExit):
        main(["targets", "next", "--run", RUN, "--predict", "MYC", "--json"])
    assert '"measured_already"' in capsys.readouterr().err
