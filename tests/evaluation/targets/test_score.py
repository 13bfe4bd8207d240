"""Scores of targets against brute force, and against truths that were planted."""

import numpy as np
import pytest
from scipy import stats
from toy_index import ToyIndex

from vccapp.errors import SpecError
from vccapp.evaluation.targets import library as libraries
from vccapp.evaluation.targets.gene_by_gene import view_genes
from vccapp.evaluation.targets.library import Effects, Library, measured_libraries, predicted_library
from vccapp.evaluation.targets.ranking import rank_targets
from vccapp.evaluation.targets.score import compute_p, draw_signatures, keep_extremes, score_effects
from vccapp.evaluation.targets.signature import Signature, read_lists
from vccapp.evaluation.targets.unmeasured import rank_unmeasured
from vccapp.evaluation.targets.validation import measure_known, measure_recovery

GENES = [f"G{i}" for i in range(400)]
LABELS = [f"G{i}" for i in range(39)] + ["G50+G51", "OUTSIDE"]


def make_index(labels: list[str] = LABELS, *, seed: int = 0, strength: float = 1.0) -> ToyIndex:
    """Effects with something in common, and knock-downs ten times as large as all else."""
    rng = np.random.default_rng(seed)
    means = rng.gamma(1.0, 0.5, (1 + len(labels), len(GENES)))
    control, common = means[0].copy(), rng.normal(0, 0.3, len(GENES))
    for row, label in enumerate(labels, 1):
        means[row] = control + common * rng.uniform(0.5, 1.5) + strength * rng.normal(0, 0.2, len(GENES))
        for gene in label.split("+"):
            if gene in GENES:
                means[row, GENES.index(gene)] = control[GENES.index(gene)] - 3
    return ToyIndex(labels, GENES, means=means)


def open_library(index: ToyIndex) -> Library:
    [library] = measured_libraries(index, title="toy", dataset="toy")
    return library


def brute_force(index: ToyIndex, label: str, strong: np.ndarray) -> tuple[float, float]:
    """Cosine and Spearman's correlation, with nothing but numpy and scipy, in float64."""
    deltas = index.deltas(index.perturbed).astype(float)
    own = {name: [GENES.index(gene) for gene in name.split("+") if gene in GENES] for name in index.perturbed}
    for row, name in enumerate(index.perturbed):
        deltas[row, own[name]] = np.nan
    kept = np.setdiff1d(np.arange(len(GENES)), own[label])
    mean, effect = np.nanmean(deltas, axis=0)[kept], deltas[index.perturbed.index(label)][kept]
    effect = effect - effect @ mean / (mean @ mean) * mean
    values = strong[kept]
    rho = stats.spearmanr(values[values != 0], effect[values != 0]).statistic
    return values @ effect / np.linalg.norm(values) / np.linalg.norm(effect), rho


def test_cosine_and_rank_correlation_are_those_of_brute_force(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libraries, "BLOCK", 7)  # blocks have rests
    index, strong = make_index(), keep_extremes(np.random.default_rng(1).normal(size=400).astype(np.float32), 60)[0]
    assert np.count_nonzero(strong) == 120
    found = score_effects(open_library(index).effects, np.arange(400), strong[None])
    wanted = np.array([brute_force(index, label, strong.astype(float)) for label in index.perturbed])
    np.testing.assert_allclose(found.cosine[:, 0], wanted[:, 0], atol=2e-6)
    np.testing.assert_allclose(found.spearman, wanted[:, 1], atol=1e-6)


def test_a_signature_of_some_genes_in_another_order_scores_as_the_library_of_these_genes_does() -> None:
    index, rng = make_index(), np.random.default_rng(2)
    some = rng.permutation(400)[:180]
    values = {GENES[i]: float(v) for i, v in zip(some, rng.normal(size=180), strict=True)}
    whole = rank_targets(Signature("s", values), [open_library(index)]).targets.set_index("perturbation")
    cut = ToyIndex(LABELS, [GENES[i] for i in sorted(some)], means=index.array("mean")[:, sorted(some)])
    alone = rank_targets(Signature("s", dict(reversed(values.items()))), [open_library(cut)]).targets
    alone = alone.set_index("perturbation").loc[whole.index]
    np.testing.assert_allclose(alone["cosine"], whole["cosine"], atol=1e-6)
    np.testing.assert_allclose(alone["p_random"], whole["p_random"], rtol=1e-4)


