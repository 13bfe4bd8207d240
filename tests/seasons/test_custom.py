"""Seasons that users write: checked field by field, kept, and found by their name."""

import re
from pathlib import Path
from typing import Any

import pytest
from custom_season import GENES, write_season
from places import ROOT
from refusals import refusal

from vccapp.errors import DataError, SpecError, VccAppError
from vccapp.seasons.custom import SeasonFile
from vccapp.seasons.opened import find_season, list_names, list_seasons, open_season
from vccapp.settings import Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home")


def test_a_season_is_opened_and_found(tmp_path: Path, settings: Settings) -> None:
    path = write_season(tmp_path / "given")
    season = open_season(path, settings)
    (path.parent / "genes.txt").unlink()
    path.unlink()
    assert find_season("contest", settings) == season
    assert season.genes == GENES and season.n_genes == 60 and not season.needs_bundle
    assert season.context_col == "context" and season.container.name == "h5ad" and season.space == "counts"
    assert season.wanted() == {f"GENE{i}@{c}": 50 for c in ("K562", "RPE1") for i in (1, 2)}
    assert [found.name for found in list_seasons(settings)] == ["vcc2025", "vcc2026", "contest"]
    assert list_names(settings) == ["vcc2025", "vcc2026", "contest"]


def test_phases_of_their_own(tmp_path: Path, settings: Settings) -> None:
    (tmp_path / "pert_counts.csv").write_text(
        "target_gene,n_cells,median_umi_per_cell\nGENE3,40,900\nnon-targeting,9,1\n"
    )
    more = """
    [[phases]]
    name = "first"
    opens = 2027-01-01
    closes = 2027-02-01
    targets = ["GENE1"]
    [[phases]]
    name = "second"
    label = "The last"
    contexts = ["A549"]
    targets = "pert_counts.csv"
    """
    season = open_season(write_season(tmp_path, more=more, cells_per_target=50), settings)
    first, second = season.phases
    assert (str(first.opens), str(first.closes)) == ("2027-01-01", "2027-02-01")
    assert first.contexts == ("K562", "RPE1") and second.contexts == ("A549",)
    assert second.label == "The last" and second.targets[0].median_umi == 900
    assert season.wanted("second") == {"GENE3@A549": 50}
    several = write_season(
        tmp_path,
        more=more.replace('targets = ["GENE1"]', 'targets = "pert_counts.csv"'),
        name="own",
        cells_per_target=None,
    )
    assert open_season(several, settings).wanted("first") == {"GENE3@K562": 40, "GENE3@RPE1": 40}


def test_opened_again(tmp_path: Path, settings: Settings) -> None:
    season = open_season(write_season(tmp_path), settings)
    assert open_season(write_season(tmp_path), settings) == season
    with refusal(SpecError, "season_exists"):
        open_season(write_season(tmp_path, cells_per_target=40), settings)
    assert find_season("contest", settings).cells_per_target == 50
    open_season(write_season(tmp_path, cells_per_target=40), settings, replace=True)
    assert find_season("contest", settings).cells_per_target == 40


@pytest.mark.parametrize(
    ("file", "content"),
    [("season.json", "{"), ("season.json", '{"format": "season"}'), ("genes.txt", "GENE1\n"), ("genes.txt", None)],
)
def test_a_damaged_one_is_listed(file: str, content: str | None, tmp_path: Path, settings: Settings) -> None:
    open_season(write_season(tmp_path), settings)
    path = settings.seasons / "contest" / file
    path.unlink()
    if content is not None:
        path.write_text(content)
    with refusal(DataError, "record_damaged"):
        find_season("contest", settings)
    seasons = list_seasons(settings)
    assert [found.name for found in seasons] == ["vcc2025", "vcc2026"]
    [told] = seasons.unreadable
    assert told.error.code == "record_damaged" and told.path == settings.seasons / "contest" / "season.json"
    assert open_season(write_season(tmp_path), settings, replace=True).name == "contest"


