import numpy as np
import pytest
from scipy.stats import false_discovery_control

from vccapp.stats.false_discovery import adjust_p_values


@pytest.mark.parametrize("seed", range(5))
def test_rates_are_scipys_to_the_last_digit(seed):
    rng = np.random.default_rng(seed)
    p = rng.uniform(size=(7, 500)) ** rng.integers(1, 40)
    p[:, ::5] = rng.choice([0.0, 1e-300, 0.04, 1.0], size=(7, 100))
    assert np.array_equal(adjust_p_values(p), false_discovery_control(p, axis=1))


@pytest.mark.parametrize("p", [[0.3], [0.0, 0.0], [1.0, 1.0, 0.5]])
def test_few_values(p):
    assert np.array_equal(adjust_p_values(np.array(p)), false_discovery_control(p))
