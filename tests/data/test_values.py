"""Scales told from values by several signs together."""

import numpy as np
import pytest
from refusals import refusal
from scipy.sparse import csc_matrix, csr_matrix
from toy import make_counts

from vccapp.data.values import Scale, detect_scale, to_log1p
from vccapp.errors import DataError


def counts() -> np.ndarray:
    return make_counts(n_cells=200, n_genes=80).X.toarray().astype(np.float64)


def detect(x: np.ndarray, **choices) -> Scale:
    return detect_scale([(0, 0, csr_matrix(x.astype(np.float32)))], x.shape[1], **choices)


def normalised(depth: float = 1e4) -> np.ndarray:
    x = counts()
    return x / x.sum(axis=1, keepdims=True) * depth


def test_counts() -> None:
    assert detect(counts()).kind == "counts"


@pytest.mark.parametrize("most", [14, 400])
@pytest.mark.parametrize("cut", [0.0, 0.3])
def test_counts_with_fractions(most: int, cut: float) -> None:
    rng = np.random.default_rng(0)
    x = np.minimum(counts(), most) * rng.uniform(0.8, 1, (200, 80))
    scale = detect(np.maximum(x - cut, 0))
    assert (scale.kind, scale.space) == ("corrected", "log1p")
    seen = to_log1p(scale)(csr_matrix(x))
    np.testing.assert_allclose(np.expm1(seen.toarray()).sum(axis=1), scale.depth, rtol=1e-4)


@pytest.mark.parametrize(("base", "log"), [(np.e, np.log1p), (2, lambda x: np.log2(1 + x))])
def test_half_precision(base: float, log) -> None:
    scale = detect(log(normalised()).astype(np.float16))
    assert scale.kind == "log1p" and scale.base == pytest.approx(base) and scale.depth == pytest.approx(1e4, rel=1e-2)


@pytest.mark.parametrize("digits", [2, 3])
def test_rounded_digits(digits: int) -> None:
    assert detect(np.round(np.log1p(normalised()), digits)).base == pytest.approx(np.e)


@pytest.mark.parametrize("depth", [300, 1e4, 1e6])
def test_logged_twice(depth: float) -> None:
    with refusal(DataError, "logged_twice"):
        detect(np.log1p(np.log1p(normalised(depth))))


def test_rounded_logs() -> None:
    with refusal(DataError, "rounded_logs"):
        detect(np.rint(np.log1p(normalised())))


def test_log1p_of_counts() -> None:
    assert detect(np.log1p(counts())).kind == "log1p of counts"
    scale = detect(np.log2(1 + counts()))
    assert (scale.kind, scale.base) == ("log1p of counts", 2)


def test_scaled() -> None:
    x = np.log1p(normalised())
    scores = (x - x.mean(axis=0)) / (x.std(axis=0) + 1e-9)
    assert "z-scores" in detect(scores).evidence
    assert "residuals" in detect(x - x.mean(axis=0)).evidence
    assert "corrected for batches" in detect(x + np.random.default_rng(0).normal(0, 0.2, x.shape)).evidence


def test_smooth_predictions_are_natural_logarithms() -> None:
    rng, mean = np.random.default_rng(0), np.log1p(normalised()).mean(axis=0)
    for noise in (0.0, 1e-3, 0.05):
        x = np.maximum(mean + rng.normal(0, noise, (200, 80)), 0.01)
        assert (detect(x).kind, detect(x).base) == ("log1p", pytest.approx(np.e))


def test_what_the_file_says_counts_where_values_do_not_tell() -> None:
    x = np.log1p(normalised()) * np.random.default_rng(0).uniform(0.9, 1.1, (200, 80))
    assert detect(x, base=2.0).base == 2.0
    assert detect(np.log1p(normalised()), base=2.0).base == pytest.approx(np.e)


def test_by_gene() -> None:
    x = np.log2(1 + normalised()).astype(np.float32)
    assert detect_scale([(0, 0, csc_matrix(x))], 80).base == 2
    halves = [(0, 0, csc_matrix(x[:, :40])), (0, 40, csc_matrix(x[:, 40:]))]
    assert detect_scale(halves, 80).kind == "log1p"
