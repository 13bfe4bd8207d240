"""The standard split of the dataset that a page shows."""

from vccapp.data.splits import standard
from vccapp.data.splits.split import Split
from vccapp.data.workspace import Record
from vccapp.stats.index import Index
from vccapp.ui.kit.loaders import current_settings


def standard_split(record: Record, index: Index) -> Split:
    """Not written yet."""
    return standard.standard_split(index.perturbed, record.fingerprint)


def keep_split(split: Split) -> None:
    """Write a split that the workspace does not have yet."""
    standard.keep_split(split, current_settings())
