"""From plan to .vcc: on toys that show every draw, and on the demo with the real parts."""

import json
import shutil
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from refusals import refusal

from vccapp.data.schema import CONTROL
from vccapp.errors import CheckError, DataError, ResourceError, SpecError, Stopped
from vccapp.models.base import Model
from vccapp.seasons.base import SEASONS
from vccapp.submission.budget import observed_counts
from vccapp.submission.build import (
    build_from,
    build_submission,
    check_submission,
    package_file,
    package_submission,
)
from vccapp.submission.h5ad import open_cells
from vccapp.submission.making.generate import Opened, generate
from vccapp.submission.packing.archive import unpack_vcc
from vccapp.submission.packing.package import estimate_package
from vccapp.submission.plan import Plan, Source, list_plans, load_plan, write_plan
from vccapp.submission.planning.make import make_plan
from vccapp.submission.report import REPORT, list_unpackaged
from vccapp.training import cells as generation
from vccapp.training.cells import draw_controls

CHALLENGE = SEASONS["vcc2025"]
N_GENES, N_CONTROLS = 30, 90
GENES = np.array([f"G{i}" for i in range(N_GENES)])
COUNTS = pd.DataFrame({"target_gene": ["G3", "G5+G6"], "n_cells": [40, 200]})


class ToyData:
    """Controls and one perturbation, interleaved, in three uneven batches; counts are 1 to 9."""

    fingerprint = "toy0toy0toy0toy0"

    def __init__(self) -> None:
        rng = np.random.default_rng(1)
        self.x = sp.csr_matrix(rng.poisson(2, (2 * N_CONTROLS, N_GENES)).astype(np.float32))
        self.cells = pd.DataFrame(
            {
                "perturbation": pd.Categorical([CONTROL, "G1"] * N_CONTROLS),
                "guide": "all",
                "batch": pd.Categorical(np.repeat(["a", "b", "c"], [20, 40, 120])),
                "umis": np.asarray(self.x.sum(axis=1)).ravel(),
                "genes": np.diff(self.x.indptr),
            }
        )

    def read_rows(self, rows):
        return self.x[rows]


class ToyIndex:
    """log1p of the counts as they are."""

    controls, contexts = [CONTROL], []

    def __init__(self, data: ToyData) -> None:
        self.meta = {"fingerprint": data.fingerprint}
        self.genes = pd.DataFrame({"gene": GENES})
        self.cells = data.cells

    def array(self, name):
        return {"scaling": np.ones(2 * N_CONTROLS, np.float32)}[name]

    def normalise(self, block, rows):
        return block.log1p()


class ToyModel:
    """Halves the targets; keeps what it was asked."""

    cell_blocks = Model.cell_blocks

    def __init__(self) -> None:
        self.asked = []

    def cells(self, perturbation, controls):
        self.asked.append((perturbation, controls))
        scale = np.ones(N_GENES, np.float32)
        scale[[GENES.tolist().index(gene) for gene in perturbation.split("+")]] = 0.5
        return controls.multiply(scale).tocsr()


@pytest.fixture
def toy():
    data = ToyData()
    return SimpleNamespace(data=data, index=ToyIndex(data), model=ToyModel())


def opened(toy):
    return {"": Opened(toy.data, toy.index, toy.model)}


def plan_for(toy, settings, **choices) -> Plan:
    choices = {"season": CHALLENGE, "settings": settings, "practice": True} | choices
    return make_plan(toy.index, "run-1", choices.pop("counts", COUNTS), **choices)


def read(path) -> tuple[sp.csr_matrix, list[str], list[str]]:
    cells = open_cells(path, "target_gene")
    return sp.vstack([b for _, b in cells.blocks()], format="csr"), list(cells.labels), cells.genes


def test_plan(toy, settings):
    plan = plan_for(toy, settings)
    assert plan.cells == plan.wanted == {"G3": 40, "G5+G6": 200}
    assert (plan.n_controls, plan.alpha, plan.datasets, plan.n_genes) == (
        N_CONTROLS,
        1,
        (toy.data.fingerprint,),
        N_GENES,
    )
    assert plan.id.startswith("practice-run-1-")
    assert plan == plan_for(toy, settings)
    assert plan.id != plan_for(toy, settings, seed=1).id
    assert not settings.submissions.exists()
    write_plan(plan, settings)
    assert load_plan(plan.id, settings) == plan
    with refusal(DataError, "file_missing"):
        load_plan("absent", settings)


