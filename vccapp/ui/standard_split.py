"""The split that a newcomer need not think about."""

from vccapp.data.splits.split import Split, list_splits, make_split, write_split
from vccapp.data.workspace import Record
from vccapp.stats.index import Index
from vccapp.ui.kit.loaders import current_settings


def standard_split(record: Record, index: Index) -> Split:
    """64 % of the perturbations to train on, 16 % to validate, 20 % to test, seed 0. Not written yet."""
    labels = index.perturbed
    return make_split(labels, name=f"standard-{record.fingerprint[:6]}", dataset=record.fingerprint)


def keep_split(split: Split) -> None:
    """Write a split that the workspace does not have yet."""
    settings = current_settings()
    if split.name not in {known.name for known in list_splits(settings, dataset=split.dataset)}:
        write_split(split, settings)
