"""Folds within a split: each perturbation outside test is validated once, and none of test is ever in them."""

import pytest
from refusals import refusal

from vccapp.data.schema import genes_of
from vccapp.data.splits.folds import fold_split, name_fold
from vccapp.data.splits.split import check_split, make_split
from vccapp.errors import SpecError

LABELS = [f"G{i}" for i in range(20)] + ["G1+G2", "G2+G3"]


@pytest.mark.parametrize("k", [3, 5])
def test_folds_leave_the_test_part_alone(k: int) -> None:
    split = make_split(LABELS, name="s", dataset="d")
    folds = fold_split(split, k)
    assert [fold.name for fold in folds] == [name_fold("s", i, k) for i in range(1, k + 1)]
    outside = {*split.train, *split.val}
    assert sorted(label for fold in folds for label in fold.val) == sorted(outside)
    for fold in folds:
        check_split(fold, LABELS)
        assert fold.test == split.test
        assert {*fold.train, *fold.val} == outside and not set(fold.train) & set(fold.val)
        own = {gene for label in fold.val for gene in genes_of(label)}
        assert not own & {gene for label in fold.train for gene in genes_of(label)}
    assert fold_split(split, k) == folds


def test_too_many_folds_are_refused() -> None:
    split = make_split(LABELS, name="s", dataset="d")
    for k in (2, 40):
        with refusal(SpecError, "bad_folds"):
            fold_split(split, k)
