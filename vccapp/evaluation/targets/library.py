"""A library of effects: those of the perturbations of one dataset and context, or those that a run predicts.

    [library] = measured_libraries(index, title="Screen", fingerprint=..., context=None)
    score_effects(library.effects, places, signatures)      # vccapp.evaluation.targets.score

Effects are read in blocks of rows, so that a library of any size takes little memory. What an effect has in common
with all others of its library is taken out of it: what is left is *specific*. The expression of a perturbation's own
targets is never part of its effect.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import pandas as pd

from vccapp.data.schema import context_of, genes_of, positions_of
from vccapp.errors import SpecError
from vccapp.stats.pseudobulks import Pseudobulks
from vccapp.stats.views import measure_reliability, variable_genes

Kind = Literal["measured", "predicted"]
BLOCK = 256
"""Effects that are in memory at once."""
LEAST_EFFECTS = 5
"""Effects of a library, below which what they have in common cannot be told."""
ALIKE = 1e-5
"""An effect of which no more than this share, of its squares, is its own has none that is specific."""
ABOUT = ("n_cells", "effect", "reliability", "knockdown", "expression", "basis", "confidence")
"""What is known of each effect; empty where it does not apply."""


@dataclass(frozen=True)
class Effects:
    """Deltas of n perturbations over G genes, read when they are asked for.

    read : rows (positions among the labels) to a new (rows, G) array of deltas, log1p units
    """

    labels: tuple[str, ...]
    genes: tuple[str, ...]
    read: Callable[[np.ndarray], np.ndarray]

    @cached_property
    def targets(self) -> list[list[int]]:
        """Of each label the positions of its own targets among the genes."""
        position = positions_of(self.genes)
        return [[position[gene] for gene in genes_of(label) if gene in position] for label in self.labels]

    @cached_property
    def mean(self) -> np.ndarray:
        """(G,) float64 mean effect; at each gene that of the perturbations of other genes."""
        every = np.arange(len(self.genes))
        total, n = np.zeros(len(every)), np.full(len(every), len(self.labels))
        for _, block, _ in self.blocks(every):
            total += block.sum(axis=0, dtype=np.float64)
        for own in self.targets:
            n[own] -= 1
        return np.divide(total, n, out=np.zeros_like(total), where=n > 0)

    def blocks(
        self, places: np.ndarray, rows: Sequence[int] | np.ndarray | None = None
    ) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Rows (of all, where none are named), their deltas (rows, places) float32, and the hidden pairs.

        hidden : (2, pairs) of own targets, row in the block and column among the places; their deltas are 0.
        """
        every = np.arange(len(self.labels)) if rows is None else np.asarray(rows, np.int64)
        at = np.full(len(self.genes), -1)
        at[places] = np.arange(len(places))
        for start in range(0, len(every), BLOCK):
            chosen = every[start : start + BLOCK]
            block = np.asarray(self.read(chosen), np.float32)
            if not np.array_equal(places, np.arange(len(self.genes))):
                block = block[:, places]
            pairs = [(i, at[gene]) for i, row in enumerate(chosen) for gene in self.targets[row] if at[gene] >= 0]
            hidden = np.array(pairs, np.int64).reshape(-1, 2).T
            block[hidden[0], hidden[1]] = 0
            yield chosen, block, hidden

    def specific(self, places: np.ndarray, rows: Sequence[int] | np.ndarray) -> np.ndarray:
        """(rows, places) float32 effects without what lies along the mean effect, own targets 0.

        NaN where nothing is left of an effect.
        """
        mean = self.mean[places].astype(np.float32)
        parts = []
        for chosen, block, hidden in self.blocks(places, rows):
            room = np.full(len(chosen), np.square(mean, dtype=np.float64).sum())
            np.subtract.at(room, hidden[0], np.square(mean[hidden[1]], dtype=np.float64))
            before = np.einsum("ij,ij->i", block, block)
            along = np.divide(block @ mean, room, out=np.zeros_like(room), where=room > 0).astype(np.float32)
            block -= along[:, None] * mean
            block[hidden[0], hidden[1]] = 0
            block[np.einsum("ij,ij->i", block, block) <= ALIKE * before] = np.nan
            parts.append(block)
        return np.concatenate([np.zeros((0, len(places)), np.float32), *parts])


