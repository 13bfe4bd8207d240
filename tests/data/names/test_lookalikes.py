"""What a name that is no gene looks like."""

import pytest

from vccapp.data.names.genes import GeneNames
from vccapp.data.names.lookalikes import explain_name, name_unknown

NAMES = GeneNames(["STAT1", "MARCHF1"])


@pytest.mark.parametrize(
    ("text", "looks"),
    [
        ("1-Mar", "MARCHF1"),
        ("Mar-01", "MARCHF1"),
        ("2-Sep", "SEPTIN2"),
        ("02-Sep-2021", "SEPTIN2"),
        ("1-Dec", "DELEC1"),
        ("4-Oct", "POU5F1"),
        ("44256", "MARCHF1"),
        ("44441", "SEPTIN2"),
        ("2021-03-01 00:00:00", "MARCHF1"),
        ("3/1/2021", "a date"),
        ("2.31E+19", "turned into a number"),
        ("17", "a number"),
        ("stat1", "STAT1 in another case"),
        ("STAT1 ", "STAT1 with spaces"),
    ],
)
def test_looks(text: str, looks: str) -> None:
    assert looks in (explain_name(text, NAMES) or "")


@pytest.mark.parametrize("text", ["STAT1", "NOTAGENE", "MARCH", "SEPT", "DEC1", "A1BG"])
def test_names_that_look_like_genes(text: str) -> None:
    assert explain_name(text, NAMES) is None


def test_names_in_a_sentence() -> None:
    found = name_unknown(["X", "1-Mar", "Y"], NAMES)
    assert found == "1-Mar (a spreadsheet's date of MARCHF1), X, Y"
    assert name_unknown([f"G{i}" for i in range(12)]).endswith("and 7 more")
    assert name_unknown([]) == "none"
