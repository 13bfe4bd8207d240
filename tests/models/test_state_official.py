"""Runs of STATE's official program, with a stand-in for it: what it is given, what becomes of what it writes."""

import json
import os
import pickle
import re
import shutil
import zipfile
from pathlib import Path

import anndata
import h5py
import numpy as np
import pandas as pd
import psutil
import pytest
from fake_state import shift_of, write_environment
from refusals import refusal
from scipy.sparse import csr_matrix
from toy import make_counts

from vccapp.data.reading.opening import open_dataset
from vccapp.data.schema import CONTROL
from vccapp.data.splits.split import split_from_lists, write_split
from vccapp.data.workspace import register
from vccapp.errors import DataError, JobError, ResourceError, SpecError, Stopped
from vccapp.models.base import load_model, make_model
from vccapp.models.state_official import StateOfficial
from vccapp.neural.arc_state import process
from vccapp.seasons.base import SEASONS
from vccapp.settings import Settings
from vccapp.stats.building.build import build_index
from vccapp.stats.index import load_index
from vccapp.submission.build import build_submission
from vccapp.submission.packing.archive import unpack_vcc
from vccapp.submission.plan import write_plan
from vccapp.submission.planning.make import make_plan
from vccapp.training import RunRecord, RunSpec, check_run, load_run, resume, train
from vccapp.training.metrics_log import read_metrics

LABELS = [f"GENE{i}" for i in range(8)]
TRAIN, VAL, TEST = LABELS[:5], LABELS[5:6], LABELS[6:]
SMALL = {"steps": 10, "genes": 30, "cells": 12, "validate_every": 2, "embedding": "expression"}

REAL = {"steps": 20, "validate_every": 4, "batch_size": 2, "set_size": 16} | {
    "overrides": "model.kwargs.hidden_dim=64 model.kwargs.n_encoder_layers=2 model.kwargs.n_decoder_layers=2 "
    "model.kwargs.transformer_backbone_kwargs.intermediate_size=128 "
    "model.kwargs.transformer_backbone_kwargs.num_hidden_layers=2 "
    "model.kwargs.transformer_backbone_kwargs.num_attention_heads=4 "
    "model.kwargs.transformer_backbone_kwargs.num_key_value_heads=4 "
    "model.kwargs.transformer_backbone_kwargs.head_dim=16"
}
"""A network that the real program trains in seconds."""


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    folder = tmp_path_factory.mktemp("official")
    settings = Settings(home=folder / "workspace", checkpoints=folder / "checkpoints", data_roots=(folder,))
    make_counts(n_cells=300, n_perturbations=8).write_h5ad(folder / "toy.h5ad")
    dataset = open_dataset(folder / "toy.h5ad")
    build_index(dataset, register(dataset, settings) / "index")
    for name, val in {"s": VAL, "no_val": []}.items():
        split = split_from_lists(name=name, dataset=dataset.fingerprint, train=TRAIN, val=val, test=TEST)
        write_split(split, settings)
    write_environment(folder / "environment")
    return settings


