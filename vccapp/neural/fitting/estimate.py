"""How fast this machine multiplies matrices, measured without torch, and what a training of so many products takes."""

import math
import time
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Literal, Self

import numpy as np

from vccapp.wording import bytes_text, duration_text

Precision = Literal["auto", "float32"]
"""Of a network's products in training: auto is bfloat16 where that is quicker."""
TORCH_BYTES = 200_000_000
"""torch and its libraries, resident; measured, 110 to 140 MB."""
CPU_FLAGS = Path("/proc/cpuinfo")
BFLOAT16_FLAGS = {"avx512_bf16", "amx_bf16"}
BFLOAT16_TIMES = 2.5
"""So many times as quick is a training in bfloat16 on such a CPU; measured, 2.1 (`xs`) to 3.2 (`sm`)."""
EFFICIENCY = 0.75
"""Of the speed of a large product of matrices, that a training reaches; measured."""
SIZE, REPEATS = 1024, 3
MEASURED_SECONDS = 60
_measured = [(0.0, -math.inf)]
"""Most operations a second so far, and when they were measured last."""
BYTES_A_WEIGHT = 24
"""Weight, gradient, two moments of Adam and the best so far in float32; the sixth is their average, or a copy in
bfloat16."""


@dataclass(frozen=True)
class Estimate:
    """What a fit will take: seconds on this machine (within a factor of two), bytes at its peak, and why."""

    seconds: float
    memory_bytes: int
    text: str = ""

    def shared(self, devices: int) -> Self:
        """The same by several processes of this machine: no quicker on its CPU, each with memory of its own."""
        return replace(self, memory_bytes=devices * self.memory_bytes)

    def describe(self) -> str:
        about = f"About {duration_text(self.seconds)} on this machine's CPU, {bytes_text(self.memory_bytes)} of memory"
        return f"{about}; {self.text}." if self.text else f"{about}."


def measure_speed() -> float:
    """Floating-point operations a second in float32, on all cores: the most so far, as other work slows it down."""
    best, at = _measured[0]
    if time.monotonic() - at > MEASURED_SECONDS:
        best = max(best, _multiply())
        _measured[0] = best, time.monotonic()
    return best


def _multiply() -> float:
    """The best of a few products of SIZE squared."""
    a = np.random.default_rng(0).random((SIZE, SIZE), np.float32)
    seconds = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        a @ a
        seconds.append(time.perf_counter() - began)
    return 2 * SIZE**3 / min(seconds)


@lru_cache(maxsize=1)
def has_bfloat16() -> bool:
    """Whether this CPU has products of bfloat16 (AVX512-BF16, AMX); on others they are much slower than float32."""
    try:
        lines = CPU_FLAGS.read_text().splitlines()
    except OSError:
        return False
    flags = next((line.partition(":")[2].split() for line in lines if line.startswith("flags")), ())
    return not BFLOAT16_FLAGS.isdisjoint(flags)


def training_speed(precision: Precision) -> float:
    """Floating-point operations a second that a training reaches on this CPU."""
    return EFFICIENCY * measure_speed() * (BFLOAT16_TIMES if precision == "auto" and has_bfloat16() else 1)
