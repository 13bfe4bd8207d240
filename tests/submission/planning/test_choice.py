"""What a choice becomes: the season's own targets by default, practice where anything is not the season's, and why."""

import shutil
from pathlib import Path

import pytest
from custom_season import GENES, write_season
from refusals import refusal
from toy import make_counts

from vccapp.data.reading.opening import open_dataset
from vccapp.data.splits.split import split_from_lists, write_split
from vccapp.data.workspace import register
from vccapp.errors import DataError, SpecError
from vccapp.seasons.opened import open_season
from vccapp.settings import Settings
from vccapp.stats.building.build import build_index
from vccapp.submission.plan import delete_submission, list_plans, load_plan, plan_path, write_plan
from vccapp.submission.planning.choice import PlanChoice, SourceChoice
from vccapp.submission.planning.compare import compare_cells, compare_plans
from vccapp.submission.planning.numbers import list_limits
from vccapp.training import RunSpec
from vccapp.training.run import train

LABELS = [f"GENE{i}" for i in range(8)]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Settings, str]:
    """A measured and a simulated dataset with a run each, and a season of their genes."""
    folder = tmp_path_factory.mktemp("choice")
    settings = Settings(home=folder / "workspace", checkpoints=folder / "checkpoints", data_roots=(folder,))
    open_season(write_season(folder / "season", controls="allowed", max_cells=1000), settings)
    for name, simulated in (("real", False), ("made", True)):
        make_counts(n_perturbations=8, seed=len(name) + simulated).write_h5ad(folder / f"{name}.h5ad")
        dataset = open_dataset(folder / f"{name}.h5ad")
        build_index(dataset, register(dataset, settings, title=name, simulated=simulated) / "index")
        data = dataset.fingerprint
        split = split_from_lists(name=f"s-{name}", dataset=data, train=LABELS[:4], val=LABELS[4:6], test=LABELS[6:])
        write_split(split, settings)
        train(RunSpec(model="perturbation_mean", dataset=data, split=split.name), settings, run_id=name)
    return settings, data


@pytest.mark.slow
def test_the_seasons_targets_are_the_default(prepared: tuple[Settings, str]) -> None:
    settings, _ = prepared
    plan = PlanChoice(run="real", season="contest").make(settings)
    assert plan.cells == {f"GENE{i}@{c}": 50 for c in ("K562", "RPE1") for i in (1, 2)}
    assert (plan.practice, plan.reasons, plan.phase) == (False, (), "main")
    assert set(plan.sources) == {"K562", "RPE1"} and plan.runs == ("real",)
    assert plan.space == "counts" and plan.order == "season" and plan.n_genes == len(GENES)
    assert not plan.id.startswith("practice-")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"run": "made"}, "simulated"),
        ({"targets": "heldout"}, "none of them"),
        ({"practice": True}, "marked"),
    ],
)
def test_practice_says_why(prepared: tuple[Settings, str], change: dict, says: str) -> None:
    settings, _ = prepared
    plan = PlanChoice(**{"run": "real", "season": "contest"} | change).make(settings)
    assert plan.practice and len(plan.reasons) == 1 and says in plan.reasons[0]
    assert plan.id.startswith("practice-")


def test_other_genes_are_practice(prepared: tuple[Settings, str], tmp_path: Path) -> None:
    settings, _ = prepared
    path = tmp_path / "genes.txt"
    path.write_text("\n".join(reversed(GENES)) + "\n")
    plan = PlanChoice(run="real", season="contest", genes=path).make(settings)
    assert plan.practice and "genes" in plan.reasons[0]


def test_a_run_of_simulated_data_on_real_controls_is_practice(prepared: tuple[Settings, str]) -> None:
    settings, _ = prepared
    real = PlanChoice(run="real", season="contest").make(settings).datasets[0]
    sources = {"K562": SourceChoice(dataset=real, run="made")}
    plan = PlanChoice(run="real", season="contest", sources=sources).make(settings)
    assert plan.runs == ("made", "real") and plan.datasets == (real,)
    assert plan.practice and "simulated (made)" in plan.reasons[0]
    assert f"K562={real}:made" in PlanChoice(run="real", season="contest", sources=sources).command()


