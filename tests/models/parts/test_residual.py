"""How much of what a network adds is right: found again where it is known, own targets apart."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_index import ToyIndex

from vccapp.models.parts.residual import fit_share

GENES = [f"GENE{i}" for i in range(60)]
LABELS = GENES[:4]


@settings(max_examples=30, deadline=None)
@given(share=st.floats(-1, 2), target=st.floats(-9, 9))
def test_a_known_share_is_found_within_its_bounds(share: float, target: float) -> None:
    base, added = np.random.default_rng(0).normal(0, 0.3, (2, len(LABELS), len(GENES))).astype(np.float32)
    effects = base + share * added
    effects[range(4), range(4)] = target
    control = np.full((1, len(GENES)), 10.0)
    index = ToyIndex(LABELS, GENES, means=np.vstack([control, control + effects]))
    assert fit_share(index, LABELS, base, base + added) == pytest.approx(np.clip(share, 0, 1), abs=1e-4)
    assert fit_share(index, LABELS, base, base) == 1
