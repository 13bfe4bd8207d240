"""Whether a prediction is one effect for all."""

import numpy as np
import pytest

from vccapp.training.sameness import is_same_for_all

GENES = ["A", "B", "C", "X", "Y"]
ONE = np.float32([0.1, 0.2, 0.3, 0.4, 0.5])


@pytest.mark.parametrize(
    ("labels", "changes", "same"),
    [
        (["A", "B"], {}, True),
        (["A", "B"], {(0, 0): -2.0, (1, 1): -3.0}, True),  # what is silenced is no effect
        (["A", "B"], {(1, 4): 0.51}, False),
        (["A", "B", "A+B"], {(2, 3): 9.0}, True),  # a pair has another mean
        (["A@K562", "B@K562", "A@A549"], {(2, 3): 9.0}, True),  # and so has another context
        (["A@K562", "B@K562", "A@A549"], {(1, 3): 9.0}, False),
        (["A", "A+B"], {}, False),  # cannot be told
        ([], {}, False),
    ],
)
def test_but_for_the_targets(labels, changes, same):
    deltas = np.repeat(ONE[None], len(labels), axis=0)
    for place, value in changes.items():
        deltas[place] = value
    assert is_same_for_all(labels, deltas, GENES) == same
