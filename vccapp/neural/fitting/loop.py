"""The training loop of every network: one function, read from top to bottom.

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
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Literal, TypeVar, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from vccapp.errors import DataError, SpecError, Stopped
from vccapp.faults import refuse_shortage
from vccapp.neural.fitting.checkpoint import CHECKPOINT, Checkpoint, Checkpoints, read_last
from vccapp.neural.fitting.fitting import Fitting, forget
from vccapp.neural.fitting.processes import average_terms, share_gradients, take_from_first
from vccapp.neural.fitting.speed import Adam, cast_once, clip, gather_ahead, keep_freed_memory
from vccapp.neural.fitting.tally import Best, Terms
from vccapp.progress import silent

Batch = TypeVar("Batch")
Network = TypeVar("Network", bound=nn.Module)
GAIN = "val_gain"
"""What a validation says of what a network adds to its baseline: does any share of it help?"""
LOG_LINES = 2000
"""About so many lines are logged in a run, each the mean of the steps since the last."""


@dataclass(frozen=True)
class LoopSpec:
    """
    schedule : of the learning rate after a linear `warmup` (steps): constant; cosine down to `final` of it at the end;
        exponential: times `decay` after every `decay_every` steps
    clip : largest norm of the gradient, 0 for none; ema : of the averaged weights, e.g. 0.999, 0 for none
    validate_every : steps, 0 for never; validate_start : before the first step too, so that what a network starts from
        can be its best; metric : what decides on the best weights, `better` when "low" or "high";
        patience : validations without an improvement of more than min_improvement before the end, 0 for no early end
    trial : a step at which the training ends as hopeless, if no validation so far was better than the start and the
        last one's `GAIN` is not above 0; 0: never
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
    trial: int = 0
    keep: Literal["best", "last"] = "best"
    checkpoint_seconds: float = 60.0


@dataclass(frozen=True)
class LoopResult:
    """How a training went: steps done, those of the best weights, and their metric.

    kept_step : those of the weights that were kept because they were the best; None: the last ones were kept
    hopeless : whether it ended at its trial
    """

    steps: int
    best_step: int
    best_metric: float | None
    kept_step: int | None
    hopeless: bool = False