@pytest.fixture
def settings(workspace: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """With the stand-in, which is found by the environment, as in a job."""
    program = str(workspace.data_roots[0] / "environment")
    monkeypatch.setenv("VCCAPP_STATE", program)
    monkeypatch.setattr(process, "POLL_SECONDS", 0.02)
    return workspace.model_copy(update={"checkpoints": tmp_path / "checkpoints", "state": program})


def spec_of(settings: Settings, *, split: str = "s", **params: object) -> RunSpec:
    [fingerprint] = [path.name for path in settings.datasets.iterdir()]
    return RunSpec(model="state_official", params=SMALL | params, dataset=fingerprint, split=split)


def train_one(settings: Settings, **params: object) -> RunRecord:
    return load_run(train(spec_of(settings, **params), settings, run_id="r").name, settings)


def stop_at(step: int) -> object:
    """A progress that asks for a stop once so many steps are done, which the program waits for."""

    def progress(_: float, message: str = "") -> None:
        if f"step {step} of" in message:
            assert children()
            raise Stopped

    return progress


@pytest.mark.slow
def test_the_program_never_has_a_cell_of_a_test_perturbation(settings: Settings) -> None:
    run = train_one(settings)
    seen = json.loads((run.folder / "model/official/seen.json").read_text())
    assert set(seen["labels"]) == {CONTROL, *TRAIN, *VAL}
    counts = load_index(settings.index_of(run.spec.dataset)).perturbations.set_index("perturbation")["n_cells"]
    assert seen["labels"] == {label: counts[label] for label in seen["labels"]}
    split = (run.folder / "model/official/split.toml").read_text()
    assert all(f'"{label}"' in split for label in [*VAL, *TEST])
    assert not any(f'"{label}"' in split for label in TRAIN)


@pytest.mark.slow
@pytest.mark.parametrize("genes", [30, 0])
def test_predicted_cells_are_those_that_the_program_wrote(settings: Settings, genes: int) -> None:
    run = train_one(settings, genes=genes)
    assert run.state == "finished"
    index = load_index(settings.index_of(run.spec.dataset))
    model = load_model(run.folder / "model")
    assert isinstance(model, StateOfficial)
    known = model.present
    assert known.sum() == json.loads((run.folder / "model/official/seen.json").read_text())["shape"][1]
    assert known.all() == (genes == 0)
    control = index.means([CONTROL])[0]
    for part, labels in {"val": VAL, "test": TEST}.items():
        found, deltas = run.prediction(part)
        assert found == labels
        for label, delta in zip(labels, deltas, strict=True):
            assert np.allclose(delta[known], shift_of(label), atol=1e-4)
            assert (delta[~known] == 0).all()
            cells = model.cells(label, csr_matrix(np.full((12, len(control)), 0.25, np.float32))).toarray()
            assert np.allclose(cells[:, known], control[known] + shift_of(label), atol=1e-4)
            assert (cells[:, ~known] == 0.25).all()
            assert model.available_cells(label) == 12


@pytest.mark.slow
def test_losses_are_logged_and_what_it_wrote_is_kept(settings: Settings) -> None:
    run = train_one(settings)
    log = read_metrics(run.folder)
    assert log[log["name"] == "loss"]["step"].tolist() == list(range(1, 11))
    assert log[log["name"] == "val_loss"]["value"].tolist() == pytest.approx([11 / n for n in (2, 4, 6, 8, 10)])
    kept = run.folder / "model/official"
    assert {path.name for path in (kept / "checkpoints").iterdir()} == {"final.ckpt"}
    assert "tx train" in (kept / "log.txt").read_text()
    assert not (run.folder / "checkpoint").exists()
    assert load_model(run.folder / "model").official["versions"]["arc-state"] == "0.11.1"


@pytest.mark.slow
def test_a_stopped_training_goes_on_from_its_last_checkpoint(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_STATE_WAITS", "5")
    with pytest.raises(Stopped):
        train(spec_of(settings), settings, run_id="r", progress=stop_at(5))
    assert load_run("r", settings).state == "stopped"
    assert not children()
    monkeypatch.delenv("FAKE_STATE_WAITS")
    resume("r", settings)
    run = load_run("r", settings)
    assert run.state == "finished"
    assert "going on at 6" in (run.folder / "model/official/log.txt").read_text()
    log = read_metrics(run.folder)
    assert log[log["name"] == "loss"]["step"].tolist() == list(range(1, 11))
    assert (run.folder / "model/official/checkpoints/final.ckpt").read_text() == "10"


@pytest.mark.slow
@pytest.mark.parametrize(("before", "from_step"), [("best.ckpt", 4), (None, 0)])
def test_a_checkpoint_that_was_cut_short_is_not_gone_on_from(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, before: str | None, from_step: int
) -> None:
    monkeypatch.setenv("FAKE_STATE_WAITS", "5")
    with pytest.raises(Stopped):
        train(spec_of(settings), settings, run_id="r", progress=stop_at(5))
    last = settings.checkpoints / "r/checkpoint/official/run/checkpoints/last.ckpt"
    if before is not None:
        with zipfile.ZipFile(last.with_name(before), "w") as archive:
            archive.writestr("step", str(from_step))
    last.write_bytes(last.read_bytes()[:20])
    monkeypatch.delenv("FAKE_STATE_WAITS")
    resume("r", settings)
    run = load_run("r", settings)
    assert run.state == "finished"
    assert f"going on at {from_step}" in (run.folder / "model/official/log.txt").read_text()


@pytest.mark.slow
def test_what_a_stopped_program_left_as_its_end_is_not_taken_for_one(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_STATE_WAITS", "5")
    with pytest.raises(Stopped):
        train(spec_of(settings), settings, run_id="r", progress=stop_at(5))
    left = settings.checkpoints / "r/checkpoint/official/run/checkpoints/final.ckpt"
    left.write_text("5")
    monkeypatch.delenv("FAKE_STATE_WAITS")
    resume("r", settings)
    assert (settings.checkpoints / "r/model/official/checkpoints/final.ckpt").read_text() == "10"


@pytest.mark.slow
def test_a_trained_network_is_not_trained_again(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_STATE", "infer")
    with refusal(JobError, "state_failed"):
        train(spec_of(settings), settings, run_id="r")
    monkeypatch.delenv("FAKE_STATE")
    resume("r", settings)
    assert load_run("r", settings).state == "finished"
    assert (settings.checkpoints / "r/model/official/log.txt").read_text().count("tx train") == 1


@pytest.mark.slow
def test_a_program_that_does_not_listen_is_killed(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_STATE", "hang")
    monkeypatch.setenv("FAKE_STATE_WAITS", "2")
    monkeypatch.setattr(process, "GRACE_SECONDS", 0.2)
    with pytest.raises(Stopped):
        train(spec_of(settings, steps=10_000), settings, run_id="r", progress=stop_at(2))
    assert not children()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "kind", "code"),
    [
        ("fail", JobError, "state_failed"),
        ("infer", JobError, "state_failed"),
        ("memory", ResourceError, "memory"),
        ("disk", ResourceError, "disk"),
        ("kill", JobError, "state_killed"),
        ("no_checkpoint", JobError, "state_no_checkpoint"),
        ("nan", JobError, "state_nan"),
        ("short", JobError, "state_output"),
    ],
)
def test_failures_are_told_by_their_cause(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, how: str, kind: type[JobError], code: str
) -> None:
    monkeypatch.setenv("FAKE_STATE", how)
    with refusal(kind, code) as caught:
        train(spec_of(settings), settings, run_id="r")
    run = load_run("r", settings)
    assert (run.state, run.reason) == ("failed", str(caught.value))
    if how == "fail":
        assert "the cells are not what they were" in run.reason


def test_what_the_program_cannot_know_is_refused_at_once(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for params, kind, code in (
        ({"split": "no_val"}, SpecError, "needs_val"),
        ({"embedding": "one-hot"}, SpecError, "no_vector"),
        ({"overrides": "model.kwargs.init_from=/tmp/other.ckpt"}, SpecError, "bad_override"),
        ({"overrides": "model.kwargs.init_from=other"}, SpecError, "override_taken"),
        ({"overrides": "data.kwargs.toml_config_path=other"}, SpecError, "override_taken"),
        ({"overrides": "training.lr=${oc.env:HOME}"}, SpecError, "bad_override"),
        ({"folder": str(tmp_path)}, SpecError, "untrusted_checkpoint"),
        ({"folder": str(tmp_path), "trusted": True}, DataError, "not_a_state_folder"),
        ({"targets": str(tmp_path / "none.csv")}, DataError, "file_missing"),
    ):
        with refusal(kind, code):
            check_run(spec_of(settings, **params), settings)
    monkeypatch.setenv("VCCAPP_STATE", str(tmp_path / "none"))
    with refusal(SpecError, "state_missing"):
        check_run(spec_of(settings), settings)
    monkeypatch.delenv("VCCAPP_STATE")
    monkeypatch.setenv("VCCAPP_HOME", str(tmp_path))
    with refusal(SpecError, "state_missing"):
        check_run(spec_of(settings), settings)


@pytest.mark.slow
def test_further_targets_are_predicted_too(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "more.csv").write_text("target_gene,n_cells,median_umi_per_cell\nGENE20,10,100\nGENE6,10,100\n")
    run = train_one(settings, targets=str(tmp_path / "more.csv"))
    model = load_model(run.folder / "model")
    assert model.available_cells("GENE20") == 12
    assert np.allclose(model.predict(["GENE20"])[0][model.present], shift_of("GENE20"), atol=1e-4)
    assert model.available_cells("GENE30") == 0


@pytest.mark.slow
def test_a_folder_is_opened_without_training(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    first = train_one(settings)
    folder = settings.checkpoints / "first_run"
    shutil.copytree(first.folder / "model/official", folder)
    monkeypatch.setenv("FAKE_STATE", "fail")  # of a training alone
    opened = train(spec_of(settings, folder=str(folder), trusted=True), settings, run_id="opened")
    run = load_run(opened.name, settings)
    assert np.allclose(run.prediction("test")[1], first.prediction("test")[1], atol=1e-6)
    model = load_model(run.folder / "model")
    assert model.trained_on == ()
    assert not (run.folder / "model/official").exists()
    (folder / "config.yaml").write_text((folder / "config.yaml").read_text().replace('"X_hvg"', '"X_state"'))
    with refusal(DataError, "needs_expression"):
        train(spec_of(settings, folder=str(folder), trusted=True), settings, run_id="other")


@pytest.mark.slow
def test_what_a_network_does_not_know_is_not_judged(settings: Settings) -> None:
    """The program would take it for a control and say nothing."""
    folder = settings.checkpoints / "first_run"
    shutil.copytree(train_one(settings).folder / "model/official", folder)
    known = pickle.dumps(dict.fromkeys((CONTROL, *VAL, TEST[0])))
    (folder / "pert_onehot_map.pt").write_bytes(known)  # as the stand-in has it
    run = load_run(train(spec_of(settings, folder=str(folder), trusted=True), settings, run_id="o").name, settings)
    assert run.prediction("test")[0] == [TEST[0]]
    assert run.metrics["test"]


@pytest.mark.slow
def test_its_cells_become_a_vcc(settings: Settings, tmp_path: Path) -> None:
    run = train_one(settings)
    index = load_index(settings.index_of(run.spec.dataset))
    counts = pd.DataFrame({"target_gene": TEST, "n_cells": [12, 7]})
    season = SEASONS["vcc2025"]
    plan = make_plan(index, run.id, counts, season=season, settings=settings, practice=True, id="one")
    write_plan(plan, settings)
    report = build_submission(plan, settings)
    assert report["runs"] == [run.id] and report["cells"] == {CONTROL: plan.n_controls, TEST[0]: 12, TEST[1]: 7}
    cells = anndata.read_h5ad(unpack_vcc(settings.submissions / "one" / "one.vcc", tmp_path / "x", season))
    known = load_model(run.folder / "model").present
    assert known.sum() == SMALL["genes"] and not known.all()
    for label in TEST:
        own = cells[cells.obs["target_gene"] == label].X.toarray()
        assert np.allclose(own[:, known], index.means([CONTROL])[0][known] + shift_of(label), atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(("n_cells", "repeated"), [(13, True), (12, False)])
def test_cells_that_a_plan_repeats_are_told(settings: Settings, n_cells: int, repeated: bool) -> None:
    run = train_one(settings)
    index = load_index(settings.index_of(run.spec.dataset))
    counts = pd.DataFrame({"target_gene": TEST, "n_cells": [n_cells, 7]})
    plan = make_plan(index, run.id, counts, season=SEASONS["vcc2025"], settings=settings, practice=True)
    told = [note for note in plan.notes if f"{TEST[0]} (12 of 13)" in note]
    assert bool(told) == repeated and not any(TEST[1] in note for note in plan.notes)


def test_an_estimate_counts_the_weights_of_the_package() -> None:
    """Those that arc-state 0.11.1 says of its configurations: 55.8 and, with all genes, 159 million."""
    from vccapp.neural.arc_state.size import SIZES

    small = SIZES["state_sm"]
    assert small.count_weights(2000, 41, bottleneck=False)[1] == pytest.approx(55.8e6, rel=0.01)
    assert small.count_weights(18_080, 41, bottleneck=True)[1] == pytest.approx(159e6, rel=0.02)


def test_the_estimate_and_the_commands_are_told_before(settings: Settings) -> None:
    index, split, model = check_run(spec_of(settings), settings)
    assert isinstance(model, StateOfficial)
    estimate = model.estimate(index, split, memory_bytes=settings.memory_bytes)
    assert estimate.memory_bytes > 1.8e9
    train_words, infer_words = model.commands("state", seed=2**40 + 3)
    assert train_words[:3] == ["state", "tx", "train"]
    assert {"training.max_steps=10", "training.train_seed=3", "use_wandb=false", "model=state_sm"} <= set(train_words)
    assert infer_words[:3] == ["state", "tx", "infer"]
    assert len(make_model("state_official", {"folder": "x"}).commands("state")) == 1


@pytest.mark.slow
def test_values_that_it_reads_are_those_of_the_index(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_STATE_WAITS", "2")
    with pytest.raises(Stopped):
        train(spec_of(settings), settings, run_id="r", progress=stop_at(2))
    index = load_index(settings.index_of(spec_of(settings).dataset))
    with h5py.File(settings.checkpoints / "r/checkpoint/official/cells.h5ad") as file:
        genes = file["var/gene_name"].asstr()[:]
        values = file["obsm/X_hvg"][:]
        rows = np.flatnonzero(index.cells["perturbation"].isin([CONTROL, *TRAIN, *VAL]).to_numpy())
        found = index.cell_values(rows)[[index.gene_position[gene] for gene in genes]].T
        assert np.allclose(values, found, atol=1e-6)
        codes, names = file["obs/target_gene/codes"][:], file["obs/target_gene/categories"].asstr()[:]
        assert (names[codes] == index.cells["perturbation"].astype(str).to_numpy()[rows]).all()


@pytest.mark.slow
def test_the_real_program_is_stopped_resumed_predicted_and_packaged(
    workspace: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = os.environ.get("VCCAPP_STATE")
    if not program:
        pytest.skip("VCCAPP_STATE names no environment with arc-state (`vccapp state install` makes one)")
    settings = workspace.model_copy(update={"checkpoints": tmp_path / "checkpoints", "state": program})

    def stop(_: float, message: str = "") -> None:
        if (found := re.search(r"step (\d+) of", message)) and int(found[1]) >= 6:
            assert children()
            raise Stopped

    spec = spec_of(settings, **REAL)
    with pytest.raises(Stopped):
        train(spec, settings, run_id="r", progress=stop)
    assert load_run("r", settings).state == "stopped" and not children()
    resume("r", settings)
    run = load_run("r", settings)
    assert run.state == "finished"
    log = read_metrics(run.folder)
    assert log[log["name"] == "loss"]["step"].tolist() == list(range(1, 21))
    found, deltas = run.prediction("test")
    assert found == TEST and np.isfinite(deltas).all() and np.abs(deltas).max() > 0
    index = load_index(settings.index_of(spec.dataset))
    counts = pd.DataFrame({"target_gene": TEST, "n_cells": [12, 7]})
    season = SEASONS["vcc2025"]
    plan = make_plan(index, run.id, counts, season=season, settings=settings, practice=True, id="real")
    write_plan(plan, settings)
    assert build_submission(plan, settings)["package"]["path"] == "real.vcc"


def children() -> list[psutil.Process]:
    """Programs that this process has started and that have not ended; one that is only not waited for has."""
    found = []
    for child in psutil.Process().children(recursive=True):
        try:
            words = " ".join(child.cmdline())
        except psutil.NoSuchProcess:  # a zombie too
            continue
        if "fake_state" in words or "bin/state" in words:
            found.append(child)
    return found