@pytest.mark.parametrize(
    ("target_sum", "advised", "says"),
    [(10_000, 12_000, "counts per 10,000"), (10_000, 50_000, "0.2 times"), (54_000, 54_100, ""), (54_000, 50_000, "")],
)
def test_plan_says_where_training_cells_are_on_another_scale(toy, settings, target_sum, advised, says):
    toy.index.meta["target_sums"] = [target_sum]
    made = plan_for(toy, settings, counts=COUNTS.assign(median_umi_per_cell=[advised, np.nan]))
    told = [note for note in made.notes if note.startswith("Training cells")]
    assert made.depth == advised
    assert len(told) == bool(says) and all(says in note and f"{advised:,}" in note for note in told)


def test_plan_scales_to_the_cap(toy, settings):
    season = CHALLENGE.model_copy(update={"max_cells": 150})
    plan = plan_for(toy, settings, season=season, n_controls=50)
    assert plan.cells == {"G3": 16, "G5+G6": 83}  # floor of 16.7 and 83.3
    assert plan.alpha == pytest.approx(99 / 240)
    assert plan.estimate.n_cells == 149


def test_estimate_is_near(toy, settings, tmp_path):
    plan = plan_for(toy, settings)
    generate(plan, opened(toy), tmp_path / "pred.h5ad")
    n_values = read(tmp_path / "pred.h5ad")[0].nnz
    assert plan.estimate.n_values == pytest.approx(n_values, rel=0.05)
    assert (tmp_path / "pred.h5ad").stat().st_size < plan.estimate.h5ad_bytes * 1.05


@pytest.mark.parametrize(
    ("choices", "says"),
    [
        ({"practice": False}, "30 genes, but Virtual Cell Challenge 2025 asks for 18,080; .* the plan as practice"),
        ({"n_controls": 0}, "have 90; choose 1"),
        ({"n_controls": 91}, "91 controls were requested, but the training data have 90"),
        ({"id": "../outside"}, "not a valid name of a submission"),
        (
            {"season": CHALLENGE.model_copy(update={"max_cells": 91}), "n_controls": 90},
            "2 perturbations .* at most 89 controls",
        ),
    ],
)
def test_plans_that_cannot_be(toy, settings, choices, says):
    with pytest.raises(SpecError, match=says):
        plan_for(toy, settings, **choices)


def test_data_without_controls(toy, settings):
    toy.index.cells = toy.index.cells[toy.index.cells["perturbation"] != CONTROL]
    with refusal(SpecError, "no_controls"):
        plan_for(toy, settings)


def test_a_name_is_used_once(toy, settings):
    write_plan(plan_for(toy, settings, id="mine"), settings)
    assert plan_for(toy, settings, id="mine").id == "mine"
    with refusal(SpecError, "plan_exists"):
        plan_for(toy, settings, id="mine", seed=1)


def test_damaged_plan(toy, settings):
    path = write_plan(plan_for(toy, settings, id="mine"), settings)
    path.write_text(json.dumps({"id": "mine"}))
    with pytest.raises(DataError) as error:
        load_plan("mine", settings)
    assert error.value.code == "record_damaged"
    assert [found.path for found in list_plans(settings).unreadable] == [path]


@pytest.mark.parametrize("header", ["", "gene_name\n"])
@pytest.mark.parametrize("order", [GENES[::-1], GENES[5:20], GENES])
def test_gene_list_decides_the_columns(toy, settings, tmp_path, order, header):
    path = tmp_path / "genes.csv"
    path.write_text(header + "\n".join(order) + "\n")
    plan = plan_for(toy, settings, genes=path)
    assert ("header row 'gene_name'" if header else "without a header row") in plan.notes[-1]
    generate(plan, opened(toy), tmp_path / "listed.h5ad")
    generate(plan_for(toy, settings), opened(toy), tmp_path / "plain.h5ad")
    x, labels, genes = read(tmp_path / "listed.h5ad")
    plain, plain_labels, _ = read(tmp_path / "plain.h5ad")
    assert genes == list(order)
    assert labels == plain_labels
    columns = [GENES.tolist().index(gene) for gene in order]
    assert np.array_equal(x.toarray(), plain.toarray()[:, columns])
    assert x.has_canonical_format


