"""The split that a newcomer need not think about."""

from collections.abc import Sequence

from vccapp.data.splits.split import Split, list_splits, make_split, write_split
from vccapp.settings import Settings


def standard_name(dataset: str) -> str:
    """What the standard split of a dataset is called; dataset : its fingerprint."""
    return f"standard-{dataset[:6]}"


def standard_split(labels: Sequence[str], dataset: str) -> Split:
    """64 % of the perturbations to train on, 16 % to validate, 20 % to test, seed 0. Not written yet."""
    return make_split(labels, name=standard_name(dataset), dataset=dataset)


def keep_split(split: Split, settings: Settings) -> None:
    """Write a split that the workspace does not have yet."""
    if split.name not in {known.name for known in list_splits(settings, dataset=split.dataset)}:
        write_split(split, settings)
