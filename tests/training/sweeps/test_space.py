"""The search space of a sweep: read from text, checked against the model, counted, and said as a command again."""

import pytest
from page_kit import parse_command
from refusals import refusal

from vccapp.commands import parse_assignments
from vccapp.errors import SpecError
from vccapp.training import RunSpec
from vccapp.training.sweeps.space import MAX_RUNS, Choices, Range, parse_seeds, parse_values
from vccapp.training.sweeps.spec import SweepSpec, make_sweep

RUN = RunSpec(model="scouter", params={"genes": 500}, dataset="d", split="s")


def sweep(values: dict | None = None, ranges: dict | None = None, **chosen: object) -> SweepSpec:
    return make_sweep(RUN, values or {}, ranges or {}, **{"n_trials": 4, **chosen})


def test_values_are_parsed() -> None:
    texts = {"rate": "0.001, 0.01", "loss": "C1,C2,C1", "faithful": "true,false", "steps": 3, "sizes": [1, 2]}
    assert parse_values(texts) == {
        "rate": [0.001, 0.01],
        "loss": ["C1", "C2"],
        "faithful": [True, False],
        "steps": [3],
        "sizes": [1, 2],
    }
    for wrong in ("", "1,,2", []):
        with refusal(SpecError, "bad_assignment"):
            parse_values({"rate": wrong})


def test_seeds_are_parsed() -> None:
    assert parse_seeds("0, 7") == [0, 7] and parse_seeds("5") == [5]
    for wrong in ("-1", "a", "1.5", "true"):
        with refusal(SpecError, "bad_seed"):
            parse_seeds(wrong)


def test_ranges_take_the_type_of_their_parameter() -> None:
    space = sweep({}, {"learning_rate": "1e-4,1e-2,log", "width": "16, 64", "gamma": "0,2"}).space
    assert space["learning_rate"] == Range(low=1e-4, high=1e-2, log=True)
    assert space["width"] == Range(low=16, high=64, whole=True) and space["width"].ends == (16, 64)
    assert space["gamma"] == Range(low=0, high=2) and type(space["gamma"].number(1)) is float


@pytest.mark.parametrize(
    ("values", "ranges", "code"),
    [
        ({}, {"learning_rate": "0.1"}, "bad_range"),
        ({}, {"learning_rate": "a,b"}, "bad_range"),
        ({}, {"learning_rate": "0.1,0.01"}, "bad_range"),
        ({}, {"learning_rate": "0.01,0.1,linear"}, "bad_range"),
        ({}, {"direction": "0,0.1,log"}, "bad_range"),
        ({}, {"width": "1.5,8"}, "bad_range"),
        ({}, {"loss": "1,2"}, "no_number"),
        ({}, {"faithful": "0,1"}, "no_number"),
        ({}, {"learning_rate": "0,0.1"}, "bad_parameter"),  # a rate of zero trains nothing
        ({"learning_rate": [0.1, -1]}, {}, "bad_parameter"),
        ({"nothing": [1, 2]}, {}, "bad_parameter"),
        ({}, {"nothing": "1,2"}, "bad_parameter"),
        ({"width": [8, 16]}, {"width": "8,16"}, "given_twice"),
        ({}, {"genes": "1,2"}, "given_twice"),
    ],
)
def test_what_the_model_does_not_take_is_refused(values: dict, ranges: dict, code: str) -> None:
    with refusal(SpecError, code):
        sweep(values, ranges)


@pytest.mark.parametrize(
    ("chosen", "code"),
    [
        ({"sampler": "grid"}, "grid_of_range"),
        ({"n_trials": 0}, "no_trials"),
        ({"n_trials": MAX_RUNS + 1}, "too_many_runs"),
        ({"n_trials": 300, "seeds": (0, 1), "folds": 3}, "too_many_runs"),
        ({"metric": "bleu"}, "unknown_metric"),
        ({"metric": "spearman_delta", "pruning": "median"}, "metric_not_logged"),
        ({"sampler": "genetic"}, "bad_sweep"),
        ({"seeds": (-1,)}, "bad_sweep"),
    ],
)
def test_what_makes_no_sweep_is_refused(chosen: dict, code: str) -> None:
    with refusal(SpecError, code):
        sweep({}, {"learning_rate": "1e-4,1e-2,log"}, **chosen)


def test_nothing_to_try_to_prune_or_to_draw_is_refused() -> None:
    with refusal(SpecError, "nothing_to_try"):
        sweep()
    with refusal(SpecError, "too_few_combinations"):
        sweep({"width": [8, 16]}, sampler="random", n_trials=3)
    with refusal(SpecError, "nothing_to_prune"):
        make_sweep(RUN.model_copy(update={"model": "knn", "params": {}}), {"temperature": [0.1, 1]}, {}, n_trials=2,
                   pruning="median")  # fmt: skip


def test_every_combination_of_a_grid_is_a_trial_of_its_own() -> None:
    spec = sweep(
        {"learning_rate": [0.001, 0.01], "direction": [0.01, 0.5], "width": [64]}, sampler="grid", seeds=(3, 4)
    )
    assert (spec.n_trials, spec.n_runs) == (4, 8)
    assert "width" not in spec.space and spec.run.params == {"genes": 500, "width": 64}
    runs = [run for params in spec.combinations() for run in spec.run_specs(params, split_name="s")]
    assert len({run.model_dump_json() for run in runs}) == 8
    assert runs[0].params == {"genes": 500, "direction": 0.01, "learning_rate": 0.001, "width": 64}
    assert [run.seed for run in runs] == [3, 4] * 4
    assert runs[-1].title == "learning_rate=0.01 direction=0.5 seed=4"


def test_folds_and_seeds_are_runs_of_a_trial() -> None:
    spec = sweep({}, {"width": "8,16"}, folds=3, seeds=(0, 1))
    runs = spec.run_specs({"width": 9}, split_name="s")
    assert [(run.split, run.seed) for run in runs] == [(f"s-fold{i}of3", seed) for i in (1, 2, 3) for seed in (0, 1)]
    assert runs[0].title == "width=9 fold=1 seed=0" and spec.n_runs == 4 * 6


def test_the_command_gives_the_same_sweep() -> None:
    spec = sweep(
        {"direction": [0.01, 0.5], "loss": ["autofocus", "autofocus + 0.1*pseudobulk_mae"]},
        {"learning_rate": "1e-4,1e-2,log", "width": "16,64"},
        sampler="random",
        sampler_seed=3,
        seeds=(0, 1),
        folds=4,
        metric="mae",
        pruning="hyperband",
        at_once=1,
    )
    given = parse_command(spec.command())
    values = parse_values(parse_assignments(given["set_"]))
    chosen = {name: given[name] for name in ("sampler", "sampler_seed", "folds", "metric", "pruning", "at_once")}
    seeds = tuple(parse_seeds(given["seeds"]))
    run = RUN.model_copy(update={"params": {}})
    again = make_sweep(run, values, parse_assignments(given["range_"]), seeds=seeds, n_trials=given["trials"], **chosen)
    assert again == spec
    assert SweepSpec.model_validate(spec.model_dump(mode="json")) == spec
    assert isinstance(again.space["direction"], Choices)