@pytest.mark.parametrize(
    ("text", "error", "says"),
    [
        ("G1\nG2\nX9\nX8\n", SpecError, "lack 2 of the 4 genes of the list, e.g. X9, X8"),
        ("G1\nG2\nG1\n", DataError, "G1 more than once"),
        ("G1\n,x\nG2\n", DataError, "an empty name in row 2"),
        ("", DataError, "no gene"),
        ("gene_name\n", DataError, "no gene"),
    ],
)
def test_bad_gene_lists(toy, settings, tmp_path, text, error, says):
    path = tmp_path / "genes.csv"
    path.write_text(text)
    with pytest.raises(error, match=says):
        plan_for(toy, settings, genes=path)


def test_generated_file(toy, settings, tmp_path):
    plan = plan_for(toy, settings)
    generate(plan, opened(toy), tmp_path / "pred.h5ad")
    x, labels, genes = read(tmp_path / "pred.h5ad")
    assert labels == [CONTROL] * N_CONTROLS + ["G3"] * 40 + ["G5+G6"] * 200
    assert genes == GENES.tolist()
    assert x.dtype == np.float32
    assert x.has_canonical_format
    assert (x.data > 0).all()
    controls = toy.data.x[::2].log1p()
    assert (x[:N_CONTROLS] != controls).nnz == 0  # all controls, in the file's order, log1p
    [(_, given), (_, doubled)] = toy.model.asked
    assert (x[N_CONTROLS : N_CONTROLS + 40] != ToyModel().cells("G3", given)).nnz == 0
    assert len(np.unique(given.toarray(), axis=0)) == 40  # none twice while there are enough
    times = np.unique(doubled.toarray(), axis=0, return_counts=True)[1]
    assert set(times) == {2, 3}  # 200 cells of 90


def test_same_seed_same_cells_whatever_else_is_planned(toy, settings, tmp_path):
    for name, choices in {"both": {}, "one": {"counts": COUNTS[1:]}, "other": {"seed": 7}}.items():
        generate(plan_for(toy, settings, **choices), opened(toy), tmp_path / name)
    both, one, other = (read(tmp_path / name)[0] for name in ("both", "one", "other"))
    assert (both[-200:] != one[-200:]).nnz == 0
    assert (both[-200:] != other[-200:]).nnz > 0


@pytest.mark.parametrize("n", [1, 2, 9, 45, 89, 90, 91, 300])
def test_draw_takes_each_batch_in_its_share(toy, n):
    controls = toy.data.cells[toy.data.cells["perturbation"] == CONTROL]
    drawn = draw_controls(controls, n, label="G3", seed=0)
    assert len(drawn) == n
    assert drawn.index.is_monotonic_increasing
    assert drawn.index.value_counts().max() == -(-n // N_CONTROLS)
    shares = controls["batch"].value_counts() * n / N_CONTROLS
    assert ((drawn["batch"].value_counts() - shares).abs() < 1).all()


def test_large_perturbations_come_in_parts(toy, settings, tmp_path, monkeypatch):
    monkeypatch.setattr(generation, "BLOCK_VALUES", 1000)
    monkeypatch.setattr(generation, "READ_VALUES", 300)
    generate(plan_for(toy, settings), opened(toy), tmp_path / "parts")
    parts = [controls for label, controls in toy.model.asked if label == "G5+G6"]
    assert len(parts) > 3
    assert sum(part.shape[0] for part in parts) == 200
    assert max(part.nnz for part in parts) < 1200
    monkeypatch.undo()
    generate(plan_for(toy, settings), opened(toy), tmp_path / "whole")
    assert (read(tmp_path / "parts")[0] != read(tmp_path / "whole")[0]).nnz == 0


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda x: x * np.float32(np.nan), "from nan to nan"),
        (lambda x: x * np.float32(-1), "from -"),
        (lambda x: x[:-1], "39 x 30 values .* wanted 40 x 30"),
    ],
)
def test_a_model_that_makes_bad_cells(toy, settings, tmp_path, spoil, says):
    toy.model.cells = lambda perturbation, controls: spoil(controls)
    with refusal(SpecError, "bad_cells"):
        generate(plan_for(toy, settings), opened(toy), tmp_path / "pred.h5ad")


def test_plan_of_other_data(toy, settings, tmp_path):
    plan = plan_for(toy, settings).model_copy(update={"sources": {"": Source(dataset="other", run="done")}})
    with refusal(SpecError, "data_changed"):
        generate(plan, opened(toy), tmp_path / "pred.h5ad")


