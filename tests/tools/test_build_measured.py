"""The shipped table of measurements is what the results say, and its sentence counts them."""

import csv
import json
from statistics import mean, stdev

import pandas as pd
import pytest
from build_measured import RESULTS, TABLE, build_table

from vccapp.models.base import list_trainable
from vccapp.training.choosing.measured import describe_measured, load_measured

RECORDS = json.loads(RESULTS.read_text())["records"]


def test_the_shipped_table_is_made_of_the_results() -> None:
    built = [{name: str(value) for name, value in row.items()} for row in build_table(RECORDS)]
    with TABLE.open(newline="") as file:
        assert list(csv.DictReader(file)) == built


def test_a_gain_is_over_the_same_splits() -> None:
    def of(model: str) -> dict[int, float]:
        own = [r for r in RECORDS if (r["case"], r["model"]) == ("Papalexi THP-1", model)]
        return {r["seed"]: r["pds"] for r in own}

    floor = of("perturbation mean")
    gains = [score - floor[seed] for seed, score in of("kernel ridge").items()]
    [row] = [r for r in build_table(RECORDS) if (r["data"], r["model"]) == ("Papalexi THP-1", "ridge")]
    assert row["pds_gain"] == pytest.approx(mean(gains), abs=1e-5) and len(gains) == row["splits"] == 5
    assert row["pds_gain_se"] == pytest.approx(stdev(gains) / 5**0.5, abs=1e-5)


def test_models_of_the_table_are_models_of_the_app() -> None:
    assert set(load_measured()["model"]) <= set(list_trainable())


def test_the_sentence_counts_data_sets_by_their_standard_error() -> None:
    measured = pd.DataFrame(
        {
            "model": ["a", "a", "a", "b", "mean"],
            "train": [5, 60, 9, 7, 7],
            "pearson_delta_gain": [0.2, -0.1, 0.01, None, 0.0],
            "pearson_delta_gain_se": [0.1, 0.05, 0.02, None, 0.0],
        }
    )
    said = describe_measured("a", measured)
    assert all(part in said for part in ("On 3 ", "at most 60 ", " on 1, within", " on 1, below on 1"))
    assert describe_measured("b", measured) == describe_measured("mean", measured) == ""
