"""A grid of runs: every combination once, titles that tell them apart, and refusals before anything starts."""

from refusals import refusal

from vccapp.errors import SpecError
from vccapp.training import RunSpec
from vccapp.training.grid import MAX_RUNS, expand_grid, parse_seeds, parse_values

SPEC = RunSpec(model="scouter", params={"genes": 500, "direction": 0.2}, dataset="d", split="s")


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


def test_every_combination_is_a_run_of_its_own() -> None:
    specs = expand_grid(SPEC, {"learning_rate": [0.001, 0.01], "direction": [0.01, 0.5], "width": [64]}, seeds=[3, 4])
    assert len({spec.model_dump_json() for spec in specs}) == len(specs) == 8
    assert specs[0].params == {"genes": 500, "direction": 0.01, "learning_rate": 0.001, "width": 64}
    assert [spec.seed for spec in specs] == [3, 4] * 4
    assert specs[-1].title == "learning_rate=0.01 direction=0.5 seed=4"
    [alone] = expand_grid(SPEC.model_copy(update={"title": "mine"}), {"width": [64]}, seeds=[0])
    assert alone.title == "mine" and alone.params["width"] == 64


def test_too_many_runs_and_wrong_seeds_are_refused() -> None:
    assert len(expand_grid(SPEC, {"steps": range(1, MAX_RUNS + 1)}, seeds=[0])) == MAX_RUNS
    with refusal(SpecError, "too_many_runs"):
        expand_grid(SPEC, {"steps": range(1, 102)}, seeds=[0, 1])
    assert parse_seeds("0, 7") == [0, 7] and parse_seeds("5") == [5]
    for wrong in ("-1", "a", "1.5", "true"):
        with refusal(SpecError, "bad_seed"):
            parse_seeds(wrong)
