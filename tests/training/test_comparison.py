"""Finished runs compared: common perturbations, stored and computed scores, and what is refused."""

import pandas as pd
import pytest
from toy import make_counts

from vccapp.cli import main
from vccapp.data.reading.opening import open_dataset
from vccapp.data.splits.split import split_from_lists, write_split
from vccapp.data.workspace import register
from vccapp.errors import SpecError
from vccapp.jobs.keeping.launch import environment
from vccapp.references import FLOORS, LIMITS, PERFECT
from vccapp.settings import Settings
from vccapp.stats.building.build import build_index
from vccapp.training import RunSpec, load_run, train
from vccapp.training.comparison import compare_runs, open_comparison


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Runs a and b on splits that share the test perturbation GENE3, c on one that shares none with a."""
    folder = tmp_path_factory.mktemp("comparison")
    settings = Settings(home=folder / "workspace", checkpoints=folder / "checkpoints", data_roots=(folder,))
    make_counts(n_cells=600, n_perturbations=8).write_h5ad(folder / "toy.h5ad")
    dataset = open_dataset(folder / "toy.h5ad")
    build_index(dataset, register(dataset, settings) / "index")
    labels = [f"GENE{i}" for i in range(8)]
    for run, model, test in (
        ("a", "knockdown_mean", labels[:4]),
        ("b", "knockdown_mean", labels[3:5]),
        ("c", "perturbation_mean", labels[5:7]),
    ):
        learnt = [label for label in labels if label not in test]
        split = split_from_lists(name=run, dataset=dataset.fingerprint, train=learnt, val=[], test=test)
        write_split(split, settings)
        train(RunSpec(model=model, dataset=dataset.fingerprint, split=run), settings, run_id=run)
    return settings


@pytest.mark.slow
def test_runs_are_compared_on_what_all_of_them_predict(settings: Settings) -> None:
    comparison = open_comparison(["a", "b"], settings)
    assert comparison.labels == ("GENE3",)
    assert [own.name for own in comparison.runs] == ["Knock-down mean · a", "Knock-down mean · b"]
    assert [own.key for own in comparison.baselines] == list(FLOORS)
    assert comparison.floor is comparison.find(FLOORS[-1])
    for own in comparison.predictions:
        assert own.labels == comparison.labels
    assert not comparison.stored and not any(comparison.stored_means.values())
    assert comparison.scores("a").equals(comparison.scores("a", *comparison.scores("a").columns[2:]))


def test_stored_scores_are_those_that_would_be_computed(settings: Settings) -> None:
    comparison = open_comparison(["a"], settings)
    assert set(comparison.stored) == {"a", *FLOORS, *LIMITS}
    for key, stored in comparison.stored.items():
        assert comparison.scores(key) is stored
        computed = comparison._compute_scores(key, tuple(stored.columns[2:]))
        pd.testing.assert_frame_equal(computed, stored.reset_index(drop=True), check_dtype=False)


def test_what_is_computed_is_kept(settings: Settings) -> None:
    comparison = open_comparison(["a", "b"], settings)
    assert comparison.scores(PERFECT, "mae") is comparison.scores(PERFECT, "mae")


def test_runs_that_share_nothing_are_refused_with_a_sentence(settings: Settings) -> None:
    with pytest.raises(SpecError) as error:
        open_comparison(["a", "c"], settings)
    assert error.value.code == "nothing_in_common"
    index = open_comparison(["a"], settings).index
    assert compare_runs(index, [load_run(run, settings) for run in ("a", "c")]).labels == ()


def test_cells_were_not_scored(settings: Settings) -> None:
    comparison = open_comparison(["a"], settings)
    assert comparison.read_cell_scores("a") is None
    assert comparison.read_cell_scores(FLOORS[0]) is None


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["confusion", "--run", "a", "--shown", "b"], "'b' is not part of this comparison"),
        (["genes", "--run", "a", "--perturbation", "GENE7"], "Not every run predicts GENE7"),
        (["agreement", "--run", "a", "--perturbations", "GENE0,NONE"], "NONE"),
        (["agreement", "--run", "a", "--genes", "NONE"], "No gene of the dataset is chosen"),
        (["agreement", "--run", "a", "--gene-set", "ONE"], "needs a .gmt file"),
        (["heatmap", "--run", "a", "--gmt", "/none.gmt", "--gene-set", "ONE"], "does not exist"),
        (["scores", "--run", "a", "--metric", "des"], "no metric 'des'"),
        (["overlap", "--run", "a", "--table", "none"], "no table 'none'"),
        (["difference", "--run", "a", "--part", "val"], "no perturbation in common in the val part"),
        (["diagnose", "--run", "a", "--run", "b"], "Cells can be generated for one run only"),
        (["metric", "none"], "no metric none"),
        (["leaderboard", "--search", "nothing such"], "No run has scores"),
        (["leaderboard", "--reference", "none"], "not on the leaderboard"),
        (["leaderboard", "--scale", "clipped"], "are not clipped"),
    ],
)
def test_a_wrong_choice_of_a_view_is_one_sentence(
    words: list[str],
    found: str,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    for name, value in environment(settings).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as end:
        main(["eval", *words])
    printed = capsys.readouterr()
    assert end.value.code == 2 and printed.out == ""
    [sentence] = printed.err.splitlines()
    assert found in sentence
