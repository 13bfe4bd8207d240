"""A submission's file scored against real cells: context by context as the official scorers do, and kept."""

import json
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from custom_season import write_season
from refusals import refusal
from scored_pairs import CONTROL, as_logs, make_pair, official_2025, official_2026

from vccapp.cli import main
from vccapp.data.reading.opening import open_dataset
from vccapp.data.schema import Columns
from vccapp.errors import DataError, SpecError
from vccapp.seasons.base import Season
from vccapp.seasons.opened import open_season
from vccapp.settings import Settings
from vccapp.submission.packing.package import write_vcc
from vccapp.submission.scored import list_local_scores, score_submission

CONTEXTS = ("K562", "RPE1")
GENES = tuple(f"G{i}" for i in range(60))
NAMES_2026 = {
    "pds_cosine": "pds_cosine",
    "direction_fidelity": "de_wilcoxon_direction_fidelity_yield_raw",
    "direction_reach": "de_wilcoxon_direction_reach_raw",
    "jaccard": "de_wilcoxon_sig_jaccard",
    "lfc_nmae": "de_wilcoxon_lfc_nmae",
}


def pair_of(seed: int) -> tuple[ad.AnnData, ad.AnnData]:
    choice = {"seed": seed, "real": ["own"] * 5, "predicted": ["own"] * 7, "outside": 0, "repeats": False}
    return make_pair(choice | {"alike": True, "n_genes": 60})


def join(sides: list[ad.AnnData]) -> ad.AnnData:
    """One file of both contexts, the cells mixed."""
    for context, cells in zip(CONTEXTS, sides, strict=True):
        cells.obs["context"] = context
        cells.obs_names = [f"{context}-{i}" for i in range(cells.n_obs)]
    whole = ad.concat(sides)
    order = np.random.default_rng(0).permutation(whole.n_obs)
    whole = whole[order].copy()
    whole.X = whole.X.astype(np.float32)
    return whole


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home", data_roots=(tmp_path,))


def open_own(tmp_path: Path, settings: Settings, **fields: object) -> Season:
    shared = {"targets": ["G1", "G2", "G3", "G4", "G5"], "cells_per_target": 20, "listed": GENES}
    return open_season(write_season(tmp_path / "season", **shared | fields), settings)


def make_2026(tmp_path: Path) -> tuple[Path, Path, list[tuple[ad.AnnData, ad.AnnData]]]:
    """A file without controls, genes in another order, and the real cells."""
    pairs = [pair_of(seed) for seed in (1, 2)]
    real, predicted = (join([pair[side].copy() for pair in pairs]) for side in (0, 1))
    real.write_h5ad(tmp_path / "real.h5ad")
    only = predicted[predicted.obs["target_gene"] != CONTROL]
    only[:, np.random.default_rng(1).permutation(60)].copy().write_h5ad(tmp_path / "mine.h5ad")
    return tmp_path / "mine.h5ad", tmp_path / "real.h5ad", pairs


@pytest.mark.slow
@pytest.mark.official
def test_2026_equals_the_official_scorer_context_by_context(tmp_path: Path, settings: Settings) -> None:
    pytest.importorskip("cell_eval2", reason="cell-eval2, the official scorer of 2026, is not installed")
    season = open_own(tmp_path, settings)
    mine, real, pairs = make_2026(tmp_path)
    score = score_submission(mine, open_dataset(real), season=season, settings=settings, phase="main")
    table = pd.read_csv(score.folder / "perturbations.csv").set_index("perturbation")
    assert list(score.contexts) == list(CONTEXTS) and score.rules == "2026"
    for context, (truth, guess) in zip(CONTEXTS, pairs, strict=True):
        own = ad.concat(
            [guess[guess.obs["target_gene"] != CONTROL], truth[truth.obs["target_gene"] == CONTROL]],
            index_unique="-",
            keys=["guess", "truth"],
        )
        official = official_2026(truth, own)
        ours = table.loc[[f"{label}@{context}" for label in official.index]]
        np.testing.assert_allclose(
            ours[list(NAMES_2026)].to_numpy(float), official[list(NAMES_2026.values())].to_numpy(float), atol=1e-9
        )
        assert score.contexts[context].n_perturbations == len(official)
    assert score.means["jaccard"] == pytest.approx(np.mean([c.means["jaccard"] for c in score.contexts.values()]))


@pytest.mark.slow
@pytest.mark.official
def test_2025_equals_the_official_scorer_context_by_context(tmp_path: Path, settings: Settings) -> None:
    pytest.importorskip("cell_eval", reason="cell-eval, the official scorer of 2025, is not installed")
    season = open_own(tmp_path, settings, controls="required", spaces=["log1p"], metrics="2025")
    pairs = [tuple(as_logs(cells, per="cell") for cells in pair_of(seed)) for seed in (1, 2)]
    for side, name in enumerate(("real", "mine")):
        join([pair[side].copy() for pair in pairs]).write_h5ad(tmp_path / f"{name}.h5ad")
    score = score_submission(
        tmp_path / "mine.h5ad", open_dataset(tmp_path / "real.h5ad"), season=season, settings=settings
    )
    table = pd.read_csv(score.folder / "perturbations.csv").set_index("perturbation")
    for context, pair in zip(CONTEXTS, pairs, strict=True):
        official = official_2025(*pair, tmp_path / context)
        ours = table.loc[[f"{label}@{context}" for label in official.index], ["des", "pds", "mae"]]
        np.testing.assert_allclose(ours, official[["des", "pds", "mae"]], atol=1e-6)  # X is float32 here
    assert not score.notes