@pytest.mark.parametrize(("goal", "sign"), [("mimic", 1), ("reverse", -1)])
def test_a_planted_signature_is_first_and_only_the_way_it_was_asked(goal: str, sign: int) -> None:
    index = make_index()
    deltas = index.deltas(index.perturbed)
    planted = deltas[index.perturbed.index("G7")] - deltas.mean(axis=0) + np.random.default_rng(3).normal(0, 0.2, 400)
    planted[7] = 0
    signature = Signature("s", dict(zip(GENES, (sign * planted).tolist(), strict=True)))
    found = rank_targets(signature, [open_library(index)], goal=goal).targets
    first, last = found.iloc[0], found.iloc[-1]
    assert (first["perturbation"], np.sign(first["cosine"])) == ("G7", sign)
    assert found["ridge_weight"].abs().idxmax() == 0 and np.sign(first["ridge_weight"]) == sign
    assert first["fdr_random"] < 0.05 < last["fdr_random"] and last["perturbation"] != "G7"
    other = rank_targets(signature, [open_library(index)], goal="mimic" if goal == "reverse" else "reverse").targets
    assert other["perturbation"].iloc[-1] == "G7"
    up = [gene for gene, value in signature.values.items() if value > 0.2]
    down = [gene for gene, value in signature.values.items() if value < -0.2]
    lists = rank_targets(read_lists(" ".join(up), ",".join([*down, "NOGENE"])), [open_library(index)], goal=goal)
    assert lists.targets["perturbation"].iloc[0] == "G7"


def test_the_own_expression_of_a_target_counts_nowhere() -> None:
    index = make_index()
    values = dict(zip(GENES, np.random.default_rng(4).normal(size=400).tolist(), strict=True))
    before = rank_targets(Signature("s", values), [open_library(index)]).targets.set_index("perturbation")
    means = index.array("mean")
    means[1 + LABELS.index("G7"), 7] += 2.5  # a weaker knock-down
    after = rank_targets(Signature("s", values), [open_library(index)]).targets.set_index("perturbation")
    for name in ("cosine", "spearman", "p_random", "ridge_weight"):
        np.testing.assert_allclose(after[name].loc[before.index], before[name], rtol=1e-4, err_msg=name)
    assert "G7" not in set(view_genes(open_library(index), "G7", Signature("s", values)).genes["gene"])


@pytest.mark.slow
@pytest.mark.parametrize(("n", "low"), [(30, 0.005), (150, 0.03)])
def test_p_is_uniform_for_random_mixtures_of_other_effects(n: int, low: float) -> None:
    """In a small library a little conservative: the others have another mean effect."""
    effects, places = open_library(make_index([f"G{i}" for i in range(n)])).effects, np.arange(400)
    strong = keep_extremes(np.random.default_rng(5).standard_t(3, 400).astype(np.float32))[0]
    random, p = draw_signatures(effects, places, strong), []
    for i in range(20):
        others = np.delete(np.arange(n), i)
        labels = tuple(effects.labels[row] for row in others)
        without = Effects(labels, effects.genes, lambda rows, others=others: effects.read(others[rows]))
        asked = draw_signatures(without, places, strong, number=20, seed=77 + i).signatures
        scores = score_effects(effects, places, np.vstack([asked, random.signatures])).cosine
        p += [compute_p(scores[:, k], scores[:, 20:], random.weights)[i] for k in range(20)]
    found = np.array(p)
    assert low < (found < 0.05).mean() < 0.07
    assert 0.35 < (found < 0.5).mean() < 0.56


def test_gene_by_gene_adds_up_to_the_cosine() -> None:
    index = make_index()
    values = dict(zip(GENES, np.random.default_rng(6).normal(size=400).tolist(), strict=True))
    ranking = rank_targets(Signature("s", values), [open_library(index)], goal="reverse").targets
    view = view_genes(open_library(index), "G50+G51", Signature("s", values), goal="reverse")
    [cosine] = ranking.loc[ranking["perturbation"] == "G50+G51", "cosine"]
    assert np.isclose(-view.genes["contribution"].sum(), cosine, atol=1e-6)
    better = view.genes[view.genes["change"] == "reversed"]
    assert (np.sign(better["signature"]) == -np.sign(better["specific"])).all()
    delta = dict(zip(GENES, index.delta("G50+G51"), strict=True))
    np.testing.assert_allclose(view.genes["delta"], view.genes["gene"].map(delta), rtol=1e-6)
    assert not {"G50", "G51"} & set(view.genes["gene"])


def test_contexts_have_libraries_of_their_own() -> None:
    labels = [f"G{i}@{context}" for context in ("A", "B") for i in range(8)] + ["G1@few"]
    index = ToyIndex(labels, GENES)
    found = measured_libraries(index, title="toy", dataset="toy")
    assert [library.context for library in found] == ["A", "B"]
    for library in found:
        np.testing.assert_allclose(library.effects.read(np.arange(8)), index.deltas(list(library.labels)), rtol=1e-6)
    shifted = index.array("mean")
    values = Signature("s", dict(zip(GENES, np.random.default_rng(0).normal(size=400).tolist(), strict=True)))
    before = rank_targets(values, found[:1]).targets
    shifted[[row for row, label in enumerate(index.labels) if label.endswith("@B")]] *= 3
    assert rank_targets(values, measured_libraries(index, title="toy", dataset="toy", context="A")).targets.equals(
        before
    )
    assert set(rank_targets(values, found).targets["context"]) == {"A", "B"}
    with pytest.raises(SpecError) as refused:
        measured_libraries(index, title="toy", dataset="toy", context="few")
    assert refused.value.code == "too_few_effects"