def run_loop(
    network: Network,
    *,
    next_batch: Callable[[int], Batch],
    shares: int = 1,
    step_loss: Callable[[Network, Batch], dict[str, Tensor]],
    spec: LoopSpec,
    fitting: Fitting,
    validate: Callable[[Network], dict[str, float]] | None = None,
) -> LoopResult:
    """Train `network` in place, from the last checkpoint of `fitting.folder` where there is one.

    shares : batches of a step, whose terms and gradients are added up; those of step s are shares * s and on

    Raises SpecError when the loss or a weight is no number, the loss grows without bound, or a validation lacks
    `spec.metric`; lets Stopped pass after a checkpoint.
    """
    keep_freed_memory()
    log_every = max(1, spec.steps // LOG_LINES)

    # The state: all that changes from step to step, and all that a checkpoint holds.
    step = 0  # steps done
    validated = -1  # of them, at the last validation
    weights = [weight for weight in network.parameters() if weight.requires_grad]
    optimiser = Adam(weights, weight_decay=spec.weight_decay, decoupled=spec.optimiser == "adamw")
    averaged = _average(network, spec.ema) if spec.ema else None
    terms, best = Terms(), Best()
    if (last := read_last(fitting.folder)) is not None:
        step, validated = last.step, last.counts["validated"]
        terms, best = _restore(last, network, optimiser, averaged)
    judged = network if averaged is None else cast("Network", averaged.module)  # a copy of it

    # Where several processes share the steps, the first one alone speaks and writes.
    shared, leads = fitting.ranks > 1, fitting.rank == 0
    wrapped = share_gradients(network) if shared else None
    forward = network if wrapped is None else cast("Network", wrapped)  # called in its place
    if not leads:
        fitting = replace(fitting, log=forget, progress=silent, folder=None)

    checkpoints = Checkpoints(fitting.folder, step=step, seconds=spec.checkpoint_seconds)
    loss_text = ""
    network.train()
    with contextlib.closing(gather_ahead(next_batch, range(shares * step, shares * spec.steps))) as batches:
        while True:
            # Validate, before the first step too.
            if validate is not None and validated != step and _is_validated(spec, step):
                if leads:
                    values = _validate(judged, validate, seed=_step_seed(fitting.seed, step))
                    fitting.log({"step": step} | values)
                    value = _find_metric(values, spec.metric)
                    if best.is_beaten(value, better=spec.better, by_more_than=spec.min_improvement):
                        kept = copy.deepcopy(judged.state_dict()) if spec.keep == "best" else {}
                        best = Best(step, value, weights=kept)
                    else:
                        best.since += 1
                    if step and step == spec.trial:
                        best.hopeless = best.step == 0 and not _find_metric(values, GAIN) > 0
                if shared:  # they end together
                    best.since = take_from_first(best.since, like=weights[0])
                    best.hopeless = bool(take_from_first(best.hopeless, like=weights[0]))
                validated = step
                network.train()
            if step >= spec.steps or best.hopeless or (spec.patience and best.since >= spec.patience):
                break

            # Step: gradients of all shares, then the optimiser, then the averaged weights.
            torch.manual_seed(_step_seed(fitting.seed, step, fitting.rank))
            optimiser.zero_grad()
            found: dict[str, Tensor] = {}
            with cast_once(weights):
                for share in range(shares):
                    # Processes give each other their gradients once a step, with the last share.
                    with wrapped.no_sync() if wrapped and share < shares - 1 else contextlib.nullcontext():
                        losses = step_loss(forward, next(batches))
                        losses["loss"].backward()
                    found = {name: value.detach() + found.get(name, 0) for name, value in losses.items()}
            if spec.clip:
                clip(weights, spec.clip)
            rate = learning_rate(spec, step)
            optimiser.step(rate)
            step += 1
            if averaged is not None:
                averaged.update_parameters(network)
            terms.add(average_terms(found) if shared else found, step=step)

            # Log.
            if step % log_every == 0 or step == spec.steps:
                means = terms.take_means()
                fitting.log({"step": step} | means | {"learning_rate": rate})
                loss_text = f"loss {means['loss']:.4g}"

            # Checkpoint, where one is due or the training is asked to stop.
            try:
                fitting.progress(step / spec.steps, f"step {step:,} of {spec.steps:,}, {loss_text}")
            except Stopped:
                _require_finite(weights, step)
                checkpoints.write(_pack(step, validated, network, optimiser, averaged, terms, best))
                raise
            if step < spec.steps and checkpoints.are_due():
                _require_finite(weights, step)
                checkpoints.write(_pack(step, validated, network, optimiser, averaged, terms, best))

    _require_finite(weights, step)
    checkpoints.write(_pack(step, validated, network, optimiser, averaged, terms, best))
    network.load_state_dict(best.weights or judged.state_dict())
    network.eval()
    return LoopResult(step, best.step, best.metric, best.step if best.weights else None, hopeless=best.hopeless)


def _require_finite(weights: Iterable[nn.Parameter], step: int) -> None:
    """Raise SpecError where a step has spoilt the weights, before a checkpoint or a model could keep them.

    A gradient may be no number where the loss still was one.
    """
    if not all(bool(torch.isfinite(weight).all()) for weight in weights):
        raise SpecError(
            "weights_not_finite",
            f"The training ended at step {step:,}: weights of the network are not numbers",
            found=step,
            fix="lower the learning rate",
        )


def learning_rate(spec: LoopSpec, step: int) -> float:
    """The rate at a step, counted from 0."""
    rate = spec.learning_rate
    if spec.schedule == "cosine":
        done = (step - spec.warmup) / max(spec.steps - spec.warmup, 1)
        rate *= spec.final + (1 - spec.final) * 0.5 * (1 + math.cos(math.pi * min(max(done, 0.0), 1.0)))
    elif spec.schedule == "exponential":
        rate *= spec.decay ** (step // spec.decay_every)
    return rate * min(1.0, (step + 1) / spec.warmup) if spec.warmup else rate


def _is_validated(spec: LoopSpec, step: int) -> bool:
    if not step:
        return spec.validate_every > 0 and spec.validate_start
    return step == spec.trial or (spec.validate_every > 0 and step % spec.validate_every == 0)


def _average(network: nn.Module, ema: float) -> AveragedModel:
    """A copy whose weights follow those of `network`; at first quickly: Kingma & Ba's correction as a ramp."""

    Tensors = tuple[Tensor, ...] | list[Tensor]

    def follow(mine: Tensors, others: Tensors, step: Tensor | int) -> None:
        n = int(step)
        get_ema_multi_avg_fn(min(ema, (1 + n) / (10 + n)))(mine, others, n)

    averaged = AveragedModel(network, multi_avg_fn=follow)
    averaged.update_parameters(network)  # the first update copies
    return averaged


def _validate(network: Network, validate: Callable[[Network], dict[str, float]], *, seed: int) -> dict[str, float]:
    network.eval()
    torch.manual_seed(seed)
    with torch.no_grad():
        return validate(network)


def _find_metric(values: dict[str, float], metric: str) -> float:
    if metric not in values:
        raise SpecError(
            "unknown_metric",
            f"The validation has no metric '{metric}'",
            found=metric,
            fix=f"choose one of {', '.join(values)}",
        )
    return values[metric]


def _step_seed(seed: int, step: int, rank: int = 0) -> int:
    """Other draws in each process of a step: its cells are others."""
    entropy = (seed, 3, step, rank) if rank else (seed, 3, step)
    return int(np.random.SeedSequence(entropy).generate_state(1, np.uint64)[0] >> np.uint64(1))


def _pack(
    step: int,
    validated: int,
    network: nn.Module,
    optimiser: Adam,
    averaged: AveragedModel | None,
    terms: Terms,
    best: Best,
) -> Checkpoint:
    weights = {f"network.{name}": value for name, value in network.state_dict().items()}
    weights |= {f"best.{name}": value for name, value in best.weights.items()}
    if averaged is not None:
        weights |= {f"average.{name}": value.detach() for name, value in averaged.module.named_parameters()}
    counts = {"validated": validated} | terms.counts() | best.counts()
    return Checkpoint(step, weights, optimiser.state, counts)


def _restore(
    checkpoint: Checkpoint, network: nn.Module, optimiser: Adam, averaged: AveragedModel | None
) -> tuple[Terms, Best]:
    """Put back what `_pack` took. Raises DataError for a checkpoint that does not fit the network."""
    device = next(network.parameters()).device
    try:
        network.load_state_dict(checkpoint.part("network"))
        optimiser.restore(checkpoint.optimiser)
        if averaged is not None:
            averaged.module.load_state_dict(checkpoint.part("network") | checkpoint.part("average"))
            averaged.n_averaged.fill_(checkpoint.step + 1)
        best = {name: value.to(device) for name, value in checkpoint.part("best").items()}
        return Terms.restore(checkpoint.counts), Best.restore(checkpoint.counts, best)
    except (RuntimeError, LookupError, TypeError, ValueError, AttributeError) as error:
        refuse_shortage(error)
        raise DataError(
            "checkpoint_damaged",
            f"The checkpoint of step {checkpoint.step} does not fit the network",
            fix=CHECKPOINT.fix,
        ) from None
