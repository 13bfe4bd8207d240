"""Labels of other files under the dataset's names."""

import pytest

from vccapp.data.names.labels import KnownLabels, join_orders, split_names
from vccapp.data.schema import CONTROL

KNOWN = KnownLabels([CONTROL, "STAT1", "MED12", "SRC+TET1", "HLA-A", "[('X', 0.5, 'uM')]"])


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("STAT1", "STAT1"),
        ("stat1 ", "STAT1"),
        ("STAT1+ctrl", "STAT1"),
        ("ctrl_STAT1", "STAT1"),
        ("sgSTAT1_2", "STAT1"),
        ("STAT1_+_191872391.23-P1P2", "STAT1"),
        ("TET1+SRC", "SRC+TET1"),
        ("TET1_SRC", "SRC+TET1"),
        ("HLA-A", "HLA-A"),
        ("NTC_3", CONTROL),
        ("NEW+ctrl", "NEW"),
        ("NEW", "NEW"),
        ("[('X', 0.5, 'uM')]", "[('X', 0.5, 'uM')]"),
    ],
)
def test_known_labels(text: str, label: str) -> None:
    assert KNOWN.find(text) == label


def test_a_control_of_its_own() -> None:
    known = KnownLabels(["STAT1"], control="DMSO")
    assert (known.find("DMSO"), known.find("ctrl")) == (CONTROL, "ctrl")


def test_orders() -> None:
    assert join_orders({"A+B": 3, "B+A": 5, "C": 1, "C+D": 1}) == {"A+B": "B+A"}


def test_parts_of_labels() -> None:
    assert split_names(["A_B", "C|ctrl"]) == ["A", "A_B", "B", "C", "C|ctrl"]
