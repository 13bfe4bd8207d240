"""How much of the data a gene embedding covers, and which embeddings there are.

list_embeddings(settings)                         # ["default", "text", "network", ..., paths ...]
covered = measure_coverage("default", index, split)
describe_coverage(covered)                        # "148 of 150 targets have a vector; of the test part 12 of 15."
"""

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from vccapp.data.embeddings.readers.base import Reader, list_readers
from vccapp.data.embeddings.readers.table import Table
from vccapp.data.splits.split import PARTS, Split
from vccapp.errors import VccAppError
from vccapp.models.base import targets
from vccapp.models.parts.features import Features
from vccapp.settings import Settings
from vccapp.stats.index import Index

ALWAYS = ("default", "text", "network", "expression", "default + expression")
MAX_FILES = 50
DATA = "data"
"""The row of all perturbations of the data, whatever part they are in."""


def list_embeddings(settings: Settings) -> list[str]:
    """What a field of a gene embedding may name: those that are always there, then paths of files of vectors.

    Files are any in the workspace's folder `embeddings`, and of the data roots, one folder deep, those whose kind holds
    nothing but vectors.
    """
    found = itertools.islice(_list_files(settings), MAX_FILES)
    return [*ALWAYS, *sorted({str(path) for path in found})]


def measure_coverage(source: str, index: Index, split: Split) -> pd.DataFrame:
    """part (data, train, val, test), targets, known, missing, partly: distinct genes that its perturbations target,
    those of them that have a vector, those that have none, and those that some of the joined embeddings lack. What
    `open_embedding` raises passes.
    """
    features = Features.open(source, index)
    parts = {DATA: index.perturbed} | {part: list(getattr(split, part)) for part in PARTS}
    rows = []
    for part, labels in parts.items():
        genes = sorted({gene for label in labels for gene in targets(label)})
        missing = [gene for gene, known in zip(genes, features.count_known(genes), strict=True) if not known]
        partly = features.find_partial(genes)
        rows.append((part, len(genes), len(genes) - len(missing), ", ".join(missing), ", ".join(partly)))
    return pd.DataFrame(rows, columns=["part", "targets", "known", "missing", "partly"])


def compare_embeddings(sources: Sequence[str], index: Index, split: Split) -> pd.DataFrame:
    """embedding; targets and known of the data; test_targets and test_known; missing; partly; note (what was left out
    or filled when it was read); problem (of one that cannot be read, whose numbers are then not known). A row each.
    """
    rows: list[dict[str, Any]] = []
    for source in sources:
        try:
            parts = measure_coverage(source, index, split).set_index("part")
        except VccAppError as error:
            rows.append({"embedding": source, "problem": str(error)})
            continue
        own = {"embedding": source, "problem": "", "missing": parts["missing"][DATA]}
        own |= {"partly": parts["partly"][DATA], "note": Features.open(source, index).note}
        own |= {"targets": parts["targets"][DATA], "known": parts["known"][DATA]}
        rows.append(own | {"test_targets": parts["targets"]["test"], "test_known": parts["known"]["test"]})
    columns = ["embedding", "targets", "known", "test_targets", "test_known", "missing", "partly", "note", "problem"]
    frame = pd.DataFrame(rows, columns=columns)
    return frame.astype(dict.fromkeys(columns[1:5], "Int64"))


def describe_embedding(source: str, index: Index, split: Split) -> str:
    """What it covers, and what was left out or filled when it was read. What `open_embedding` raises passes."""
    covered = describe_coverage(measure_coverage(source, index, split))
    return f"{covered} {Features.open(source, index).note}".strip()


def describe_coverage(coverage: pd.DataFrame) -> str:
    """In a sentence."""
    known = coverage.set_index("part")
    said = f"{known['known'][DATA]:,} of {known['targets'][DATA]:,} targets have a vector"
    if known["targets"]["test"]:
        said += f"; of the test part {known['known']['test']:,} of {known['targets']['test']:,}"
    if partly := known["partly"][DATA]:
        said += f"; {len(partly.split(', ')):,} are not in every part"
    return f"{said}."


def _list_files(settings: Settings) -> Iterator[Path]:
    readers = list_readers()
    own = [reader for reader in readers if not isinstance(reader, Table)]
    places: list[tuple[Path, tuple[str, ...], list[Reader]]] = [(settings.embeddings, ("*",), readers)]
    places += [(root, ("*", "*/*"), own) for root in settings.data_roots]
    for folder, patterns, known in places:
        for path in itertools.chain.from_iterable(folder.glob(pattern) for pattern in patterns):
            if path.is_file() and not path.name.startswith(".") and not path.is_relative_to(settings.checkpoints):
                try:
                    with path.open("rb") as file:
                        head = file.read(8)
                except OSError:
                    continue
                if any(reader.recognises(path, head) for reader in known):
                    yield path
