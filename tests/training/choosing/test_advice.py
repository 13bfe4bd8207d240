"""Which model is tried first, and how the best run here is told."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from toy_index import ToyIndex

from vccapp.data.splits.split import Split, split_from_lists
from vccapp.training import RunRecord, RunSpec
from vccapp.training.choosing.advice import advise
from vccapp.training.choosing.coverage import measure_coverage
from vccapp.training.choosing.here import describe_best, find_best

KNOWN = ["TP53", "MYC", "STAT1", "GAPDH", "MED12", "SRC", "TET1", "EGFR", "KRAS", "BRAF", "PTEN", "RB1", "AKT1", "JAK1"]
UNKNOWN = [f"NOGENE{i}" for i in range(9)]


def make_split(train: list[str], val: list[str], test: list[str]) -> Split:
    return split_from_lists(name="s", dataset="0" * 16, train=train, val=val, test=test)


@pytest.mark.parametrize(
    ("train", "val", "test", "model"),
    [
        (KNOWN[:10], KNOWN[10:12], KNOWN[12:], "ridge"),
        (KNOWN[:9], KNOWN[10:12], KNOWN[12:], "knockdown_mean"),  # too few
        (KNOWN[:10], KNOWN[10:11], UNKNOWN[:2], "knockdown_mean"),  # no vectors
        (KNOWN[:10], KNOWN[10:11], UNKNOWN[:1], "ridge"),
        (KNOWN[:10], ["TP53+MYC"], ["STAT1+GAPDH"], "additive"),
        (KNOWN[:10], ["TP53+RB1"], ["AKT1+JAK1"], "ridge"),  # of four genes one was measured alone
    ],
)
def test_the_rule(train: list[str], val: list[str], test: list[str], model: str) -> None:
    split = make_split(train, val, test)
    index = ToyIndex([*train, *val, *test], KNOWN)
    advice = advise(split, measure_coverage("default", index, split))
    assert advice.model == model and advice.reason.endswith(".")


def make_run(score: float | None, *, model: str = "ridge", split: Split, state: str = "finished") -> RunRecord:
    floor = {"perturbation_mean": {"pearson_delta": 0.4}}
    return RunRecord.model_validate(
        {
            "id": f"r{score}",
            "spec": RunSpec(model=model, dataset="0" * 16, split="any"),
            "split": split,
            "state": state,
            "created": datetime.now(UTC),
            "vccapp": "1",
            "metrics": {
                "val": {model: {"pearson_delta": score}} | floor,
                "test": {model: {"pearson_delta": 0.1}} | floor,
            },
            "folder": Path("nowhere"),
        }
    )


def test_the_best_is_by_validation_among_finished_runs_of_the_same_parts() -> None:
    split, other = make_split(["A"], ["B", "C"], ["D"]), make_split(["A"], ["B"], ["D"])
    runs = [make_run(0.5, split=split), make_run(0.7, split=split), make_run(None, split=split)]
    decoys = [
        make_run(0.9, split=other),
        make_run(0.9, split=split, model="knn"),
        make_run(0.9, split=split, state="stopped"),
    ]
    best = find_best("ridge", [*runs, *decoys], split.model_copy(update={"name": "renamed"}))
    assert best is not None and (best.run.id, best.n_runs) == ("r0.7", 3)
    assert (best.score("val"), best.score("val", "perturbation_mean"), best.count("val")) == (0.7, 0.4, 2)
    said = describe_best(best)
    assert "0.700 on 2 validation" in said and "0.100 on 1 test" in said and said.count("0.400") == 2
    assert find_best("state", runs, split) is None
