"""What the checks of a submission may know: the file, what the season asks of it, and sums that grow with each block.

A group is the cells of one label, in a season with contexts the cells of one label in one context: its name is then
`TARGET@CONTEXT`, as everywhere in the package.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import csr_matrix

from vccapp.data.schema import label_in, target_of
from vccapp.evaluation.quality import Depth, weigh_genes
from vccapp.evaluation.training_data import TrainingData
from vccapp.seasons.base import Phase, Season, Space
from vccapp.submission.budget import season_depth
from vccapp.submission.h5ad import Cells
from vccapp.submission.labels import fix_contexts, strip_suffixes

if TYPE_CHECKING:
    from vccapp.submission.checking.scan import Facts

MAX_GROUPS = 1_000
"""Groups for which per-gene sums are kept (8 bytes each): 148 MB at 18,533 genes."""
DECIMALS = 1e-3
"""What the official packager of log1p values calls decimals: any positive fraction above this."""
FRACTION = 1e-6
"""What the official packager of counts lets pass as a whole number."""
POOLED = 5e4
"""Counts to which pseudobulks of counts are scaled before log1p, as the metrics of 2026 do."""


@dataclass
class Values:
    """Of the stored values so far. counted : how many are each of `scan.COUNTED`; highest, lowest : of the finite"""

    counted: Counter[str] = field(default_factory=Counter)
    highest: float = 0.0
    lowest: float = 0.0

    def add(self, facts: "Facts") -> None:
        for name, n in facts.counted.items():
            self.counted[name] += n
        self.highest, self.lowest = max(self.highest, facts.highest), min(self.lowest, facts.lowest)

    @property
    def decimals(self) -> int:
        """Values with a fraction to the official packager of log1p values."""
        return self.counted["decimals"]

    @property
    def fractions(self) -> int:
        """Values that are no whole numbers."""
        return self.counted["fractions"]


@dataclass
class Context:
    """What checks may know. Sums, totals and `values` grow with the blocks and are whole in `finish`.

    phase : of the season that the file is held against; found : whether it was told by the targets
    genes : the official gene list; None where it is not known
    cells : cells per group that the plan promises, controls included; None for a file made elsewhere
    wanted : cells per target or group by a list that was given
    depth : what cells should sum to, from outside the file; None where it is not known
    profiles : by context ("" without), the mean of control cells over `genes`, in the values of the season
    data : what the training data say, where they are named
    labels : names of the groups; targets, contexts, n_cells : of each
    sums : (groups, genes) float64, sum of values per group; None where there are too many groups
    totals, logs : (cells,) float64, sum of the values of each cell, and of their expm1
    signatures : (cells,) float64, equal for equal cells
    """

    file: Cells
    season: Season
    phase: Phase | None
    found: bool
    genes: Sequence[str] | None
    cells: Mapping[str, int] | None
    wanted: Mapping[str, int] | None
    practice: bool
    depth: Depth | None = None
    profiles: Mapping[str, np.ndarray] | None = None
    data: TrainingData | None = None
    labels: list[str] = field(init=False)
    n_cells: np.ndarray = field(init=False)
    sums: np.ndarray | None = field(init=False)
    totals: np.ndarray = field(init=False)
    logs: np.ndarray = field(init=False)
    signatures: np.ndarray = field(init=False)
    values: Values = field(init=False, default_factory=Values)

    def __post_init__(self) -> None:
        self.labels, self.targets, self.contexts, self._codes = _group(self.file)
        self.n_cells = np.bincount(self._codes[self._codes >= 0], minlength=len(self.labels))
        self.wanted = self._in_contexts(self.wanted)
        few = len(self.labels) <= MAX_GROUPS
        self.sums = np.zeros((len(self.labels), self.file.shape[1])) if few else None
        self.totals, self.logs, self.signatures = (np.zeros(self.file.shape[0]) for _ in range(3))
        self._weights = weigh_genes(self.file.shape[1])

    def codes(self, start: int, n: int) -> np.ndarray:
        """Positions in `labels` of `n` rows; -1 for a row without label or context."""
        return self._codes[start : start + n]

    @property
    def all_codes(self) -> np.ndarray:
        return self._codes

    def is_control(self, group: int) -> bool:
        return self.targets[group] == self.season.control_label

    def perturbations(self) -> np.ndarray:
        """Positions in `labels` of all but the controls that have cells."""
        return np.array([i for i in np.flatnonzero(self.n_cells).tolist() if not self.is_control(i)], dtype=np.int64)

    def controls(self) -> np.ndarray:
        """Positions in `labels` of the controls that have cells: one, or one a context."""
        return np.array([i for i in np.flatnonzero(self.n_cells).tolist() if self.is_control(i)], dtype=np.int64)

    @property
    def asked(self) -> Mapping[str, int | None] | None:
        """Cells by group that the file must have, None where the number is free; None where targets are not known.

        The season says it; where it is practice, the plan or the list does, if there is one.
        """
        own = self._season_asks()
        planned = None if self.cells is None else {k: n for k, n in self.cells.items() if not self._names_control(k)}
        given = planned if planned is not None else self.wanted
        if self.practice:
            return given
        return own if own is not None else given

    @property
    def asked_by(self) -> str:
        """Whose targets `asked` are, for a sentence."""
        if self._season_asks() is not None and not self.practice:
            return self.phase_name
        return "the plan" if self.cells is not None else "the list"

    @property
    def phase_name(self) -> str:
        return f"{self.season.label}, {self.phase.label}" if self.phase else self.season.label

    def off_season(self) -> list[str]:
        """Groups that the season does not ask for; empty where it asks for nothing that is known."""
        own = self._season_asks()
        return [] if own is None else [self.labels[i] for i in self.perturbations() if self.labels[i] not in own]

    def _season_asks(self) -> dict[str, int | None] | None:
        if self.phase is None or not self.phase.targets:
            return None
        exact = self.season.cells_per_target
        return {
            label_in(target.label, context): exact
            for context in self.phase.contexts or (None,)
            for target in self.phase.targets
        }

    def advised(self) -> dict[str, int]:
        """Cells by group that are advised: by the list that was given, or by the season."""
        if self.wanted is not None:
            return dict(self.wanted)
        targets = self.phase.targets if self.phase else ()
        return self._in_contexts({t.label: t.n_cells for t in targets if t.n_cells}) or {}

    def _names_control(self, label: str) -> bool:
        return (target_of(label) if self.season.context_col else label) == self.season.control_label

    def _in_contexts(self, numbers: Mapping[str, int] | None) -> dict[str, int] | None:
        """By group; a target without a context is asked for in each of the phase."""
        if numbers is None:
            return None
        contexts = self.phase.contexts if self.phase else ()
        if not contexts or any(target_of(label) != label for label in numbers):
            return dict(numbers)
        return {label_in(label, context): n for context in contexts for label, n in numbers.items()}

    @property
    def space(self) -> Space:
        """What the values are, where the season takes both: counts have no decimals."""
        if len(self.season.spaces) == 1:
            return self.season.space
        return "log1p" if self.values.decimals else "counts"

    @cached_property
    def means(self) -> np.ndarray | None:
        """(groups, genes) pseudobulks in log1p units: means of log1p values, or log1p of pooled counts."""
        if self.sums is None:
            return None
        if self.space == "counts":
            return pool(self.sums)
        return self.sums / np.maximum(self.n_cells, 1)[:, None]

    def references(self, which: np.ndarray) -> np.ndarray | None:
        """(len(which), genes) pseudobulks of the controls of these groups, in log1p units: of the file's own control
        cells, or of the profiles given. None where there are none for one of them.
        """
        controls = {self.contexts[i]: i for i in self.controls()}
        contexts = [self.contexts[i] for i in which]
        if self.means is not None and all(context in controls for context in contexts):
            own = [controls[context] for context in contexts]
            return self.means[own[:1]] if len(set(own)) == 1 else self.means[own]
        profiles = self.reference_profiles()
        if all((context or "") in profiles for context in contexts):
            return np.stack([profiles[context or ""] for context in contexts])
        return None

    def reference_profiles(self) -> dict[str, np.ndarray]:
        """(genes,) of the profiles given, in log1p units; none where the file has other genes."""
        if not self.profiles or self.genes is None or list(self.genes) != self.file.genes:
            return {}
        fits = {name: np.asarray(profile, np.float64) for name, profile in self.profiles.items()}
        fits = {name: profile for name, profile in fits.items() if profile.shape == (len(self.file.genes),)}
        return {name: pool(profile[None])[0] for name, profile in fits.items()} if self.space == "counts" else fits

    def depth_of(self, context: str | None) -> Depth | None:
        """What cells of a context should sum to."""
        if self.space == "counts" and self.profiles and (context or "") in self.profiles:
            where = f"control cells of {context}" if context else "control cells"
            return Depth(float(np.sum(self.profiles[context or ""])), f"{where} have")
        return self.depth

    def add(self, start: int, block: csr_matrix) -> None:
        """Add a block; NaN and infinity, which a check of their own reports, count as zero."""
        limit = self.season.max_value or np.inf
        from vccapp.submission.checking.scan import (  # numba: pages read results and load none of it
            add_sums,
            scan_block,
        )

        facts = scan_block(block, weights=self._weights, limit=limit, decimals=DECIMALS, fraction=FRACTION)
        self.values.add(facts)
        own = slice(start, start + block.shape[0])
        self.totals[own], self.logs[own], self.signatures[own] = facts.totals, facts.logs, facts.signatures
        if self.sums is not None:
            codes = self.codes(start, block.shape[0])
            add_sums(self.sums, block, codes, in_order=not facts.counted["disorder"])


def make_context(
    file: Cells,
    season: Season,
    *,
    phase: str | None = None,
    genes: Sequence[str] | None = None,
    cells: Mapping[str, int] | None = None,
    wanted: Mapping[str, int] | None = None,
    practice: bool = False,
    depth: Depth | None = None,
    profiles: Mapping[str, np.ndarray] | None = None,
    data: TrainingData | None = None,
) -> Context:
    """The context of a file: its phase found where none is named, the season's genes where none are given."""
    chosen = season.phase(phase) if phase is not None else find_phase(file, season)
    return Context(
        file,
        season,
        chosen,
        phase is None and len(season.phases) > 1,
        season.genes if genes is None and not practice else genes,
        cells,
        wanted,
        practice,
        depth or (data and data.depth(file.genes)) or season_depth(season, file.shape[1]),
        profiles,
        data,
    )