def build_toy(toy, settings, plan=None, **more):
    plan = plan_for(toy, settings, id="mine") if plan is None else plan
    return build_from(plan, opened(toy), settings=settings, **more)


def test_build(toy, settings, tmp_path):
    report = build_toy(toy, settings)
    folder = settings.submissions / "mine"
    kept = ["made.json", "mine.vcc", "plan.json", "pred.h5ad", "report.json"]
    assert sorted(p.name for p in folder.iterdir()) == kept
    assert REPORT.stamp(report) == json.loads((folder / "report.json").read_text())
    assert (report["kind"], report["runs"], report["datasets"]) == ("PRACTICE", ["run-1"], [toy.data.fingerprint])
    assert report["cells"] == {CONTROL: 90, "G3": 40, "G5+G6": 200}
    assert report["package"]["path"] == "mine.vcc"
    assert report["package"]["size"] == (folder / "mine.vcc").stat().st_size
    assert {check["status"] for check in report["checks"]} == {"ok", "skipped", "warning"}
    assert (
        unpack_vcc(folder / "mine.vcc", tmp_path / "x", CHALLENGE).read_bytes() == (folder / "pred.h5ad").read_bytes()
    )


def test_building_again_gives_the_same_bytes(toy, settings):
    first = build_toy(toy, settings)["package"]
    assert build_toy(toy, settings)["package"] == first


def test_a_failed_check_keeps_the_cells_and_packages_nothing(toy, settings):
    build_toy(toy, settings)
    toy.model.cells = lambda perturbation, controls: controls.multiply(40).tocsr()
    with refusal(CheckError, "checks_failed"):
        build_toy(toy, settings)
    folder = settings.submissions / "mine"
    assert sorted(p.name for p in folder.iterdir()) == ["made.json", "plan.json", "pred.h5ad", "report.json"]
    report = json.loads((folder / "report.json").read_text())
    assert report["package"] is None
    assert [c["name"] for c in report["checks"] if c["status"] == "failed"] == ["value_range"]


def test_not_practice_fails_on_other_genes(toy, settings):
    plan = plan_for(toy, settings).model_copy(update={"practice": False})
    with refusal(CheckError, "checks_failed"):
        build_toy(toy, settings, plan)


def test_full_disk_is_said_before_anything_is_written(toy, settings, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda folder: shutil._ntuple_diskusage(10, 0, 10))
    with refusal(ResourceError, "disk"):
        build_toy(toy, settings)
    assert list((settings.submissions / "mine").iterdir()) == []


def test_cells_that_are_made_can_be_packaged(toy, settings, monkeypatch):
    whole = build_toy(toy, settings)
    folder = settings.submissions / "mine"
    vcc = (folder / "mine.vcc").read_bytes()
    assert list_unpackaged(settings) == []
    for name in ("mine.vcc", "report.json"):
        (folder / name).unlink()
    [plan] = list_unpackaged(settings)
    monkeypatch.setattr("vccapp.submission.build.load_index", lambda path: toy.index)
    again = package_submission(plan, settings)
    assert (folder / "mine.vcc").read_bytes() == vcc and again["package"] == whole["package"]
    assert list_unpackaged(settings) == []
    (folder / "pred.h5ad").unlink()
    with refusal(DataError, "no_cells_made"):
        package_submission(plan, settings)


def test_a_file_made_elsewhere_is_checked_and_packaged(toy, settings, tmp_path):
    build_toy(toy, settings)
    folder = settings.submissions / "mine"
    h5ad, out = tmp_path / "cells.h5ad", tmp_path / "out.vcc"
    h5ad.write_bytes((folder / "pred.h5ad").read_bytes())
    with refusal(CheckError, "checks_failed"):
        package_file(h5ad, out, CHALLENGE, genes=GENES.tolist())
    assert not out.exists()
    checks, package = package_file(h5ad, out, CHALLENGE, genes=GENES.tolist(), practice=True)
    assert out.read_bytes() == (folder / "mine.vcc").read_bytes() and package.path == out
    assert "failed" not in {check.status for check in checks}
    with refusal(SpecError, "output_exists"):
        package_file(h5ad, out, CHALLENGE, genes=GENES.tolist(), practice=True)


