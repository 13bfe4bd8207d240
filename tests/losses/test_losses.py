"""Losses: their definitions computed naively, their gradients, and what must not change them."""

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist
from torch import Tensor
from toy import make_counts

from vccapp.data.reading.opening import open_dataset
from vccapp.data.schema import CONTROL
from vccapp.losses.base import LOSSES, Context, Tables, combine, read_tables
from vccapp.losses.direction import sign_loss
from vccapp.losses.expression import PRESETS, parse_loss
from vccapp.stats.building.build import build_index
from vccapp.stats.index import load_index

pytestmark = pytest.mark.usefixtures("one_thread")
SETS, CELLS, GENES, LABELS = 4, 6, 12, 5


def make_tables(*, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tables:
    rng = np.random.default_rng(seed)
    means = rng.gamma(2.0, 0.5, (LABELS, GENES)) * (rng.random((LABELS, GENES)) > 0.1)
    tested = np.ones((LABELS, GENES), bool)
    tested[range(1, LABELS), range(1, LABELS)] = False
    return Tables(
        means=torch.tensor(means, dtype=dtype),
        deltas=torch.tensor(means - means[0], dtype=dtype),
        error=torch.tensor(rng.uniform(0.05, 0.2, (LABELS, GENES)), dtype=dtype),
        expressed=torch.tensor(means > 0),
        de=torch.tensor(rng.integers(-1, 2, (LABELS, GENES)), dtype=torch.int8),
        tested=torch.tensor(tested),
        reliability=torch.tensor([0.0, 0.9, 0.5, 1.0, 0.2], dtype=dtype),
        control=torch.zeros(LABELS, dtype=torch.int64),
    )


def make_step(*, seed: int = 0, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Context]:
    """Predicted, target and context; one of the sets is of controls, two have the same label."""
    random = torch.Generator().manual_seed(seed)
    predicted, target, controls = torch.rand(3, SETS, CELLS, GENES, generator=random, dtype=dtype)
    return predicted, target, Context(make_tables(dtype=dtype), torch.tensor([2, 0, 3, 2]), controls)


KINDS = {
    "energy, V": ("energy", {"v_statistic": True}),
    "focal": ("de", {"kind": "focal"}),
    "triplet": ("rank", {"kind": "triplet"}),
    "infonce l1": ("rank", {"distance": "l1"}),
    "triplet l1": ("rank", {"kind": "triplet", "distance": "l1"}),
    "autofocus, gamma": ("autofocus", {"gamma": 1.0}),
    "mae, unweighted": ("pseudobulk_mae", {"weighted": False}),
} | {name: (name, {}) for name in ("energy", "mmd", "pseudobulk_mae", "de", "rank", "autofocus", "direction")}


def test_every_loss_is_tested() -> None:
    assert {name for name, _ in KINDS.values()} == set(LOSSES)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_gradients_are_right(kind: str) -> None:
    name, options = KINDS[kind]
    predicted, target, context = make_step()
    assert torch.autograd.gradcheck(
        lambda x: LOSSES[name](x, target, context, **options), predicted.clone().requires_grad_(True), atol=1e-6
    )


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_the_order_of_cells_does_not_matter(kind: str) -> None:
    name, options = KINDS[kind]
    predicted, target, context = make_step()
    order = torch.randperm(CELLS, generator=torch.Generator().manual_seed(1))
    first = LOSSES[name](predicted, target, context, **options)
    if name != "autofocus":  # it compares cell with cell
        torch.testing.assert_close(LOSSES[name](predicted[:, order], target, context, **options), first)
    torch.testing.assert_close(LOSSES[name](predicted[:, order], target[:, order], context, **options), first)


@pytest.mark.parametrize("kind", KINDS)
def test_equal_points_and_empty_effects_give_finite_gradients(kind: str) -> None:
    name, options = KINDS[kind]
    _, target, context = make_step(dtype=torch.float32)
    for points in (target.clone(), torch.zeros_like(target), target[:, :1].expand_as(target).clone()):
        points.requires_grad_(True)
        loss = LOSSES[name](points, target, context, **options)
        loss.backward()
        assert loss.isfinite() and points.grad.isfinite().all()


@pytest.mark.parametrize("kind", KINDS)
def test_a_gradient_step_lowers_it(kind: str) -> None:
    name, options = KINDS[kind]
    predicted, target, context = make_step()
    predicted.requires_grad_(True)
    before = LOSSES[name](predicted, target, context, **options)
    before.backward()
    assert predicted.grad.abs().sum() > 0
    step = 1e-4 / predicted.grad.norm()
    assert LOSSES[name](predicted.detach() - step * predicted.grad, target, context, **options) < before


def naive_energy(x: np.ndarray, y: np.ndarray, *, unbiased: bool) -> float:
    n, m = len(x), len(y)
    within_x = cdist(x, x).sum() / (n * (n - 1) if unbiased else n * n)
    within_y = cdist(y, y).sum() / (m * (m - 1) if unbiased else m * m)
    return cdist(x, y).mean() - within_x / 2 - within_y / 2


@pytest.mark.parametrize("v_statistic", [True, False])
def test_energy_is_its_definition(v_statistic: bool) -> None:
    predicted, target, _ = make_step()
    target = target[:, :4]  # of another size
    pairs = zip(predicted.numpy(), target.numpy(), strict=True)
    expected = np.mean([naive_energy(x, y, unbiased=not v_statistic) for x, y in pairs])
    found = LOSSES["energy"](predicted + 100, target + 100, v_statistic=v_statistic)  # float64, and far from the origin
    assert found.item() == pytest.approx(expected, rel=1e-4)
    found = LOSSES["energy"](predicted.float() + 100, target.float() + 100, v_statistic=v_statistic)
    assert found.item() == pytest.approx(expected, rel=1e-3)


def test_energy_of_equal_sets_and_of_equal_distributions_is_nothing() -> None:
    random = torch.Generator().manual_seed(0)
    x = torch.randn(1, 64, 200, generator=random)
    assert LOSSES["energy"](x, x, v_statistic=True).item() == pytest.approx(0, abs=1e-3)
    same = [torch.randn(2, 200, 64, 50, generator=random) for _ in range(2)]
    unbiased = [LOSSES["energy"](a, b).item() for a, b in same]
    biased = [LOSSES["energy"](a, b, v_statistic=True).item() for a, b in same]
    assert np.abs(unbiased).max() < 0.01 < 0.1 < min(biased)
    assert LOSSES["energy"](same[0][0] + 1, same[0][1]).item() > 0.5


def test_energy_equals_geomloss() -> None:
    geomloss = pytest.importorskip("geomloss")
    predicted, target, _ = make_step(dtype=torch.float32)
    expected = geomloss.SamplesLoss(loss="energy", blur=0.05)(predicted, target).mean()
    torch.testing.assert_close(LOSSES["energy"](predicted, target, v_statistic=True), expected, rtol=1e-4, atol=1e-5)


def test_mmd_is_its_definition_and_has_no_bias() -> None:
    predicted, target, _ = make_step()
    expected = []
    for x, y in zip(predicted.numpy(), target.numpy(), strict=True):
        joined = np.concatenate([x, y])
        squared = cdist(joined, joined, "sqeuclidean")
        apart = ~np.eye(len(joined), dtype=bool)
        median = torch.from_numpy(cdist(y, y, "sqeuclidean")[~np.eye(len(y), dtype=bool)]).median().item()
        kernel = np.mean([np.exp(-squared / (s * median)) for s in (0.25, 0.5, 1, 2, 4)], axis=0) * apart
        n = len(x)
        within = (kernel[:n, :n].sum() + kernel[n:, n:].sum()) / (n * (n - 1))
        expected.append(within - 2 * kernel[:n, n:].mean())
    assert LOSSES["mmd"](predicted, target).item() == pytest.approx(np.mean(expected), rel=1e-4)
    first, second = torch.randn(2, 400, 32, 20, generator=torch.Generator().manual_seed(0))
    assert abs(LOSSES["mmd"](first, second).item()) < 0.003 < 0.05 < LOSSES["mmd"](first + 1, second).item()


def test_pseudobulk_mae_looks_at_the_mean_of_all_cells_of_the_label() -> None:
    predicted, target, context = make_step()
    difference = np.abs(predicted.numpy().mean(1) - context.tables.means.numpy()[context.label.numpy()])
    smooth = np.where(difference < 0.02, difference**2 / 0.04, difference - 0.01)
    found = LOSSES["pseudobulk_mae"](predicted, target, context, weighted=False)
    assert found.item() == pytest.approx(smooth.mean())
    exact = context.tables.means[context.label][:, None].expand_as(predicted)
    assert LOSSES["pseudobulk_mae"](exact, target, context).item() < 1e-20


def test_de_loss_is_the_weighted_cross_entropy_of_tested_genes() -> None:
    predicted, target, context = make_step()
    tables, total = context.tables, 0.0
    for row, label in enumerate(context.label.tolist()):
        if label == 0:
            continue
        score = ((predicted[row].mean(0) - tables.means[0]) / tables.error[label]).numpy()
        kept = tables.tested[label].numpy()
        for sign in (1, -1):
            p = 1 / (1 + np.exp(-(sign * score - 2.5)))
            truth = tables.de[label].numpy() == sign
            weight = np.clip((~truth & kept).sum() / max((truth & kept).sum(), 1), 1, 10)
            loss = -np.where(truth, weight * np.log(p), np.log(1 - p))
            total += loss[kept].mean() / 3
    assert LOSSES["de"](predicted, target, context).item() == pytest.approx(total)
    sure = torch.stack([(tables.de[context.label] == sign) * 80.0 - 40 for sign in (1, -1)])
    assert LOSSES["de"](predicted, target, context, logits=sure).item() < 1e-6
    assert LOSSES["de"](predicted, target, context, logits=-sure).item() > 10
    of_controls = Context(tables, torch.zeros(SETS, dtype=torch.int64))
    assert LOSSES["de"](predicted, target, of_controls).item() == 0


def test_the_hinge_is_zero_when_the_margin_is_met() -> None:
    predicted, target, context = make_step()
    tables = context.tables
    exact = (tables.means[0] + tables.deltas[context.label])[:, None].expand_as(predicted)
    for distance in ("cosine", "l1"):
        hinge = LOSSES["rank"](exact, target, context, kind="triplet", distance=distance)
        assert hinge.item() == pytest.approx(0, abs=1e-9)
        swapped = Context(tables, torch.tensor([3, 0, 2, 3]))
        assert LOSSES["rank"](exact, target, swapped, kind="triplet", distance=distance).item() > 0.01


def test_infonce_is_least_for_the_right_perturbation_and_bounded() -> None:
    predicted, target, context = make_step()
    tables = context.tables

    def loss(scale: float, label: list[int]) -> float:
        exact = (tables.means[0] + scale * tables.deltas[[2, 0, 3, 2]])[:, None].expand_as(predicted)
        return LOSSES["rank"](exact, target, Context(tables, torch.tensor(label))).item()

    right, wrong = loss(1, [2, 0, 3, 2]), loss(1, [3, 0, 2, 3])
    assert right < wrong < 2 / 0.1 + np.log(LABELS)
    assert loss(0, [2, 0, 3, 2]) == pytest.approx(np.log(LABELS - 1), rel=1e-6)  # no effect: no better than chance
    assert loss(3, [2, 0, 3, 2]) < loss(0.01, [2, 0, 3, 2])


def test_a_bank_of_one_ranks_nothing() -> None:
    predicted, target, context = make_step()
    one = Tables(*(getattr(context.tables, name)[:2] for name in Tables.__dataclass_fields__))
    assert LOSSES["rank"](predicted, target, Context(one, torch.tensor([1, 0, 1, 1]))).item() == 0


def naive_scouter(predicted, target, controls, label, expressed, *, gamma, weight):
    """Section C3 of the loss: a loop over conditions."""
    total = abs(target - predicted) ** (2 + gamma)
    total = total + weight * (np.sign(target - controls) - np.sign(predicted - controls)) ** 2
    return np.mean([total[label == p][:, expressed[p]].mean() for p in np.unique(label)])


@pytest.mark.parametrize("gamma", [0.0, 2.0])
def test_scouters_loss_as_coded(gamma: float) -> None:
    random = torch.Generator().manual_seed(3)
    predicted, target, controls = torch.rand(3, 40, 1, GENES, generator=random, dtype=torch.float64)
    label = torch.randint(1, LABELS, (40,), generator=random)
    context = Context(make_tables(), label, controls)
    arrays = [part[:, 0].numpy() for part in (predicted, target, controls)]
    expressed = context.tables.expressed.numpy()
    expected = naive_scouter(*arrays, label.numpy(), expressed, gamma=gamma, weight=0.5)
    found = LOSSES["autofocus"](predicted, target, context, gamma=gamma) + 0.5 * sign_loss(predicted, target, context)
    assert found.item() == pytest.approx(expected)
    predicted.requires_grad_(True)
    assert not sign_loss(predicted, target, context).requires_grad


def test_direction_is_right_sides_and_wrong_sides() -> None:
    predicted, target, context = make_step()
    tables = context.tables
    sides = {}
    for name, factor in (("right", 50.0), ("none", 0.0), ("wrong", -50.0)):
        cells = (tables.means[0] + factor * tables.deltas[context.label])[:, None].expand_as(predicted)
        sides[name] = LOSSES["direction"](cells, target, context).item()
    assert sides == pytest.approx({"right": 0, "none": 1, "wrong": 4}, abs=1e-3)


@pytest.mark.parametrize("step", PRESETS)
@pytest.mark.parametrize("v_statistic", [False, True])
def test_the_shares_of_a_step_add_up_to_it(step: str, v_statistic: bool) -> None:
    predicted, target, context = make_step()
    instead = {"energy": lambda *of: LOSSES["energy"](*of, v_statistic=v_statistic)}
    predicted.requires_grad_(True)
    whole = combine(parse_loss(step), predicted, target, context, instead=instead)
    [gradient] = torch.autograd.grad(whole["loss"], predicted)
    total = dict.fromkeys(whole, 0.0)
    for share in (slice(0, 3), slice(3, None)):
        part = Context(context.tables, context.label[share], context.controls[share], context.label)
        found = combine(parse_loss(step), predicted[share], target[share], part, instead=instead)
        (found["loss"] * part.share).backward()
        total = {name: total[name] + value.detach() * part.share for name, value in found.items()}
    for name, value in whole.items():
        torch.testing.assert_close(total[name], value.detach(), rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(predicted.grad, gradient, rtol=1e-9, atol=1e-12)


def test_combining_weighs_and_logs_each_alone() -> None:
    predicted, target, context = make_step()
    terms = combine(parse_loss("C4"), predicted, target, context)
    assert list(terms) == ["loss", "energy", "pseudobulk_mae", "de", "rank"]
    expected = terms["energy"] + terms["pseudobulk_mae"] + 0.5 * terms["de"] + 0.5 * terms["rank"]
    torch.testing.assert_close(terms["loss"], expected)
    terms = combine(
        {"energy": 2.0, "rank": 0.0}, predicted, target, context, instead={"energy": lambda *_: predicted.sum()}
    )
    assert list(terms) == ["loss", "energy"] and terms["loss"] == 2 * predicted.sum()


def test_tables_are_those_of_the_index(tmp_path: Path) -> None:
    make_counts(n_cells=400).write_h5ad(tmp_path / "toy.h5ad")
    build_index(open_dataset(tmp_path / "toy.h5ad"), tmp_path / "index")
    index = load_index(tmp_path / "index")
    genes, labels = np.array([0, 1, 2, 3, 20, 50, 51]), [CONTROL, "GENE2", "GENE0"]
    tables = read_tables(index, labels, genes)
    np.testing.assert_array_equal(tables.means, index.means(labels)[:, genes])
    np.testing.assert_allclose(tables.deltas[1:], index.deltas(labels[1:])[:, genes])
    significant = index.de("GENE2")["fdr"].to_numpy()[genes] < 0.05
    np.testing.assert_array_equal(tables.de[1].numpy() != 0, significant)
    assert tables.de[1, 2] == -1 and not tables.de[0].any()
    assert not tables.expressed[:, 5].any() and tables.expressed[:, 6].all()
    assert tables.tested[1].tolist() == [True, True, False, True, True, True, True] and tables.tested[0].all()
    assert (tables.error > 0).all() and tables.reliability[0] == 0 and tables.reliability[1] > 0.5
    cells = {label: index.cells["perturbation"].to_numpy() == label for label in labels}
    values = index.gene_values("GENE20")
    expected = np.sqrt(sum(values[cells[label]].var() / cells[label].sum() for label in (CONTROL, "GENE0")))
    assert tables.error[2, 4].item() == pytest.approx(expected, rel=1e-4)
