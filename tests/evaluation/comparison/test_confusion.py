"""Places and PDS equal the metrics', and a perfect prediction is mistaken for nobody."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from vccapp.evaluation.comparison.confusion import compute_confusion
from vccapp.evaluation.metrics import METRICS
from vccapp.evaluation.profiles import Profiles

GENES = np.array([f"G{i}" for i in range(40)])
LABELS = ("G1", "G2+G3", "G4", "G5", "OTHER")


def side(seed: int) -> Profiles:
    rng = np.random.default_rng(seed)
    return Profiles(GENES, LABELS, rng.gamma(1, 1, (5, 40)), rng.gamma(1, 1, 40))


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize(("distance", "metric"), [("l1", "pds"), ("cosine", "pds_cosine_means")])
def test_pds_is_that_of_the_metric(seed: int, distance: str, metric: str) -> None:
    real, predicted = side(seed), side(seed + 100)
    found = compute_confusion(real, predicted, distance=distance)
    assert found.frame["perturbation"].tolist() == list(LABELS)
    assert found.frame["pds"].to_numpy() == pytest.approx(METRICS[metric].compute(real, predicted), abs=1e-12)


def test_places_rank_the_real_ones_without_the_own_gene() -> None:
    real, predicted = side(0), side(1)
    found = compute_confusion(real, predicted)
    kept = GENES != "G1"
    apart = cdist(predicted.deltas[:1, kept], real.deltas[:, kept], "cityblock")[0]
    assert found.places[0].tolist() == np.argsort(np.argsort(apart)).tolist()
    assert found.frame["nearest"][0] == LABELS[int(np.argmin(apart))]
    assert sorted(found.order.tolist()) == list(range(5))


@pytest.mark.parametrize("distance", ["l1", "cosine"])
def test_the_real_cells_are_mistaken_for_nobody(distance: str) -> None:
    found = compute_confusion(side(3), side(3), distance=distance)
    assert (found.frame["place"] == 1).all() and (found.frame["pds"] == 1).all()
    assert found.frame["nearest"].tolist() == list(LABELS)
    assert (np.diagonal(found.places) == 0).all()


def test_one_profile_for_all_stands_in_the_middle() -> None:
    real = side(0)
    flat = Profiles(GENES, LABELS, np.tile(real.control_mean, (5, 1)), real.control_mean)
    assert (compute_confusion(real, flat, distance="cosine").frame["pds"] == 0.5).all()
    assert len(set(compute_confusion(real, flat, distance="l1").frame["nearest"])) <= 5


def test_one_perturbation_alone_has_no_pds() -> None:
    one = Profiles(GENES, LABELS[:1], side(0).means[:1], side(0).control_mean)
    for distance in ("l1", "cosine"):
        frame = compute_confusion(one, one, distance=distance).frame
        assert frame["place"].tolist() == [1.0] and frame["pds"].isna().all()