@pytest.mark.parametrize(("room", "built"), [(10_000, True), (-10_000, False)])
def test_an_earlier_build_makes_room_for_the_same_again(toy, settings, monkeypatch, room, built):
    first = build_toy(toy, settings)["package"]
    folder = settings.submissions / "mine"
    disk = load_plan("mine", settings).estimate.disk_bytes + room

    def usage(_):
        return shutil._ntuple_diskusage(disk, 0, disk - sum(path.stat().st_size for path in folder.iterdir()))

    monkeypatch.setattr("shutil.disk_usage", usage)
    if built:
        assert build_toy(toy, settings)["package"] == first
    else:
        with refusal(ResourceError, "disk"):
            build_toy(toy, settings)
        assert (folder / "mine.vcc").exists()


def test_packaging_asks_for_no_more_than_the_build_did(toy, settings):
    estimate = plan_for(toy, settings).estimate
    assert estimate.disk_bytes == estimate.h5ad_bytes + estimate_package(estimate.h5ad_bytes)


def test_stopping_leaves_only_the_plan(toy, settings):
    def stop(fraction, message=""):
        if fraction > 0.3:
            raise Stopped

    with pytest.raises(Stopped):
        build_toy(toy, settings, progress=stop)
    assert [p.name for p in (settings.submissions / "mine").iterdir()] == ["plan.json"]


def test_check_submission(toy, settings, tmp_path):
    build_toy(toy, settings)
    folder = settings.submissions / "mine"
    wanted = dict(zip(COUNTS["target_gene"], COUNTS["n_cells"], strict=True))
    choices = {"genes": GENES.tolist(), "wanted": wanted, "practice": True}
    of_h5ad = check_submission(folder / "pred.h5ad", CHALLENGE, **choices)
    of_vcc = check_submission(folder / "mine.vcc", CHALLENGE, **choices)
    assert of_vcc[0].name == "archive"
    assert of_vcc[1:] == of_h5ad
    assert "failed" not in {result.status for result in of_h5ad}
    strict = check_submission(folder / "pred.h5ad", CHALLENGE, **choices | {"practice": False})
    assert [result.name for result in strict if result.status == "failed"] == ["gene_list", "perturbations"]
    (tmp_path / "bad.vcc").write_bytes((folder / "pred.h5ad").read_bytes())
    with refusal(CheckError, "not_tar"):
        check_submission(tmp_path / "bad.vcc", CHALLENGE)


@pytest.mark.slow
def test_whole_path_on_the_demo(settings):
    from vccapp.data.reading.opening import open_dataset
    from vccapp.data.simulation.demo import write_demo
    from vccapp.data.splits.split import make_split, write_split
    from vccapp.data.workspace import register
    from vccapp.stats.building.build import build_index
    from vccapp.stats.index import load_index
    from vccapp.training.record import RunSpec, load_run
    from vccapp.training.run import train

    dataset = open_dataset(write_demo(settings))
    register(dataset, settings, title="demo", simulated=True)
    folder = settings.datasets / dataset.fingerprint / "index"
    build_index(dataset, folder)
    index = load_index(folder)
    split = make_split(index.labels[1:], name="s", dataset=dataset.fingerprint)
    write_split(split, settings)
    train(RunSpec(model="knockdown_mean", dataset=dataset.fingerprint, split="s"), settings, run_id="r")
    counts = observed_counts(index.perturbations, split.test)
    plan = make_plan(index, "r", counts, season=CHALLENGE, settings=settings, practice=True)
    messages = []
    report = build_submission(
        plan, settings, progress=lambda fraction, message="": messages.append((fraction, message))
    )
    assert report["kind"] == "PRACTICE"
    told = load_run("r", settings).confidence
    assert report["confidence"] == {label: told[label] for label in plan.cells} and None not in told.values()
    statuses = {check["name"]: check["status"] for check in report["checks"]}
    assert {name for name, status in statuses.items() if status == "warning"} == {
        "gene_list",
        "mode_collapse",
        "perturbations",
    }
    assert "failed" not in statuses.values()
    assert [f for f, _ in messages] == sorted(f for f, _ in messages)
    assert messages[-1][0] == 1
    x, labels, _ = read(settings.submissions / plan.id / "pred.h5ad")
    for label in split.test:
        rows = np.array([found == label for found in labels])
        assert rows.sum() == plan.wanted[label]
        target = index.gene_position[label]
        assert x[rows][:, target].mean() < index.control_mean[target]
