"""The training loop of every network: one function, readable from top to bottom.

    result = run_loop(
        network,                                    # on its device; what requires a gradient is trained
        next_batch=lambda step: ...,                # any object; called one step ahead on a thread, so it must be pure
        step_loss=lambda network, batch: {"loss": total, "energy": ..., ...},   # `loss` is minimised, all are logged
        validate=lambda network: {"val_mae": ...},  # called without gradients, in eval mode, on the averaged weights
        spec=LoopSpec(steps=4000, validate_every=200, metric="val_mae"),
        fitting=fitting,
    )                                               # the network now has its best weights

All that happens at a step follows from the seed and the step's number: batches by their samplers, dropout by reseeding
torch at each step, the learning rate by a formula. So a run that was killed and goes on from its last checkpoint ends
with the very weights of one that was not (on a CPU with as many threads). A loss that is no number ends the training
with a sentence, before a checkpoint could keep it.

Where processes share the steps, each runs this loop: `next_batch` gives its own part, and the mean of the terms over
the processes is that of the step. The first one alone logs, validates, reports and writes checkpoints.
"""

import contextlib
import copy
import ctypes
import math
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Literal, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from vccapp.errors import SpecError, Stopped
from vccapp.neural.fitting.adam import Adam
from vccapp.neural.fitting.checkpoint import Checkpoint, find_checkpoint, read_checkpoint, write_checkpoint
from vccapp.neural.fitting.estimate import Precision, has_bfloat16
from vccapp.neural.fitting.fitting import Fitting, forget
from vccapp.neural.fitting.processes import average_terms, share_gradients, take_from_first
from vccapp.progress import silent

Batch = TypeVar("Batch")
LOG_LINES = 2000
"""About so many lines are logged in a run, each the mean of the steps since the last."""
CHECKPOINT_SHARE = 0.02
"""Of the time at most goes into checkpoints: those of large networks take seconds."""
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Of glibc's mallopt."""
DIVERGED = 1000
"""A loss this many times the first one's size."""


@dataclass(frozen=True)
class LoopSpec:
    """
    schedule : of the learning rate after a linear `warmup` (steps): constant; cosine down to `final` of it at the end;
        exponential: times `decay` after every `decay_every` steps
    clip : largest norm of the gradient, 0 for none; ema : of the averaged weights, e.g. 0.999, 0 for none
    validate_every : steps, 0 for never; validate_start : before the first step too, so that what a network starts from
        can be its best; metric : what decides on the best weights, `better` when "low" or "high";
        patience : validations without an improvement of more than min_improvement before the end, 0 for no early end
    checkpoint_seconds : between checkpoints, at least; 0: one after every step
    """

    steps: int
    learning_rate: float = 1e-3
    schedule: Literal["constant", "cosine", "exponential"] = "constant"
    warmup: int = 0
    final: float = 0.0
    decay: float = 0.9
    decay_every: int = 1000
    optimiser: Literal["adam", "adamw"] = "adam"
    weight_decay: float = 0.0
    clip: float = 1.0
    ema: float = 0.0
    validate_every: int = 0
    validate_start: bool = True
    metric: str = "val_loss"
    better: Literal["low", "high"] = "low"
    patience: int = 0
    min_improvement: float = 0.0
    keep: Literal["best", "last"] = "best"
    checkpoint_seconds: float = 60.0


@dataclass(frozen=True)
class LoopResult:
    """How a training went: steps done, those of the best weights, their metric, and where the time went."""

    steps: int
    best_step: int
    best_metric: float | None
    seconds: float  # of this process
    waited: float  # seconds of them waiting for batches