def test_effects_that_are_all_alike_have_no_score() -> None:
    means = np.tile(np.random.default_rng(0).gamma(1, 0.5, 400), (9, 1)).astype(np.float32)
    means[1:] += np.random.default_rng(1).normal(0, 0.1, 400).astype(np.float32)
    library = open_library(ToyIndex([f"X{i}" for i in range(8)], GENES, means=means))
    values = dict(zip(GENES, np.random.default_rng(2).normal(size=400).tolist(), strict=True))
    found = rank_targets(Signature("s", values), [library]).targets
    assert found[["cosine", "spearman", "p_random", "fdr_random"]].isna().all(axis=None)


def test_halves_find_their_own_perturbation_only_where_effects_are_specific() -> None:
    index = make_index()
    assert measure_recovery(index, open_library(index)).summary["auroc"].iloc[0] == 1
    noise = make_index(strength=0)
    index.array("half_mean")[:] = noise.array("mean") + np.random.default_rng(0).normal(0, 0.1, (2, 42, 400))
    index.array("mean")[:] = index.array("half_mean").mean(axis=0)
    assert abs(measure_recovery(index, open_library(index)).summary["auroc"].iloc[0] - 0.5) < 0.15


def test_known_regulators_are_judged_by_their_ranks() -> None:
    index = make_index()
    values = dict(zip(GENES, np.random.default_rng(6).normal(size=400).tolist(), strict=True))
    targets = rank_targets(Signature("s", values), [open_library(index)]).targets
    first = [label for label in targets["perturbation"][:3] if "+" not in label]
    [row] = measure_known(targets, [*first, "absent"]).by_kind.to_dict("records")
    wanted = stats.mannwhitneyu(
        targets.loc[~targets["perturbation"].isin(first), "rank"],
        targets.loc[targets["perturbation"].isin(first), "rank"],
    )
    assert row["auroc"] == wanted.statistic / (row["n_known"] * (row["n"] - row["n_known"])) > 0.9
    assert measure_known(targets, ["G1", "absent"]).unknown == ("absent",)
    with pytest.raises(SpecError, match="none|None") as refused:
        measure_known(targets, ["absent"])
    assert refused.value.code == "no_known"


def test_a_library_of_few_effects_is_refused() -> None:
    with pytest.raises(SpecError) as refused:
        measured_libraries(ToyIndex(["A", "B", "C", "D"], GENES), title="toy", dataset="toy")
    assert refused.value.code == "too_few_effects"


def test_a_planted_pair_is_found_and_its_cosine_is_that_of_the_sum() -> None:
    index = make_index()
    library = open_library(index)
    rows = [index.perturbed.index(label) for label in ("G3", "G9")]
    one, two = library.effects.specific(np.arange(400), rows)
    signature = Signature("s", dict(zip(GENES, (-one - two).tolist(), strict=True)))
    pairs = rank_targets(signature, [library]).pairs
    assert pairs.loc[0, ["first", "second"]].sort_values().tolist() == ["G3", "G9"]
    strong = keep_extremes((-one - two).astype(np.float32))[0]
    wanted = strong @ (one + two) / np.linalg.norm(strong) / np.linalg.norm(one + two)
    assert np.isclose(pairs.loc[0, "pair_cosine"], wanted, atol=1e-6) and pairs.loc[0, "gain"] > 0.1


def test_what_to_silence_next_is_told_by_the_mean_and_spread_of_runs() -> None:
    index, rng = ToyIndex(LABELS, GENES), np.random.default_rng(0)
    labels = [f"G{i}" for i in range(200, 210)]
    found = rng.normal(0, 0.1, (3, 10, 400)).astype(np.float32)
    found[:, 4] = 0.5  # strong, and agreed on
    made = [
        predicted_library(
            index,
            labels,
            lambda asked, own=own: own[[labels.index(label) for label in asked]].copy(),
            title="toy",
            dataset="toy",
            context=None,
            run=str(number),
            basis=dict.fromkeys(labels, "covered"),
            confidence=dict.fromkeys(labels, 0.5),
        )
        for number, own in enumerate(found)
    ]
    view = rank_unmeasured(made).genes.set_index("gene")
    whole = found.astype(float)
    whole[:, range(10), range(200, 210)] = 0
    mean = whole.mean(axis=0)
    np.testing.assert_allclose(view.loc[labels, "effect"], np.linalg.norm(mean, axis=1), rtol=1e-5)
    spread = np.sqrt(((whole - mean) ** 2).sum(axis=(0, 2)) / 2)
    np.testing.assert_allclose(view.loc[labels, "spread"], spread, rtol=1e-5, atol=1e-6)
    assert view.index[0] == "G204" and rank_unmeasured(made[:1]).genes["spread"].isna().all()
    values = dict(zip(GENES, rng.normal(size=400).tolist(), strict=True))
    both = rank_targets(Signature("s", values), [open_library(index), made[0]]).targets
    assert (both["run"] == np.where(both["kind"] == "predicted", "0", "")).all()
    assert set(both.loc[both["kind"] == "predicted", "perturbation"]) == set(labels)