def test_a_table_of_the_seasons_targets_is_the_season(prepared: tuple[Settings, str], tmp_path: Path) -> None:
    settings, _ = prepared
    path = tmp_path / "counts.csv"
    path.write_text("target_gene,n_cells,median_umi_per_cell\nGENE1,50,90\nGENE2,50,80\n")
    plan = PlanChoice(run="real", season="contest", counts=path).make(settings)
    assert not plan.practice
    assert plan.depths == {f"GENE{i}@{c}": 100 - 10 * i for c in ("K562", "RPE1") for i in (1, 2)}
    path.write_text("target_gene,n_cells\nGENE1,50\n")
    plan = PlanChoice(run="real", season="contest", counts=path).make(settings)
    assert plan.practice and "2 are missing" in plan.reasons[0]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"space": "log1p"}, "unknown_space"),
        ({"phase": "final"}, "unknown_phase"),
        ({"season": "vcc2025"}, "gene_count"),
        ({"cells_of": {"GENE9": 3}}, "unknown_target"),
        ({"cells_of": {"GENE1": 49}}, "exact_cells"),
        ({"sources": {"A549": SourceChoice(dataset="0" * 16, run="real")}}, None),
        ({"controls": 10_000}, "bad_control_count"),
    ],
)
def test_what_cannot_be_is_refused(prepared: tuple[Settings, str], change: dict, code: str | None) -> None:
    settings, _ = prepared
    with pytest.raises((SpecError, DataError)) as error:
        PlanChoice(**{"run": "real", "season": "contest"} | change).make(settings)
    assert code is None or error.value.code == code


def test_plans_are_kept_compared_and_deleted(prepared: tuple[Settings, str]) -> None:
    settings, _ = prepared
    first = PlanChoice(run="real", season="contest", name="first").make(settings)
    second = PlanChoice(run="real", season="contest", name="second", controls=20, targets="heldout").make(settings)
    for plan in (first, second):
        write_plan(plan, settings)
    assert [plan.id for plan in list_plans(settings)] == ["first", "second"]
    table = compare_plans([first, second])
    differs = set(table["what"][table["differs"]])
    assert {"practice", "controls in each context"} <= differs and "season" not in differs
    cells = compare_cells([first, second])
    assert cells["first"].notna().sum() == cells["second"].notna().sum() == 4
    assert compare_cells([first, first.model_copy(update={"id": "again"})]).empty
    assert delete_submission("first", settings) > 0
    assert [plan.id for plan in list_plans(settings)] == ["second"]
    with refusal(DataError, "unknown_submission"):
        delete_submission("first", settings)
    shutil.move(plan_path("second", settings).parent, settings.home / "elsewhere")
    (settings.submissions / "second").symlink_to(settings.home / "elsewhere")
    with refusal(DataError, "unknown_submission"):  # a link is not followed
        delete_submission("second", settings)
    assert load_plan("second", settings) == second
    (settings.submissions / "second").unlink()


def test_limits(prepared: tuple[Settings, str]) -> None:
    settings, _ = prepared
    plan = PlanChoice(run="real", season="contest").make(settings)
    season = open_season(write_season(settings.home / "again", controls="allowed", max_cells=1000), settings)
    limits = {limit.what: limit for limit in list_limits(plan, season)}
    assert limits["Cells"].planned == plan.estimate.n_cells and limits["Cells"].kept
    assert limits["Cells of each target"].kept and limits["Genes"].kept
    fewer = plan.model_copy(update={"cells": plan.cells | {"GENE1@K562": 49}})
    assert not {limit.what: limit for limit in list_limits(fewer, season)}["Cells of each target"].kept