@pytest.mark.slow
def test_a_score_is_kept_with_what_made_it(tmp_path: Path, settings: Settings) -> None:
    season = open_own(tmp_path, settings)
    mine, real, _ = make_2026(tmp_path)
    first = score_submission(mine, open_dataset(real), season=season, settings=settings)
    second = score_submission(mine, open_dataset(real), season=season, settings=settings)
    assert first.folder != second.folder and first.means == second.means
    assert [score.id for score in list_local_scores(settings)] == [second.id, first.id]
    assert first.versions["vccapp"] and first.settings == {"metrics": "2026"}
    assert all("real controls stand on both sides" in note for note in first.notes) and len(first.notes) == 2
    assert len({context.n_cells["controls"] for context in first.contexts.values()}) >= 1
    (first.folder / "score.json").write_text("{")
    listed = list_local_scores(settings)
    assert [score.id for score in listed] == [second.id]
    assert [found.error.code for found in listed.unreadable] == ["record_damaged"]


@pytest.mark.slow
def test_some_targets_of_the_phase_are_said(tmp_path: Path, settings: Settings) -> None:
    season = open_own(tmp_path, settings, targets=["G1", "G2", "G3", "G4", "G5", "G9"])
    mine, real, _ = make_2026(tmp_path)
    score = score_submission(mine, open_dataset(real), season=season, settings=settings, phase="main")
    assert sum("5 of the phase's 6 targets" in note for note in score.notes) == 2


def test_what_cannot_be_compared_is_refused(tmp_path: Path, settings: Settings) -> None:
    season = open_own(tmp_path, settings)
    mine, real, _ = make_2026(tmp_path)
    truth = ad.read_h5ad(real)

    def refused(code: str, cells: ad.AnnData, **columns: str) -> None:
        cells.write_h5ad(tmp_path / "other.h5ad")
        with refusal(DataError, code):
            other = open_dataset(tmp_path / "other.h5ad", columns=Columns(**columns))
            score_submission(mine, other, season=season, settings=settings)

    refused("genes_differ", truth[:, :50].copy())
    refused("contexts_differ", truth[truth.obs["context"] == "K562"].copy())
    renamed = truth.copy()
    renamed.obs["target_gene"] = [label if label == CONTROL else f"X{label}" for label in truth.obs["target_gene"]]
    refused("perturbations_differ", renamed)
    logs = truth.copy()
    logs.X = logs.X.log1p()
    refused("needs_counts", logs)
    with refusal(SpecError, "other_season"):
        score_submission(mine, open_dataset(real), season=season, settings=settings, scorer="cell-eval")
    assert not (settings.home / "scored").exists() and not list(settings.home.glob(".*.part"))


def call(capsys: pytest.CaptureFixture, *words: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as end:
        main(["submit", "score", *words])
    return int(end.value.code or 0), *capsys.readouterr()


@pytest.mark.slow
def test_by_command(
    tmp_path: Path, settings: Settings, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VCCAPP_HOME", str(settings.home))
    season = open_own(tmp_path, settings, container="vcc2026")
    mine, real, _ = make_2026(tmp_path)
    whole = score_submission(mine, open_dataset(real), season=season, settings=settings)
    write_vcc(mine, tmp_path / "mine.vcc", season)
    words = (str(tmp_path / "mine.vcc"), "--real", str(real), "--season", "contest")
    code, out, err = call(capsys, *words, "--json")
    assert code == 0, err
    found = json.loads(out)
    assert found["means"] == pytest.approx(whole.means, nan_ok=True) and Path(found["folder"]).is_dir()
    code, out, _ = call(capsys, *words)
    assert code == 0 and "jaccard" in out and "real controls" in out
    code, _, err = call(capsys, *words[:1], "--season", "contest", "--json")
    assert code == 2 and json.loads(err.splitlines()[-1])["code"] == "no_real_cells"


@pytest.mark.slow
@pytest.mark.official
def test_the_official_tool_scores_the_file(tmp_path: Path, settings: Settings) -> None:
    pytest.importorskip("cell_eval2", reason="cell-eval2, the official scorer of 2026, is not installed")
    season = open_own(tmp_path, settings)
    mine, real, _ = make_2026(tmp_path)
    ours = score_submission(mine, open_dataset(real), season=season, settings=settings)
    official = score_submission(mine, open_dataset(real), season=season, settings=settings, scorer="cell-eval2")
    assert official.settings["preset"] == "vcc2026" and official.versions["cell-eval2"]
    for context in CONTEXTS:
        for name, other in NAMES_2026.items():
            own = official.contexts[context].means[other]
            assert own == pytest.approx(ours.contexts[context].means[name], abs=1e-9)
        assert (official.folder / context / "own" / "agg_results.csv").is_file()
