"""What the docs name exists: functions, folders, linked files, floors."""

import importlib
import re
from configparser import ConfigParser
from importlib.util import find_spec
from pathlib import Path

import pytest
from places import ROOT

ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text()
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]


def read_section(heading: str) -> str:
    return ARCHITECTURE.split(f"## {heading}\n")[1].split("\n## ")[0]


def test_the_floors_are_those_of_the_contract() -> None:
    contract = ConfigParser()
    contract.read(ROOT / ".importlinter")
    layers = contract["importlinter:contract:floors"]["layers"].split("\n")
    real = [sorted(re.split(r" [|:] ", layer)) for layer in layers if layer]
    rows = [line.split("|")[1] for line in read_section("Floors").splitlines() if line.startswith("| `")]
    assert [sorted(re.findall(r"`(\w+)`", row)) for row in rows] == real


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`([a-z_0-9]+(?:\.\w+)+)`", read_section("The ways of data")))))
def test_functions_on_the_ways_exist(name: str) -> None:
    module, _, function = name.rpartition(".")
    assert hasattr(importlib.import_module(f"vccapp.{module}"), function) or find_spec(f"vccapp.{name}")


def test_the_places_of_new_things_exist() -> None:
    places = re.findall(r"`([\w/.]+/[\w/.]*)`", read_section("Where a new thing goes"))
    assert len(places) > 10
    assert not [place for place in places if not (ROOT / place).exists()]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files(page: Path) -> None:
    links = [link for link in re.findall(r"\]\(([^)#]+)", page.read_text()) if "://" not in link]
    assert not [link for link in links if not (page.parent / link).exists()]
