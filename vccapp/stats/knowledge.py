"""What a source of knowledge has seen, so that nothing is learnt from what it will be judged on.

    known = Knowledge(source="Weights of run a", dataset=fingerprint, learnt=[...], tuned=[...])
    refuse_leaks([known], index, split)          # SpecError that names the held-out perturbations it has seen

A source is another dataset, weights to start from, an embedding of cells, or whatever else a model reads beside the
training part of its split. Data are the same by their fingerprint, or because they hold the same cells: a part of a
file, or several files that were joined, have another fingerprint than the file.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field

from vccapp.data.schema import target_of
from vccapp.data.splits.split import Split
from vccapp.errors import SpecError
from vccapp.stats.index import Index, load_index
from vccapp.wording import name_some

SAME_SHARE = 0.9
"""Of the cells of the smaller group: with so many alike in UMIs and in genes, two groups are the same cells."""
MIN_SAME_CELLS = 5
MIN_SAME_GENES = 10


class Knowledge(BaseModel):
    """What one source was made from.

    source : in words, the begin of a sentence; dataset : fingerprint of its data, None where nobody says
    learnt : perturbations whose cells it learnt from; tuned : those by which it was chosen
    index : folder of the index of its data, where that is not the workspace's; fix : what to do where it is refused
    """

    model_config = ConfigDict(frozen=True)

    source: str
    dataset: str | None = None
    learnt: tuple[str, ...] = ()
    tuned: tuple[str, ...] = ()
    index: Path | None = Field(None, exclude=True)
    fix: str = Field("choose another source, or a split that holds out others", exclude=True)


def refuse_leaks(sources: Iterable[Knowledge], index: Index, split: Split) -> None:
    """Raises SpecError for a source that learnt from a held-out perturbation, or was chosen by one of the test part.

    A source that nobody says the data of, but which perturbations, is taken for one of these data.
    """
    for known in sources:
        seen = _find_seen(known, known.learnt, index, [*split.val, *split.test])
        seen += _find_seen(known, known.tuned, index, [label for label in split.test if label not in seen])
        if seen:
            own = "the cells" if known.dataset else "what may be the cells"
            raise SpecError(
                "source_saw_held_out",
                f"{known.source} has seen {own} of {name_some(seen)}, which the split '{split.name}' holds out",
                found=seen,
                fix=known.fix,
            )


def _find_seen(known: Knowledge, names: Sequence[str], index: Index, labels: Sequence[str]) -> list[str]:
    """Those of `labels` whose cells in these data are cells of the perturbations `names` in the source's data."""
    targets = set(map(target_of, names))
    asked = [label for label in labels if target_of(label) in targets]
    if not asked or known.dataset is None:
        return asked
    if known.dataset == index.meta["fingerprint"]:
        return [label for label in asked if label in set(names)]
    folder = known.index or index.folder.parents[1] / known.dataset / "index"
    return find_same_cells(index, load_index(folder), asked) if (folder / "index.json").is_file() else []


def find_same_cells(index: Index, other: Index, labels: Sequence[str]) -> list[str]:
    """Those of `labels` whose cells are also cells of `other`, by what they sum to: names of files tell nothing.

    The same: all cells of a perturbation with the same pooled values of each common gene; or a part of its cells, with
    the same UMIs and numbers of genes.
    """
    theirs: dict[str, list[str]] = {}
    for label in other.perturbed:
        theirs.setdefault(target_of(label), []).append(label)
    pairs = [(label, twin) for label in labels for twin in theirs.get(target_of(label), [])]
    if not pairs:
        return []
    position = other.gene_position
    common = [(i, position[gene]) for gene, i in index.gene_position.items() if gene in position]
    here, there = np.array(common, np.int64).reshape(-1, 2).T
    cells = [own.cells[["perturbation", "umis", "genes"]] for own in (index, other)]

    def are_same(label: str, twin: str) -> bool:
        if len(common) >= MIN_SAME_GENES:
            sums = index.array("count_sum")[index.rows([label])[0], here]
            twins = other.array("count_sum")[other.rows([twin])[0], there]
            if sums.any() and np.allclose(sums, twins, rtol=1e-6):
                return True
        first, second = (
            own[(own["perturbation"] == name).to_numpy()].dropna()
            for own, name in zip(cells, (label, twin), strict=True)
        )
        return _share_alike(first, second) >= SAME_SHARE

    return list(dict.fromkeys(label for label, twin in pairs if are_same(label, twin)))


def _share_alike(first: pd.DataFrame, second: pd.DataFrame) -> float:
    """Share of the smaller group whose UMIs and genes are those of as many cells of the other; 0 for small groups."""
    if min(len(first), len(second)) < MIN_SAME_CELLS:
        return 0.0
    counts = [own.groupby(["umis", "genes"]).size() for own in (first, second)]
    both = pd.concat(counts, axis=1, join="inner").min(axis=1).sum()
    return float(both / min(len(first), len(second)))
