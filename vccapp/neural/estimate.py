"""How fast this machine multiplies matrices, measured without torch, and what a training of so many products takes."""

import time
from functools import lru_cache

import numpy as np

TORCH_BYTES = 450_000_000
"""torch and its libraries, resident."""
SIZE, REPEATS = 1024, 3
BYTES_A_WEIGHT = 24
"""Weight, gradient, two moments of Adam, the best so far, and a copy while a checkpoint is written; float32."""


@lru_cache(maxsize=1)
def measure_speed() -> float:
    """Floating-point operations a second in float32, on all cores; the best of a few products of 1,024 squared."""
    a = np.random.default_rng(0).random((SIZE, SIZE), np.float32)
    seconds = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        a @ a
        seconds.append(time.perf_counter() - began)
    return 2 * SIZE**3 / min(seconds)
