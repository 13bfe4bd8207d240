"""The shipped table and page of measurements are what the results say, and the sentence counts them."""

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from build_measured import MODELS, RESULTS, TABLE, build_table

from vccapp.models.base import list_trainable
from vccapp.training.choosing.measured import describe_measured, load_measured

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))

from kit.report import DOCUMENT, make_report  # noqa: E402

FOUND = json.loads(RESULTS.read_text())
CASES = {case["case"]: case for case in FOUND["cases"]}


@pytest.mark.slow
def test_the_shipped_table_and_page_are_made_of_the_results() -> None:
    pd.testing.assert_frame_equal(build_table(FOUND["cases"]), pd.read_csv(TABLE), atol=1e-9)
    assert DOCUMENT.read_text() == make_report(FOUND)


def test_a_gain_is_over_the_same_perturbations() -> None:
    case = CASES["Papalexi THP-1"]
    floor, ridge = (np.array(case["scores"][name]["pds"]) for name in ("knock-down mean", "kernel ridge"))
    measured = build_table([case]).set_index("model")
    assert measured.loc["ridge", "pds_gain"] == pytest.approx((ridge - floor).mean(), abs=1e-5)
    assert measured.loc["ridge", "tested"] == len(case["labels"]) == len(set(case["labels"])) == 25


def test_models_of_the_table_are_models_of_the_app() -> None:
    assert set(load_measured()["model"]) <= set(MODELS.values()) <= set(list_trainable())


def test_the_sentence_counts_data_sets_where_chance_does_not_explain_it() -> None:
    measured = pd.DataFrame(
        {
            "model": ["a", "a", "a", "a", "floor"],
            "train": [5, 60, 9, 7, 7],
            "pearson_delta_gain": [0.2, -0.1, 0.3, 0.2, None],
            "pearson_delta_p": [0.01, 0.04, 0.06, 0.03, None],
        }
    )
    said = describe_measured("a", measured)
    assert all(part in said for part in ("On 4 ", "at most 60 ", " on 2, below on 1, ", " on 1."))
    assert describe_measured("floor", measured) == describe_measured("other", measured) == ""
