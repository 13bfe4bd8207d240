"""The training loop: it minimises, keeps the best weights, goes on where it was, and says why it ended."""

import math
from pathlib import Path

import pytest
import torch
from refusals import refusal
from torch import nn
from torch.optim.lr_scheduler import CosineAnnealingLR, ExponentialLR

from vccapp.errors import SpecError, Stopped
from vccapp.neural.fitting.checkpoint import find_checkpoint, read_last
from vccapp.neural.fitting.fitting import Fitting
from vccapp.neural.fitting.loop import GAIN, LoopSpec, learning_rate, run_loop

pytestmark = pytest.mark.usefixtures("one_thread")


def make_network(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(4, 16), nn.BatchNorm1d(16), nn.SELU(), nn.Dropout(0.3), nn.Linear(16, 1))


def next_batch(step: int) -> torch.Tensor:
    return torch.randn(32, 4, generator=torch.Generator().manual_seed(step))


def step_loss(network: nn.Module, batch: torch.Tensor) -> dict[str, torch.Tensor]:
    error = ((network(batch)[:, 0] - batch.sum(1)) ** 2).mean()
    return {"loss": error * 2, "error": error}


def measure(network: nn.Module) -> dict[str, float]:
    return {"val_loss": step_loss(network, next_batch(10**6))["error"].item()}


def validate(network: nn.Module) -> dict[str, float]:
    assert not network.training and not torch.is_grad_enabled()
    return measure(network)


def fit(
    spec: LoopSpec, *, check=validate, loss=step_loss, lines=None, **fitting
) -> tuple[nn.Module, list[dict], object]:
    network, lines = make_network(), [] if lines is None else lines
    result = run_loop(
        network,
        next_batch=next_batch,
        step_loss=loss,
        spec=spec,
        fitting=Fitting(log=lines.append, device="cpu", **fitting),
        validate=check,
    )
    return network, lines, result


def weights(network: nn.Module) -> torch.Tensor:
    return torch.cat([value.double().ravel() for value in network.state_dict().values()])


SPEC = LoopSpec(steps=60, learning_rate=0.02, validate_every=10, ema=0.9, optimiser="adamw", weight_decay=0.01)


@pytest.mark.slow
def test_it_learns_and_logs_every_term() -> None:
    network, lines, result = fit(LoopSpec(steps=300, learning_rate=0.02, validate_every=100))
    terms = [line for line in lines if "loss" in line]
    assert [line["step"] for line in terms] == list(range(1, 301))
    assert all(line["loss"] == pytest.approx(2 * line["error"]) for line in terms)
    assert [line["step"] for line in lines if "val_loss" in line] == [0, 100, 200, 300]
    assert not network.training and measure(network)["val_loss"] < 0.25 * terms[0]["error"]
    assert result.steps == 300


def test_the_same_seed_gives_the_same_weights_and_another_does_not() -> None:
    first, second, other = (weights(fit(SPEC, seed=seed)[0]) for seed in (1, 1, 2))
    assert torch.equal(first, second) and not torch.equal(first, other)


@pytest.mark.parametrize("stop_at", [1, 10, 33, 59])
def test_a_stopped_training_goes_on_as_if_it_had_not_been(stop_at: int, tmp_path: Path) -> None:
    whole, all_lines, all_result = fit(SPEC)
    done = 0

    def stop(fraction: float, message: str = "") -> None:
        nonlocal done
        done += 1
        if done == stop_at:
            raise Stopped

    first_lines: list[dict] = []
    with pytest.raises(Stopped):
        fit(SPEC, lines=first_lines, folder=tmp_path, progress=stop)
    assert find_checkpoint(tmp_path).name == f"step-{stop_at:08d}"
    resumed, lines, result = fit(SPEC, folder=tmp_path)
    assert torch.equal(weights(whole), weights(resumed))
    assert first_lines + lines == all_lines and first_lines[-1]["step"] == stop_at
    assert (result.best_step, result.best_metric) == (all_result.best_step, all_result.best_metric)
    finished, lines, _ = fit(SPEC, folder=tmp_path)  # nothing is left to do
    assert not lines and torch.equal(weights(whole), weights(finished))