def find_phase(file: Cells, season: Season) -> Phase:
    """The phase whose contexts and targets the file fits best, spelled as they should be; the last of equal ones."""
    targets = set(map(str, file.labels.categories))
    contexts = set() if file.contexts is None else set(map(str, file.contexts.categories))

    def fit(phase: Phase) -> tuple[float, float]:
        named, asked = fix_contexts(contexts, phase.contexts), [target.label for target in phase.targets]
        bare = strip_suffixes(targets, asked)
        return _overlap({named.get(name, name) for name in contexts}, phase.contexts), _overlap(
            {bare.get(name, name) for name in targets}, asked
        )

    return max(reversed(season.phases), key=fit)


def _overlap(found: set[str], asked: Iterable[str]) -> float:
    """Jaccard: 1 where both are the same."""
    asked = set(asked)
    return len(found & asked) / max(len(found | asked), 1)


def _group(file: Cells) -> tuple[list[str], list[str], list[str | None], np.ndarray]:
    """Names, targets and contexts of the groups, and the group of each cell (-1 without)."""
    targets = [str(label) for label in file.labels.categories]
    codes = np.asarray(file.labels.codes, np.int64)
    if file.contexts is None:
        return targets, targets, [None] * len(targets), codes
    contexts = [str(context) for context in file.contexts.categories]
    known = (codes >= 0) & (file.contexts.codes >= 0)
    there, group = np.unique(
        file.contexts.codes[known].astype(np.int64) * len(targets) + codes[known], return_inverse=True
    )
    groups = np.full(len(codes), -1, np.int64)
    groups[known] = group
    own = [targets[i % len(targets)] for i in there]
    where: list[str | None] = [contexts[i // len(targets)] for i in there]
    return [label_in(target, context) for target, context in zip(own, where, strict=True)], own, where, groups


def pool(sums: np.ndarray) -> np.ndarray:
    """(n, genes) log1p of pooled counts, scaled to POOLED."""
    totals = np.maximum(sums.sum(axis=1, keepdims=True), 1e-12)
    return np.log1p(np.maximum(sums, 0) * (POOLED / totals))
