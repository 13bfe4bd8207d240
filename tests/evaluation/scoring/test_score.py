"""Scores from pseudobulks equal scipy's and naive ones; sides hold what they say; what is undefined is NaN, quietly."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
from refusals import refusal
from scipy.stats import pearsonr, rankdata, spearmanr
from toy import make_counts
from toy_index import ToyIndex

from vccapp.data.reading.opening import open_dataset
from vccapp.errors import SpecError
from vccapp.evaluation.metrics import METRICS
from vccapp.evaluation.profiles import predicted_profiles, real_profiles
from vccapp.evaluation.scoring.score import compute_metrics, summarise
from vccapp.stats.building.build import build_index
from vccapp.stats.halves import half_deltas
from vccapp.stats.index import load_index

GENES = [f"G{i}" for i in range(120)]
LABELS = ["C", "A", "B", "G5"]


@pytest.fixture
def index() -> ToyIndex:
    return ToyIndex(LABELS, GENES)


def noisy(index: ToyIndex, labels: list[str], *, seed: int = 1) -> np.ndarray:
    """Real deltas with noise, rounded so that there are ties for the ranks."""
    noise = np.random.default_rng(seed).normal(0, 0.3, (len(labels), len(GENES))).astype(np.float32)
    return (index.deltas(labels) + noise).round(1)


def test_correlations_and_errors_equal_scipy(index: ToyIndex) -> None:
    deltas = noisy(index, LABELS)
    frame = compute_metrics(real_profiles(index, LABELS), predicted_profiles(index, deltas, LABELS))
    assert frame["perturbation"].tolist() == sorted(LABELS)
    frame = frame.set_index("perturbation")
    for label, predicted in zip(LABELS, deltas.astype(float), strict=True):
        real, row = index.delta(label).astype(float), frame.loc[label]
        predicted = (predicted + index.control_mean) - index.control_mean
        near = {"abs": 1e-6}  # the toy's deltas are rounded to float32, a side's are not
        assert row["pearson_delta"] == pytest.approx(pearsonr(real, predicted).statistic, **near)
        assert row["spearman_delta"] == pytest.approx(spearmanr(real, predicted).statistic, abs=1e-3)
        for count in (20, 50):
            top = np.argsort(-np.abs(real))[:count]
            expected = pearsonr(real[top], predicted[top]).statistic
            assert row[f"pearson_delta_top{count}"] == pytest.approx(expected, **near)
        assert row["mae"] == pytest.approx(np.abs(real - predicted).mean(), **near)
        assert row["nmse"] == pytest.approx(((real - predicted) ** 2).sum() / (real**2).sum(), **near)


def test_ranks_share_ties_as_scipys(index: ToyIndex) -> None:
    side = replace(real_profiles(index, LABELS), means=np.random.default_rng(0).integers(0, 9, (4, 120)) / 4)
    np.testing.assert_array_equal(side.delta_ranks, rankdata(side.deltas, axis=1))


def test_ranks_are_those_of_a_naive_loop(index: ToyIndex) -> None:
    deltas = noisy(index, LABELS, seed=3) * 0.1 + index.deltas(["C"]) * 0.9  # so that most are mistaken for C
    real, predicted = real_profiles(index, LABELS), predicted_profiles(index, deltas, LABELS)
    before = real.means.copy(), predicted.means.copy()
    frame = compute_metrics(real, predicted, ["pds", "pds_cosine_means"])
    np.testing.assert_array_equal(real.means, before[0])
    np.testing.assert_array_equal(predicted.means, before[1])
    for row, label in enumerate(real.labels):
        own = [i for i, gene in enumerate(GENES) if gene != label]
        distance = [np.abs(predicted.deltas[row, own] - truth[own]).sum() for truth in real.deltas]
        assert frame["pds"][row] == 1 - sorted(distance).index(distance[row]) / len(LABELS)
        kept = [i for i, gene in enumerate(GENES) if gene != "G5"]
        a = predicted.deltas[row, kept]
        cosine = [a @ b[kept] / np.linalg.norm(a) / np.linalg.norm(b[kept]) for b in real.deltas]
        better = sum(value > cosine[row] for value in cosine)
        assert frame["pds_cosine_means"][row] == pytest.approx(1 - better / (len(LABELS) - 1))
    assert frame["pds"].min() < 1


def test_one_shared_delta_is_at_chance(index: ToyIndex) -> None:
    shared = np.zeros((len(LABELS), len(GENES)), np.float32)
    frame = compute_metrics(real_profiles(index, LABELS), predicted_profiles(index, shared, LABELS))
    assert frame["pds_cosine_means"].tolist() == [0.5] * 4
    assert frame["nmse"].tolist() == [1] * 4


def test_a_perfect_prediction_is_perfect(index: ToyIndex) -> None:
    means = summarise(compute_metrics(real_profiles(index, LABELS), real_profiles(index, LABELS)))
    for name, value in means.items():
        best = 1 if METRICS[name].best == "high" else 0
        assert value == pytest.approx(best, abs=1e-12), name
    assert "des" in means


def test_constants_give_nan_without_a_warning(index: ToyIndex) -> None:
    labels = ["A", "B", "C"]
    deltas = np.vstack([np.zeros(120), np.full(120, 0.1), index.delta("C")])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        real = real_profiles(ToyIndex(labels, GENES, means=np.full((4, 120), 0.5)), labels)
        flat = compute_metrics(real, real)
        frame = compute_metrics(real_profiles(index, labels), predicted_profiles(index, deltas, labels))
        nothing = summarise(frame[:1])
    assert frame["pearson_delta"].isna().tolist() == [True, False, False]
    assert frame["spearman_delta"].isna()[0] and np.isfinite(frame["mae"]).all()
    assert nothing["pearson_delta"] is None and nothing["mae"] is not None
    assert flat[["pearson_delta", "nmse", "scouter_pcc_error", "scouter_nmse"]].isna().all(axis=None)


def test_no_perturbations_give_an_empty_frame(index: ToyIndex) -> None:
    frame = compute_metrics(real_profiles(index, []), predicted_profiles(index, np.zeros((0, 120)), []))
    assert len(frame) == 0 and summarise(frame)["mae"] is None


def test_scouters_genes_are_its_top_20_without_dropouts_and_targets() -> None:
    """Welch's t of scanpy ranks the genes; the one that vanishes and the target are not among them."""
    rng = np.random.default_rng(0)
    means = rng.gamma(2.0, 0.5, (2, 60)) + 1
    means[0, :25] = 3 + np.arange(25) / 10  # the largest effects, falling
    means[1, :25] = 1
    means[1, 3] = 0
    labels, genes = ["G2"], [f"G{i}" for i in range(60)]
    toy = ToyIndex(labels, genes, means=means)
    toy._arrays["variance"] = np.ones_like(means, dtype=np.float32)
    deltas = toy.deltas(labels) + rng.normal(0, 0.5, (1, 60))
    frame = compute_metrics(real_profiles(toy, labels), predicted_profiles(toy, deltas, labels))
    ranked = np.argsort(-np.abs(toy.delta("G2")))
    top = [g for g in ranked if g != 3][:20]
    top = [g for g in top if g != 2]
    real, guess = toy.delta("G2")[top], deltas[0, top]
    assert frame["scouter_pcc_error"][0] == pytest.approx(1 - pearsonr(real, guess).statistic, abs=1e-6)
    assert frame["scouter_nmse"][0] == pytest.approx(((real - guess) ** 2).sum() / (real**2).sum(), rel=1e-5)


