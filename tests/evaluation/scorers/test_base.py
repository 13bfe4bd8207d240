"""The registry of scorers: what can be asked, in which order, and what is said of those that are not there."""

import pytest

from vccapp.errors import SpecError
from vccapp.evaluation.scorers.base import (
    SCORERS,
    cell_scorers,
    find_scorer,
    is_official,
    label_scorer,
    order_scorers,
)


def test_ours_come_before_the_official_ones() -> None:
    names = order_scorers(SCORERS)
    assert names == ["pseudobulks", "vccapp", "cell-eval", "cell-eval2"]
    assert [is_official(name) for name in names] == [False, False, True, True]
    assert all(SCORERS[name].name == name for name in names)


def test_a_stored_score_of_a_scorer_that_is_gone_is_still_shown() -> None:
    assert order_scorers(["gone", "vccapp"]) == ["vccapp", "gone"]
    assert label_scorer("gone") == "gone" and label_scorer("cell-eval") == "cell-eval (2025)"
    assert not is_official("gone")


@pytest.mark.parametrize(("name", "code"), [("other", "unknown_name"), ("pseudobulks", "not_of_cells")])
def test_only_scorers_of_cells_can_be_asked(name: str, code: str) -> None:
    with pytest.raises(SpecError) as told:
        find_scorer(name)
    assert told.value.code == code
    assert list(cell_scorers(official=True)) == ["cell-eval", "cell-eval2"]
    assert find_scorer("vccapp").memory_bytes(1000, 1000) is None


def test_scorers_say_which_values_they_take() -> None:
    spaces = {name: (scorer.space("2025"), scorer.space("2026")) for name, scorer in cell_scorers().items()}
    assert spaces["cell-eval"] == ("log1p", "log1p") and spaces["cell-eval2"] == ("counts", "counts")
    assert spaces["vccapp"] == ("log1p", "counts")