@pytest.mark.slow
def test_the_shares_of_a_step_are_learnt_from_as_one() -> None:
    spec = LoopSpec(steps=20, learning_rate=0.02)

    def train(**options: object) -> tuple[torch.Tensor, list[dict]]:
        torch.manual_seed(0)
        network, lines = nn.Linear(4, 1).double(), []
        run_loop(network, spec=spec, fitting=Fitting(log=lines.append, device="cpu"), **options)
        return weights(network), lines

    def share(number: int) -> torch.Tensor:
        return next_batch(number // 4)[number % 4 :: 4].double()

    whole, all_lines = train(next_batch=lambda step: next_batch(step).double(), step_loss=step_loss)
    shared, lines = train(
        next_batch=share,
        shares=4,
        step_loss=lambda network, batch: {name: term / 4 for name, term in step_loss(network, batch).items()},
    )
    torch.testing.assert_close(shared, whole, rtol=1e-9, atol=1e-12)
    assert [line.keys() for line in lines] == [line.keys() for line in all_lines]
    assert [line["error"] for line in lines] == pytest.approx([line["error"] for line in all_lines])


def test_the_best_weights_are_kept_not_the_last() -> None:
    values = iter([9.0, 3.0, 1.0, 2.0, math.nan, 5.0])
    seen = []

    def check(network: nn.Module) -> dict[str, float]:
        seen.append(weights(network))
        return {"val_loss": next(values)}

    network, _, result = fit(LoopSpec(steps=50, validate_every=10), check=check)
    assert (result.best_step, result.best_metric) == (20, 1.0)
    assert torch.equal(weights(network), seen[2]) and not torch.equal(seen[2], seen[5])
    values = iter([0.0, 3.0, 1.0, 2.0, 4.0, 5.0])
    seen.clear()
    network, _, result = fit(LoopSpec(steps=50, validate_every=10, better="high", keep="last"), check=check)
    assert result.best_step == 50 and torch.equal(weights(network), seen[5])


def test_a_network_that_only_gets_worse_is_left_as_it_was() -> None:
    values = iter(range(6))
    network, _, result = fit(LoopSpec(steps=50, validate_every=10), check=lambda _: {"val_loss": float(next(values))})
    assert result.best_step == 0 and torch.equal(weights(network), weights(make_network()))


def test_patience_ends_the_training_and_a_resumed_one_too(tmp_path: Path) -> None:
    values = iter([3.0, 2.9995, 2.9993, 0.0])
    spec = LoopSpec(steps=100, validate_start=False, validate_every=5, patience=2, min_improvement=0.001)
    _, lines, result = fit(spec, check=lambda _: {"val_loss": next(values)}, folder=tmp_path)
    assert result.steps == 15 and result.best_metric == 3.0
    _, lines, result = fit(spec, check=lambda _: {"val_loss": next(values)}, folder=tmp_path)
    assert result.steps == 15 and not lines


TRIAL = LoopSpec(steps=100, validate_every=4, trial=10)


def judged(losses: list[float], gains: list[float]):
    """Validations with these values, one after the other."""
    pairs = iter(zip(losses, gains, strict=True))

    def check(_: nn.Module) -> dict[str, float]:
        loss, gain = next(pairs)
        return {"val_loss": loss, GAIN: gain}

    return check


def test_a_training_that_does_not_help_is_given_up_and_stays_so(tmp_path: Path) -> None:
    """At its trial (validated then, too), with the weights of the start; a run killed right after is not taken up."""
    check = judged([1.0, 1.2, 1.1, 1.3], [0.0, 0.1, 0.1, -0.1])
    network, lines, result = fit(TRIAL, check=check, folder=tmp_path)
    assert [line["step"] for line in lines if "val_loss" in line] == [0, 4, 8, 10]
    assert result.hopeless and (result.steps, result.kept_step) == (10, 0)
    assert torch.equal(weights(network), weights(make_network()))
    again, lines, result = fit(TRIAL, check=judged([], []), folder=tmp_path)
    assert result.hopeless and result.steps == 10 and not lines
    assert torch.equal(weights(network), weights(again))


@pytest.mark.parametrize(
    ("losses", "gains"),
    [([1.0, 1.2, 0.9, 1.3], [0.0, -1.0, -1.0, -1.0]), ([1.0, 1.2, 1.1, 1.3], [0.0, -1.0, -1.0, 0.01])],
)
def test_one_sign_that_it_helps_lets_it_go_on(losses: list[float], gains: list[float], tmp_path: Path) -> None:
    """A validation that is better than the start, or a share that helps: also where it is stopped right at its trial"""
    rest = [2.0] * 23
    _, lines, result = fit(TRIAL, check=judged(losses + rest, gains + [-1.0] * 23))
    assert not result.hopeless and result.steps == 100

    def stop(fraction: float, message: str = "") -> None:
        if fraction >= 0.1:
            raise Stopped

    first: list[dict] = []
    with pytest.raises(Stopped):
        fit(TRIAL, check=judged(losses, gains), lines=first, folder=tmp_path, progress=stop)
    _, second, result = fit(TRIAL, check=judged(losses[3:] + rest, gains[3:] + [-1.0] * 23), folder=tmp_path)
    assert result.steps == 100 and first + second == lines


def test_averaged_weights_are_those_that_are_validated_and_kept() -> None:
    seen = []

    def check(network: nn.Module) -> dict[str, float]:
        seen.append(weights(network))
        return {"val_loss": 1.0}

    spec = LoopSpec(steps=40, validate_start=False, validate_every=40, ema=0.95)
    network, _, _ = fit(spec, check=check)
    plain, _, _ = fit(LoopSpec(steps=40))
    assert torch.equal(weights(network), seen[0]) and not torch.allclose(weights(plain), seen[0])


@pytest.mark.slow
@pytest.mark.parametrize("schedule", ["exponential", "cosine"])
def test_schedules_are_those_of_torch(schedule: str) -> None:
    spec = LoopSpec(steps=50, schedule=schedule, decay=0.9, decay_every=1)
    optimiser = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=spec.learning_rate)
    oracle = ExponentialLR(optimiser, 0.9) if schedule == "exponential" else CosineAnnealingLR(optimiser, 50)
    for step in range(50):
        assert learning_rate(spec, step) == pytest.approx(optimiser.param_groups[0]["lr"], rel=1e-9)
        optimiser.step()
        oracle.step()