@pytest.mark.slow
def test_t_scores_are_scanpys(tmp_path) -> None:
    import scanpy as sc

    counts = make_counts(n_perturbations=3)
    counts.write_h5ad(tmp_path / "toy.h5ad")
    build_index(open_dataset(tmp_path / "toy.h5ad"), tmp_path / "index")
    index = load_index(tmp_path / "index")
    labels = ["GENE0", "GENE1", "GENE2"]
    sc.pp.normalize_total(counts)
    sc.pp.log1p(counts)
    sc.tl.rank_genes_groups(counts, "target_gene", groups=labels, reference="non-targeting", method="t-test")
    side = real_profiles(index, labels)
    for row, label in enumerate(labels):
        found = sc.get.rank_genes_groups_df(counts, label).set_index("names")["scores"].reindex(counts.var_names)
        np.testing.assert_allclose(side.t_score[row], found, rtol=1e-3, atol=1e-4)
    first, second = half_deltas(index, labels)
    cells = index.perturbations.set_index("perturbation").loc[labels, "n_cells"].to_numpy()[:, None]
    upper = (cells + 1) // 2
    whole = (first * upper + second * (cells - upper)) / cells
    np.testing.assert_allclose(whole, side.deltas, atol=1e-6)


def test_what_cannot_be_scored_is_refused(index: ToyIndex) -> None:
    real = real_profiles(index, LABELS)
    predicted = predicted_profiles(index, index.deltas(LABELS), LABELS)
    with refusal(SpecError, "delta_shape"):
        predicted_profiles(index, index.deltas(LABELS)[:, 1:], LABELS)
    with refusal(SpecError, "perturbations_differ"):
        compute_metrics(real, real_profiles(index, ["B", "G5"]))
    with refusal(SpecError, "metric_needs_cells"):
        compute_metrics(real, predicted, ["mae", "des"])
    with refusal(SpecError, "genes_differ"):
        compute_metrics(real_profiles(ToyIndex(LABELS, GENES[::-1]), LABELS), predicted)
    for labels in (["A", "A"], ["A", "non-targeting"]):
        with refusal(SpecError, "bad_perturbations"):
            real_profiles(index, labels)
