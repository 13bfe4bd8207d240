"""Labels of controls and of cells without a call, told by their words."""

import pytest

from vccapp.data.names.controls import control_family, is_other_control, is_without_call, matches


@pytest.mark.parametrize(
    ("label", "family"),
    [
        ("non-targeting_00001", "nontargeting"),
        ("Non-Targeting ", "nontargeting"),
        ("non-targeting_00050|non-targeting_03642", "nontargeting"),
        ("NegCtrl0_NegCtrl0", "negctrl"),
        ("neg_ctrl_3", "negctrl"),
        ("NTg1", "nt"),
        ("NT_2", "nt"),
        ("ctrl+ctrl", "ctrl"),
        ("INTERGENIC393453", "intergenic"),
        ("safe-targeting_12", "safetargeting"),
    ],
)
def test_families(label: str, family: str) -> None:
    assert control_family(label) == family


@pytest.mark.parametrize("label", ["CTRL1", "NT5E", "NTRK1", "STAT1_NegCtrl0", "control-A", "sgNT", "", "NT5"])
def test_no_controls(label: str) -> None:
    assert control_family(label) is None


def test_cells_without_a_call() -> None:
    assert all(map(is_without_call, ["None", "unassigned", "MULTIPLET", "no_guide", "N/A", "Negative", "no call"]))
    assert not any(map(is_without_call, ["NONO", "STAT1", "control", "multi-A"]))


def test_other_words_for_no_gene() -> None:
    assert all(map(is_other_control, ["AAVS1", "WT", "luciferase", "AAVS1_2", "empty_vector"]))
    assert not any(map(is_other_control, ["WTAP", "GFPT1", "STAT1"]))


def test_patterns() -> None:
    assert matches("NegCtrl0", ["NegCtrl*"]) and matches("a*b", ["a*b"])
    assert not matches("NegCtrl0", ["negctrl*", "NegCtrl"])