def run_loop(
    network: nn.Module,
    *,
    next_batch: Callable[[int], Batch],
    shares: int = 1,
    step_loss: Callable[[nn.Module, Batch], dict[str, Tensor]],
    spec: LoopSpec,
    fitting: Fitting,
    validate: Callable[[nn.Module], dict[str, float]] | None = None,
) -> LoopResult:
    """Train `network` in place, from the last checkpoint of `fitting.folder` where there is one.

    shares : batches of a step, whose terms and gradients are added up; those of step s are shares * s and on

    Raises SpecError when the loss is no number or grows without bound, or a validation lacks `spec.metric`; lets
    Stopped pass after a checkpoint.
    """
    _keep_freed_memory()
    state = _LoopState(network, spec)
    if fitting.folder is not None and (found := find_checkpoint(fitting.folder)) is not None:
        state.restore(read_checkpoint(found))
    leads, forward = fitting.rank == 0, network
    if fitting.ranks > 1:
        forward = share_gradients(network)
        fitting = fitting if leads else replace(fitting, log=forget, progress=silent, folder=None)
    began = kept = time.monotonic()
    waited = took = 0.0
    log_every = max(1, spec.steps // LOG_LINES)
    trained = [value for value in network.parameters() if value.requires_grad]

    def judge() -> None:
        state.check()
        if leads:
            values = _validate(network, validate, state, seed=fitting.seed)
            fitting.log({"step": state.step} | values)
            state.judge(values)
        if fitting.ranks > 1:  # they end together
            state.since_best = take_from_first(state.since_best, like=trained[0])

    def keep() -> None:
        if fitting.folder is not None:
            write_checkpoint(fitting.folder, state.checkpoint())

    network.train()
    if validate is not None and spec.validate_every and spec.validate_start and state.step == 0:
        judge()
    with ThreadPoolExecutor(1, thread_name_prefix="batches") as thread:
        following = thread.submit(next_batch, shares * state.step) if not state.ended(spec) else None
        while following is not None:
            torch.manual_seed(_step_seed(fitting.seed, state.step, fitting.rank))
            state.optimiser.zero_grad()
            terms: dict[str, Tensor] = {}
            last = shares * (state.step + 1)
            # Around all shares, so that weights are cast to bfloat16 once a step and not for each of them.
            with torch.autocast(trained[0].device.type, enabled=False):
                for number in range(last - shares + 1, last + 1):
                    asked = time.monotonic()
                    batch = following.result()
                    waited += time.monotonic() - asked
                    following = thread.submit(next_batch, number) if number < shares * spec.steps else None
                    # Processes give each other their gradients once a step.
                    with contextlib.nullcontext() if number == last or fitting.ranks == 1 else forward.no_sync():
                        found = step_loss(forward, batch)
                        found["loss"].backward()
                    terms = {name: value.detach() + terms.get(name, 0) for name, value in found.items()}
            if spec.clip:
                _clip(trained, spec.clip)
            state.optimiser.step(learning_rate(spec, state.step))
            state.took_step(average_terms(terms) if fitting.ranks > 1 else terms)

            if state.step % log_every == 0 or state.step == spec.steps:
                state.log(fitting.log, learning_rate(spec, state.step - 1))
            if validate is not None and spec.validate_every and state.step % spec.validate_every == 0:
                judge()
                if state.ended(spec):
                    following = None
            try:
                fitting.progress(state.step / spec.steps, f"step {state.step:,} of {spec.steps:,}, {state.shown()}")
            except Stopped:
                state.check()
                keep()
                raise
            due = max(spec.checkpoint_seconds, took / CHECKPOINT_SHARE) if spec.checkpoint_seconds else 0
            if time.monotonic() - kept > due or state.ended(spec):
                state.check()
                asked = time.monotonic()
                keep()
                kept = time.monotonic()
                took = kept - asked
    state.finish()
    return LoopResult(state.step, state.best_step, state.best_metric, time.monotonic() - began, waited)


def learning_rate(spec: LoopSpec, step: int) -> float:
    """The rate at a step, counted from 0."""
    rate = spec.learning_rate
    if spec.schedule == "cosine":
        done = (step - spec.warmup) / max(spec.steps - spec.warmup, 1)
        rate *= spec.final + (1 - spec.final) * 0.5 * (1 + math.cos(math.pi * min(max(done, 0.0), 1.0)))
    elif spec.schedule == "exponential":
        rate *= spec.decay ** (step // spec.decay_every)
    return rate * min(1.0, (step + 1) / spec.warmup) if spec.warmup else rate


def _clip(trained: list[nn.Parameter], limit: float) -> None:
    """As torch's clip_grad_norm_, without its pass over all gradients where their norm is within the limit."""
    norm = nn.utils.get_total_norm([value.grad for value in trained if value.grad is not None])
    # On a GPU a look at the norm would wait for the step.
    if norm.device.type == "cuda" or norm > limit:
        nn.utils.clip_grads_with_norm_(trained, limit, norm)


def _keep_freed_memory() -> None:
    """Let glibc keep blocks of up to 32 MB that are freed: else each gradient is new pages, a tenth of a step."""
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL(None)
        libc.mallopt(M_MMAP_THRESHOLD, 2**25)
        libc.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)


def choose_device(device: str) -> torch.device:
    """ "auto" is CUDA where there is one. Raises SpecError when CUDA is asked for and there is none."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise SpecError(
            "no_gpu",
            f"The device '{device}' is not there: this machine has no CUDA GPU that torch can use",
            fix="choose cpu",
        )
    return torch.device(device)


def multiplies_bfloat16(device: torch.device, precision: Precision) -> bool:
    """Whether products are to be in bfloat16, which is quicker on some devices."""
    return precision == "auto" and (device.type == "cuda" or has_bfloat16())


class _LoopState:
    """What changes from step to step, and what a checkpoint holds of it."""

    def __init__(self, network: nn.Module, spec: LoopSpec) -> None:
        self.network, self.spec = network, spec
        trained = [value for _, value in self._trained()]
        self.optimiser = Adam(trained, weight_decay=spec.weight_decay, decoupled=spec.optimiser == "adamw")
        self.step = 0
        self.best_step, self.best_metric, self.since_best = 0, None, 0
        self.best: dict[str, Tensor] = {}
        self.average = {name: value.detach().clone() for name, value in self._trained()} if spec.ema else {}
        self.first_loss: float | None = None
        self._pending: list[dict[str, Tensor]] = []
        self._sums: dict[str, float] = {}
        self._n = 0
        self._shown = ""

    def _trained(self) -> list[tuple[str, Tensor]]:
        return [(name, value) for name, value in self.network.named_parameters() if value.requires_grad]

    def ended(self, spec: LoopSpec) -> bool:
        return self.step >= spec.steps or bool(spec.patience and self.since_best >= spec.patience)

    def took_step(self, terms: dict[str, Tensor]) -> None:
        self.step += 1
        self._pending.append(terms)
        if self.average:
            # A young average follows quickly: Kingma & Ba's correction as a ramp.
            ema = min(self.spec.ema, (1 + self.step) / (10 + self.step))
            now = dict(self._trained())
            torch._foreach_lerp_(list(self.average.values()), [now[name].detach() for name in self.average], 1 - ema)

    def check(self) -> None:
        """Add up the terms of the steps since the last look. Raises SpecError when one is no number, or too large."""
        for terms in self._pending:
            for name, value in terms.items():
                number = float(value)
                self._sums[name] = self._sums.get(name, 0.0) + number
                if not math.isfinite(number):
                    raise SpecError(
                        "loss_not_finite",
                        f"The training ended at step {self.step:,}: its loss term '{name}' is {number}, no "
                        "number to learn from",
                        fix="lower the learning rate, or the weight of that term",
                    )
            loss = float(terms["loss"])
            self.first_loss = loss if self.first_loss is None else self.first_loss
            if abs(loss) > DIVERGED * max(abs(self.first_loss), 1.0):
                raise SpecError(
                    "diverged",
                    f"The training diverged at step {self.step:,}: its loss went from {self.first_loss:.4g} "
                    f"to {loss:.4g}",
                    fix="lower the learning rate",
                )
            self._n += 1
        self._pending.clear()

    def log(self, log: Callable[[dict[str, float]], None], rate: float) -> None:
        self.check()
        means = {name: total / self._n for name, total in self._sums.items()}
        self._shown = f"loss {means['loss']:.4g}"
        self._sums, self._n = {}, 0
        log({"step": self.step} | means | {"learning_rate": rate})

    def shown(self) -> str:
        return self._shown

    def judge(self, values: dict[str, float]) -> None:
        """Keep the weights, if this validation is the best so far."""
        if self.spec.metric not in values:
            raise SpecError(
                "unknown_metric",
                f"The validation has no metric '{self.spec.metric}'",
                fix=f"choose one of {', '.join(values)}",
            )
        value = values[self.spec.metric]
        sign = 1 if self.spec.better == "low" else -1
        known = self.best_metric
        # A metric that is not defined (a correlation with a constant) is no improvement.
        if math.isfinite(value) and (known is None or sign * (known - value) > self.spec.min_improvement):
            self.best_metric, self.best_step, self.since_best = value, self.step, 0
            if self.spec.keep == "best":
                self.best = copy.deepcopy(dict(self.network.state_dict()) | self.average)
        else:
            self.since_best += 1

    def checkpoint(self) -> Checkpoint:
        weights = {f"network.{name}": value for name, value in self.network.state_dict().items()}
        weights |= {f"best.{name}": value for name, value in self.best.items()}
        weights |= {f"average.{name}": value for name, value in self.average.items()}
        counts = {
            "best_step": self.best_step,
            "best_metric": self.best_metric,
            "since_best": self.since_best,
            "first_loss": self.first_loss,
            "sums": self._sums,
            "n": self._n,
        }
        return Checkpoint(self.step, weights, self.optimiser.state, counts)

    def restore(self, checkpoint: Checkpoint) -> None:
        def named(kind: str) -> dict[str, Tensor]:
            start = f"{kind}."
            return {k.removeprefix(start): v for k, v in checkpoint.weights.items() if k.startswith(start)}

        self.network.load_state_dict(named("network"))
        device = next(self.network.parameters()).device
        self.best = {name: value.to(device) for name, value in named("best").items()}
        self.average = {name: value.to(device) for name, value in named("average").items()}
        self.optimiser.restore(checkpoint.optimiser)
        self.step = checkpoint.step
        counts = checkpoint.counts
        self.best_step, self.best_metric = counts["best_step"], counts["best_metric"]
        self.since_best, self.first_loss = counts["since_best"], counts["first_loss"]
        self._sums, self._n = counts["sums"], counts["n"]

    def finish(self) -> None:
        """Give the network its best weights: those of the best validation, else the averaged ones, else the last."""
        self.network.load_state_dict(self.best or dict(self.network.state_dict()) | self.average)
        self.network.eval()


def _validate(
    network: nn.Module, validate: Callable[[nn.Module], dict[str, float]], state: _LoopState, *, seed: int
) -> dict[str, float]:
    """Scores of the network with its averaged weights; afterwards it is as before."""
    own = {name: value.detach().clone() for name, value in state._trained()} if state.average else {}
    network.load_state_dict(state.average, strict=False)
    network.eval()
    torch.manual_seed(_step_seed(seed, state.step))
    with torch.no_grad():
        values = validate(network)
    network.load_state_dict(own, strict=False)
    network.train()
    return values


def _step_seed(seed: int, step: int, rank: int = 0) -> int:
    """Other draws in each process of a step: its cells are others."""
    entropy = (seed, 3, step, rank) if rank else (seed, 3, step)
    return int(np.random.SeedSequence(entropy).generate_state(1, np.uint64)[0] >> np.uint64(1))
