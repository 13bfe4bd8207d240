"""Folds within a split: its test part stays out of all of them, so that what is chosen by folds can be judged on it."""

from vccapp.data.splits.split import Split, make_folds


def name_fold(name: str, fold: int, k: int) -> str:
    """The name of a fold, counted from 1, of a split."""
    return f"{name}-fold{fold}of{k}"


def fold_split(split: Split, k: int) -> list[Split]:
    """`k` splits: the i-th validates on fold i of the train and val parts, trains on the rest and keeps the test part.

    Each perturbation outside test is validated once; those that share genes go together. Raises SpecError as
    `make_folds` does.
    """
    method = split.method if split.method in ("contexts", "lists") else "kfold"
    folds = make_folds([*split.train, *split.val], name=split.name, dataset=split.dataset, k=k, seed=split.seed)
    return [
        Split(
            name=name_fold(split.name, i, k),
            dataset=split.dataset,
            method=method,
            seed=split.seed,
            train=tuple(sorted([*fold.train, *fold.val])),
            val=fold.test,
            test=split.test,
        )
        for i, fold in enumerate(folds, start=1)
    ]