def test_warm_up_rises_to_the_rate() -> None:
    rates = [learning_rate(LoopSpec(steps=100, warmup=4, learning_rate=1.0), step) for step in range(6)]
    assert rates == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]


def test_frozen_weights_stay() -> None:
    network = make_network()
    network[0].weight.requires_grad_(False)
    before = network[0].weight.clone()
    run_loop(
        network,
        next_batch=next_batch,
        step_loss=step_loss,
        spec=LoopSpec(steps=5, ema=0.9),
        fitting=Fitting(device="cpu"),
    )
    assert torch.equal(before, network[0].weight)


@pytest.mark.parametrize(("wrong", "code"), [(math.nan, "loss_not_finite"), (1e9, "diverged")])
def test_a_loss_that_is_no_number_ends_the_training(wrong: float, code: str, tmp_path: Path) -> None:
    def breaking(network: nn.Module, batch: torch.Tensor) -> dict[str, torch.Tensor]:
        terms = step_loss(network, batch)
        if torch.equal(batch, next_batch(6)):
            return {"error": terms["error"] * wrong, "loss": terms["loss"] * wrong}
        return terms

    with refusal(SpecError, code):
        fit(LoopSpec(steps=20, checkpoint_seconds=0), loss=breaking, folder=tmp_path)
    assert find_checkpoint(tmp_path).name == "step-00000006"


def test_a_metric_that_is_not_there_is_told() -> None:
    with refusal(SpecError, "unknown_metric"):
        fit(LoopSpec(steps=20, validate_every=5, metric="val_pds"))


def test_a_failing_batch_is_raised() -> None:
    def broken(step: int) -> torch.Tensor:
        if step == 3:
            raise SpecError("unknown_cell", "no such cell")
        return next_batch(step)

    with refusal(SpecError, "unknown_cell"):
        run_loop(make_network(), next_batch=broken, step_loss=step_loss, spec=LoopSpec(steps=9), fitting=Fitting())


@pytest.mark.parametrize("spoilt", [3, 10])
def test_a_gradient_that_is_no_number_ends_the_training_with_its_last_good_checkpoint(
    spoilt: int, tmp_path: Path
) -> None:
    """Also that of the last step, which no later loss would tell."""
    done = 0

    def spoil(network: nn.Module, batch: torch.Tensor) -> dict[str, torch.Tensor]:
        nonlocal done
        done += 1
        terms = step_loss(network, batch)
        if done == spoilt:  # its value is 0, its gradient infinite times 0
            terms["loss"] = terms["loss"] + (next(network.parameters()) * 0).sqrt().sum()
        return terms

    spec = LoopSpec(steps=10, learning_rate=0.01, clip=0, checkpoint_seconds=0)
    with refusal(SpecError, "weights_not_finite") as caught:
        fit(spec, check=None, loss=spoil, folder=tmp_path)
    assert caught.value.found == spoilt
    last = read_last(tmp_path)
    assert last is not None and last.step == spoilt - 1
    assert all(torch.isfinite(value).all() for value in last.weights.values())