WRONG: dict[str, tuple[dict[str, Any], str, str]] = {
    "an unknown field": ({"colour": "red"}, "unknown_field", "colour"),
    "no name": ({"name": None}, "bad_season", "name"),
    "a name with blanks": ({"name": "my contest"}, "bad_season", "name"),
    "a name that is a path": ({"name": "../contest"}, "bad_season", "name"),
    "a name that is taken": ({"name": "vcc2026"}, "name_taken", "vcc2026"),
    "an alias": ({"name": "2025"}, "name_taken", "2025"),
    "no genes": ({"genes": None}, "bad_season", "genes"),
    "genes that are not there": ({"genes": "others.txt"}, "file_missing", "others.txt"),
    "genes elsewhere": ({"genes": "../genes.txt"}, "bad_season", "genes"),
    "no targets": ({"targets": None}, "bad_season", "targets"),
    "an empty list of targets": ({"targets": []}, "bad_season", "targets"),
    "targets that are numbers": ({"targets": [1, 2]}, "bad_season", "targets"),
    "a target twice": ({"targets": ["GENE1", "GENE1"]}, "bad_season", "twice"),
    "the control as a target": ({"targets": ["non-targeting"]}, "bad_season", "control"),
    "a target with a context": ({"targets": ["GENE1@K562"]}, "bad_season", "@"),
    "an empty target": ({"targets": [""]}, "bad_season", "name"),
    "targets that are not there": ({"targets": "pert_counts.csv"}, "file_missing", "pert_counts.csv"),
    "a context twice": ({"contexts": ["K562", "K562"]}, "bad_season", "context"),
    "a column of contexts without contexts": ({"contexts": [], "context_col": "line"}, "bad_season", "contexts"),
    "one column for both": ({"context_col": "target_gene"}, "bad_season", "pert_col"),
    "cells that are text": ({"cells_per_target": "50"}, "bad_season", "cells_per_target"),
    "cells that are yes": ({"cells_per_target": True}, "bad_season", "cells_per_target"),
    "no cells": ({"cells_per_target": 0}, "bad_season", "cells_per_target"),
    "numbers of cells nowhere": ({"cells_per_target": None}, "no_cells_wanted", "GENE1"),
    "more cells than allowed": ({"max_cells": 199}, "bad_season", "199"),
    "no room for controls": ({"max_cells": 200, "controls": "required"}, "bad_season", "controls"),
    "an unknown space": ({"spaces": ["log2"]}, "bad_season", "spaces"),
    "no space": ({"spaces": []}, "bad_season", "spaces"),
    "metrics of counts for log1p": ({"spaces": ["log1p"]}, "bad_season", "metrics"),
    "unknown metrics": ({"metrics": "2027"}, "bad_season", "metrics"),
    "a limit of values that are not taken": ({"max_value": 15.0}, "bad_season", "max_value"),
    "a limit that is not a number": ({"max_cell_total": float("nan")}, "bad_season", "max_cell_total"),
    "an unknown container": ({"container": "zip"}, "unknown_container", "zip"),
    "a container of contexts without them": ({"container": "vcc2026", "contexts": []}, "bad_season", "contexts"),
    "unknown controls": ({"controls": "perhaps"}, "bad_season", "controls"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_field_is_named(wrong: str, tmp_path: Path, settings: Settings) -> None:
    fields, code, says = WRONG[wrong]
    with refusal(VccAppError, code) as caught:
        open_season(write_season(tmp_path / "given", **fields), settings)
    sentence = str(caught.value)
    assert says in sentence and len(sentence) < 300 and "Traceback" not in sentence
    assert list(settings.seasons.rglob("*")) == []


TEXTS = {
    "no TOML": ("name = ", "not_toml"),
    "nested": (f"a = {'[' * 5000}", "not_toml"),
    "a phase of an unknown field": ('[[phases]]\nname = "a"\nopen = 2027-01-01', "unknown_field"),
    "two phases of one name": ('[[phases]]\nname = "a"\n[[phases]]\nname = "a"', "bad_season"),
    "a phase that closes first": ('[[phases]]\nname = "a"\nopens = 2027-02-01\ncloses = 2027-01-01', "bad_season"),
    "a date that is text": ('[[phases]]\nname = "a"\nopens = "2027-02-01"', "bad_season"),
    "no phase": ("phases = []", "bad_season"),
}


@pytest.mark.parametrize("wrong", TEXTS)
def test_a_wrong_text(wrong: str, tmp_path: Path, settings: Settings) -> None:
    more, code = TEXTS[wrong]
    with refusal(SpecError, code):
        open_season(write_season(tmp_path, more=more), settings)


def test_genes_twice_and_files_that_are_none(tmp_path: Path, settings: Settings) -> None:
    with refusal(DataError, "repeated_genes"):
        open_season(write_season(tmp_path, listed=("GENE1", "GENE2", "GENE1")), settings)
    with refusal(DataError, "file_missing"):
        open_season(tmp_path / "nothing.toml", settings)
    with refusal(DataError, "not_a_file"):
        open_season(tmp_path, settings)


def test_the_examples_of_the_docs_are_seasons(tmp_path: Path, settings: Settings) -> None:
    page = (ROOT / "docs" / "submission.md").read_text()
    first, phases = re.findall(r"```toml\n(.*?)```", page, flags=re.DOTALL)
    (tmp_path / "genes.txt").write_text("MYC\nTP53\n")
    (tmp_path / "pert_counts_final.csv").write_text("target_gene,n_cells\nTP53,50\n")
    path = tmp_path / "contest.toml"
    path.write_text(first)
    assert open_season(path, settings).wanted() == {f"{t}@{c}": 50 for c in ("K562", "RPE1") for t in ("MYC", "TP53")}
    path.write_text(first + phases)
    season = open_season(path, settings, replace=True)
    assert [len(phase.targets) for phase in season.phases] == [1, 1] and season.phases[1].opens is not None
    named = set(re.findall(r"`(\w+)`", page.split("Further fields:")[1].split("```toml")[0]))
    assert named - {"name", "phases", "target_gene", "context"} <= set(SeasonFile.model_fields)