@dataclass(frozen=True)
class Library:
    """Effects of one kind in one context, and what is known of each.

    dataset : fingerprint; title : what people call it; run : that predicted them, "" where they are measured
    about : one row an effect, in their order: perturbation, then ABOUT
    """

    title: str
    dataset: str
    context: str | None
    kind: Kind
    run: str
    effects: Effects
    about: pd.DataFrame

    @property
    def labels(self) -> tuple[str, ...]:
        return self.effects.labels

    @property
    def name(self) -> str:
        """What tells it from others, for people."""
        return " · ".join(part for part in (self.title, self.context or "", self.run) if part)


def measured_libraries(
    index: Pseudobulks, *, title: str, dataset: str, context: str | None = None, leave_out: Sequence[str] = ()
) -> list[Library]:
    """The measured effects of a dataset, a library for each context, or for one.

    index : of all contexts; leave_out : perturbations whose cells the signature was made of
    Contexts with too few effects are left out; raises SpecError `too_few_effects` where none is left.
    """
    contexts: list[str | None] = [context] if context is not None else [*index.contexts] or [None]
    of_each = [
        (own, [label for label in index.perturbed if context_of(label) == own and label not in leave_out])
        for own in contexts
    ]
    require_effects(max(len(labels) for _, labels in of_each), title)
    made = []
    for own, labels in of_each:
        if len(labels) < LEAST_EFFECTS:
            continue
        rows, control = np.array(index.rows(labels)), index.control_means(labels)[0]
        means = index.array("mean")

        def read(
            chosen: np.ndarray, means: np.ndarray = means, rows: np.ndarray = rows, control: np.ndarray = control
        ) -> np.ndarray:
            return take_rows(means, rows[chosen]) - control

        effects = Effects(tuple(labels), tuple(index.genes["gene"]), read)
        made.append(Library(title, dataset, own, "measured", "", effects, _describe_measured(index, labels)))
    return made


def predicted_library(
    index: Pseudobulks,
    labels: Sequence[str],
    predict: Callable[[list[str]], np.ndarray],
    *,
    title: str,
    dataset: str,
    context: str | None,
    run: str,
    basis: dict[str, str],
    confidence: Mapping[str, float | None],
) -> Library:
    """Predicted effects of perturbations of one context. predict : labels to new (n, G) deltas.

    Raises SpecError `too_few_effects`.
    """
    require_effects(len(labels), f"The run {run}")
    names = np.array(labels)
    effects = Effects(tuple(labels), tuple(index.genes["gene"]), lambda rows: predict(names[rows].tolist()))
    lengths = np.concatenate(
        [
            np.linalg.norm(predict(names[rows].tolist()), axis=1)
            for rows in np.array_split(np.arange(len(names)), 1 + len(names) // BLOCK)
        ]
    )
    about = pd.DataFrame({"perturbation": labels, "effect": lengths, "basis": [basis[label] for label in labels]})
    about["expression"] = _expression(index, labels)
    about["confidence"] = pd.Series(confidence, dtype=float).reindex(labels).to_numpy()
    return Library(title, dataset, context, "predicted", run, effects, about.reindex(columns=["perturbation", *ABOUT]))


def take_rows(array: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Rows of an array, without a copy where they follow each other."""
    if len(rows) and rows[-1] - rows[0] == len(rows) - 1 and (np.diff(rows) == 1).all():
        return array[rows[0] : rows[-1] + 1]
    return array[rows]


def require_effects(n: int, whose: str) -> None:
    """Raises SpecError where there are too few for what they have in common to be told."""
    if n < LEAST_EFFECTS:
        raise SpecError(
            "too_few_effects",
            f"{whose} has {n} effects in one context",
            found=n,
            fix=f"a library needs at least {LEAST_EFFECTS}: choose another",
        )


def _describe_measured(index: Pseudobulks, labels: Sequence[str]) -> pd.DataFrame:
    """perturbation and ABOUT; reliability as the page Similarity shows it, over the highly variable genes."""
    own = index.perturbations.set_index("perturbation").loc[list(labels)].reset_index()
    reliability = measure_reliability(index, variable_genes(index), labels)["reliability"].to_numpy()
    about = own.assign(reliability=reliability, expression=_expression(index, labels))
    return about.reindex(columns=["perturbation", *ABOUT])


def _expression(index: Pseudobulks, labels: Sequence[str]) -> np.ndarray:
    """(n,) mean log1p of each perturbation's targets in the controls of its context; NaN where none is measured."""
    position = positions_of(index.genes["gene"])
    means = dict(zip(index.controls, index.means(index.controls), strict=True))
    control = [means[index.labels[row]] for row in index.control_rows(labels)]
    found = [
        [float(own[position[gene]]) for gene in genes_of(label) if gene in position]
        for label, own in zip(labels, control, strict=True)
    ]
    return np.array([np.mean(values) if values else np.nan for values in found])
