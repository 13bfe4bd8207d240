"""The clock of train.py: ticks at the end of every optimiser step, and ends the training after enough of them."""

import time

STARTED = time.perf_counter()
WARM_UP = 3
"""Steps that are left out."""


class Enough(Exception):
    """As many steps as asked for are done."""


class Clock:
    """Told of the end of every optimiser step; ends the training after enough of them."""

    def __init__(self, steps: int, *, cells: int) -> None:
        self.steps, self.cells = steps, cells
        self.wall: list[float] = []
        self.cpu: list[float] = []

    def tick(self) -> None:
        self.wall.append(time.perf_counter())
        self.cpu.append(time.process_time())
        if len(self.wall) >= self.steps + WARM_UP:
            raise Enough

    def watch_torch(self) -> None:
        """Tick after every step of any optimiser of torch."""
        from torch.optim.optimizer import register_optimizer_step_post_hook

        register_optimizer_step_post_hook(lambda *_: self.tick())

    def watch_ours(self) -> None:
        """Tick after every step of our optimiser."""
        from vccapp.neural.fitting.speed import Adam

        step = Adam.step

        def ticking(optimiser: Adam, rate: float) -> None:
            step(optimiser, rate)
            self.tick()

        Adam.step = ticking

    def figures(self) -> dict[str, float]:
        steps = sorted(b - a for a, b in zip(self.wall[WARM_UP - 1 :], self.wall[WARM_UP:], strict=False))
        cpu = (self.cpu[-1] - self.cpu[WARM_UP - 1]) / len(steps)
        return {
            "cells_per_second": self.cells / steps[len(steps) // 2],
            "cpu_cells_per_second": self.cells / cpu,
            "first_seconds": self.wall[0] - STARTED,
            "first_cpu_seconds": self.cpu[0],
        }
