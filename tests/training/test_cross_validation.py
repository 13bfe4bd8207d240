"""Cross-validation: each perturbation is predicted once, by a fit that has not seen it, and all are scored together."""

import numpy as np
import pytest
from refusals import refusal
from toy_index import ToyIndex

from vccapp.data.splits.split import make_folds
from vccapp.errors import SpecError
from vccapp.evaluation.limits import compute_limits
from vccapp.evaluation.profiles import predicted_profiles, real_profiles
from vccapp.evaluation.scoring.score import compute_metrics
from vccapp.models.base import make_model
from vccapp.references import FLOORS, PERFECT
from vccapp.training.cross_validation import cross_validate

GENES = [f"G{i}" for i in range(40)]
LABELS = GENES[:12]
METRICS = ("pearson_delta", "pds", "mae")


@pytest.fixture(scope="module")
def index() -> ToyIndex:
    return ToyIndex(LABELS, GENES, seed=5)


def test_each_is_predicted_by_the_fold_that_holds_it_out(index: ToyIndex) -> None:
    folds = make_folds(LABELS, name="f", dataset="toy", k=4)
    models = {"knockdown_mean": make_model("knockdown_mean")}
    found = cross_validate(index, folds, models, metrics=METRICS, reference="perturbation_mean")
    deltas = np.zeros((len(LABELS), len(GENES)), np.float32)
    for fold in folds:
        fitted = make_model("knockdown_mean").fit(index, fold)
        deltas[[LABELS.index(label) for label in fold.test]] = fitted.predict(fold.test)
    expected = compute_metrics(real_profiles(index, LABELS), predicted_profiles(index, deltas, LABELS), METRICS)
    means = found.means.set_index("model")
    assert set(means.index) >= {"knockdown_mean", *FLOORS} and (means["n"] == len(LABELS)).all()
    for metric in METRICS:
        assert means.loc["knockdown_mean", metric] == pytest.approx(expected[metric].mean())
        assert means.loc["knockdown_mean", f"{metric} se"] == pytest.approx(expected[metric].sem())
    own = found.scores[found.scores["model"] == "knockdown_mean"].set_index("perturbation")
    np.testing.assert_allclose(own.loc[LABELS, "pds"], expected.set_index("perturbation").loc[LABELS, "pds"])
    rows = found.differences.set_index(["metric", "model"]).loc[("mae", "knockdown_mean")]
    floor = found.scores[found.scores["model"] == "perturbation_mean"].set_index("perturbation").loc[LABELS, "mae"]
    assert rows["n"] == len(LABELS)
    assert rows["difference"] == pytest.approx((own.loc[LABELS, "mae"] - floor).mean())
    limits = compute_limits(index, LABELS, METRICS)[PERFECT]
    told = means.loc[PERFECT, "mae"]
    assert np.isnan(told) or told == pytest.approx(limits["mae"].mean())


def test_what_cannot_be_pooled_is_refused(index: ToyIndex) -> None:
    folds = make_folds(LABELS, name="f", dataset="toy", k=4)
    with refusal(SpecError, "tested_twice"):
        cross_validate(index, [*folds, folds[0]], {}, metrics=METRICS, reference="perturbation_mean")
    with refusal(SpecError, "unknown_reference"):
        cross_validate(index, folds, {}, metrics=METRICS, reference="ridge")
