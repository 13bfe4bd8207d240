"""Splits: which perturbations a model learns from, is tuned on and is judged by.

A perturbation stands in one part only, and so does a gene: the two-gene perturbations 'A+B' and 'B+C' go together, and
so do those of a gene in several contexts. A split that holds out whole contexts tests genes in a context in which
nothing was trained on. Controls belong to every part and are not listed. A split is a file that runs refer to by name;
it is never changed.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, field_validator

from vccapp.data.atomic import write_json
from vccapp.data.schema import check_contexts, context_of, genes_of, is_control
from vccapp.errors import DataError, SpecError
from vccapp.records import Format, Listing, list_records, read_record
from vccapp.settings import Settings
from vccapp.wording import name_some

PARTS = ("train", "val", "test")
SPLIT = Format("split", fix="delete it and create the split again")


class Split(BaseModel):
    """Perturbation labels, without the control, by part."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    dataset: str  # fingerprint
    method: Literal["ratio", "kfold", "lists", "contexts"]
    seed: int
    train: tuple[str, ...]
    val: tuple[str, ...]
    test: tuple[str, ...]

    @field_validator("name")
    @classmethod
    def _name_is_a_file_name(cls, name: str) -> str:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}", name):
            raise SpecError(
                "bad_name",
                f"'{name}' is not a valid name of a split",
                fix="use up to 80 letters, digits, '.', '_' and '-'",
            )
        return name


def make_split(
    perturbations: Sequence[str],
    *,
    name: str,
    dataset: str,
    ratio: Sequence[float] = (0.64, 0.16, 0.20),
    seed: int = 0,
) -> Split:
    """Perturbations by chance into parts of about these shares (train, val, test); the same seed, the same split.

    Perturbations that share genes go together; a group larger than the part it would go to stays in train.
    Raises SpecError for shares that do not sum to 1 or leave nothing to train on.
    """
    shares = np.asarray(ratio, float)
    if shares.shape != (3,) or not (shares >= 0).all() or abs(shares.sum() - 1) > 1e-6 or shares[0] == 0:
        shown = ", ".join(f"{share:g}" for share in ratio)
        raise SpecError(
            "bad_ratio",
            f"The shares ({shown}) must be train, val and test: none negative, train above 0, and a sum of 1",
        )
    groups = _shuffled_groups(perturbations, seed)
    sizes = _round_shares(shares, sum(map(len, groups)))
    test = _choose_groups(groups, sizes[2])
    rest = [group for group in groups if group not in test]
    val = _choose_groups(rest, sizes[1])
    parts = {"train": [group for group in rest if group not in val], "val": val, "test": test}
    split = Split(name=name, dataset=dataset, method="ratio", seed=seed, **_labels(parts))
    check_split(split, perturbations)
    return split


def make_folds(perturbations: Sequence[str], *, name: str, dataset: str, k: int, seed: int = 0) -> list[Split]:
    """`k` splits '<name>-fold1'...: split i tests fold i, tunes on the next and trains on the rest.

    Each perturbation is tested once. Raises SpecError when there are fewer than 3 folds or than k groups of genes.
    """
    groups = _shuffled_groups(perturbations, seed)
    if not 3 <= k <= len(groups):
        raise SpecError(
            "bad_folds",
            f"{k} folds cannot be made: there must be 3 or more (train, val, test), no more than the "
            f"{len(groups):,} groups of perturbations that share no gene",
            fix="choose another number",
        )
    folds: list[list[tuple[str, ...]]] = [[] for _ in range(k)]
    counts = [0] * k
    for group in sorted(groups, key=len, reverse=True):
        smallest = counts.index(min(counts))
        folds[smallest].append(group)
        counts[smallest] += len(group)
    splits = []
    for i in range(k):
        after = (i + 1) % k
        train = [group for j in range(k) if j not in (i, after) for group in folds[j]]
        parts = _labels({"train": train, "val": folds[after], "test": folds[i]})
        splits.append(Split(name=f"{name}-fold{i + 1}", dataset=dataset, method="kfold", seed=seed, **parts))
    return splits


def keep_contexts(perturbations: Sequence[str], contexts: Sequence[str] | None) -> list[str]:
    """Those of these contexts; all where None. Raises SpecError for an unknown context."""
    if contexts is None:
        return list(perturbations)
    check_contexts(contexts, sorted({context for label in perturbations if (context := context_of(label))}))
    return [label for label in perturbations if context_of(label) in contexts]


def hold_out_contexts(
    perturbations: Sequence[str],
    *,
    name: str,
    dataset: str,
    test: Sequence[str],
    val: Sequence[str] = (),
    seed: int = 0,
) -> Split:
    """Test: all perturbations of the contexts `test`; train: those of the other contexts, but for the validation part.

    val : contexts too; where none are given, a fifth of the perturbations of the other contexts, by gene.
    Raises SpecError for an unknown context, one that is named twice, or where nothing is left to train on.
    """
    keep_contexts(perturbations, [*test, *val])
    if len({*test, *val}) < len([*test, *val]):
        raise SpecError("repeated_context", f"{name_some([*test, *val])}: a context is named twice", fix="name it once")
    held = {label for label in perturbations if context_of(label) in test}
    others = [label for label in perturbations if label not in held]
    if val or not others:
        tuned = [label for label in others if context_of(label) in val]
    else:
        tuned = list(make_split(others, name=name, dataset=dataset, ratio=(0.8, 0.0, 0.2), seed=seed).test)
    parts = {"train": [label for label in others if label not in set(tuned)], "val": tuned, "test": held}
    lists = {part: tuple(sorted(labels)) for part, labels in parts.items()}
    split = Split(name=name, dataset=dataset, method="contexts", seed=seed, **lists)
    check_split(split, perturbations)
    return split


def split_from_lists(
    *, name: str, dataset: str, train: Sequence[str], val: Sequence[str] = (), test: Sequence[str] = ()
) -> Split:
    """A split of the user's own lists. `check_split` tells whether it leaks."""
    return Split(name=name, dataset=dataset, method="lists", seed=0, train=train, val=val, test=test)


def check_split(split: Split, perturbations: Sequence[str]) -> None:
    """Raises SpecError for an empty train, a label that the data lack or that is listed twice, a gene in two parts.

    In a split by contexts or of lists a gene may be in several parts, as long as it is so in different contexts.
    """
    if not split.train:
        raise SpecError(
            "empty_train",
            f"The split '{split.name}' leaves no perturbation to train on",
            fix="move some perturbations to train",
        )
    listed = [label for part in PARTS for label in getattr(split, part)]
    unknown = sorted(set(listed) - set(perturbations) | {label for label in listed if is_control(label)})
    if unknown:
        raise SpecError(
            "unknown_perturbation",
            f"The split '{split.name}' names {name_some(map(repr, unknown))}, which the dataset does not have",
            fix="correct or remove it",
        )
    twice = sorted({label for label in listed if listed.count(label) > 1}) if len(set(listed)) < len(listed) else []
    if twice:
        raise SpecError(
            "repeated_perturbation",
            f"The split '{split.name}' lists {name_some(map(repr, twice))} more than once",
            fix="list each in one part only",
        )
    home: dict[tuple[str, str | None], tuple[str, str]] = {}
    apart = split.method in ("contexts", "lists")
    for part in PARTS:
        for label in getattr(split, part):
            for gene in genes_of(label):
                other, where = home.setdefault((gene, context_of(label) if apart else None), (label, part))
                if where != part:
                    raise SpecError(
                        "leaking_split",
                        f"The split '{split.name}' has the gene {gene} in two parts, '{other}' in {where} and "
                        f"'{label}' in {part}",
                        fix="put both into the same part",
                    )


def write_split(split: Split, settings: Settings) -> Path:
    """Save under its name. Raises SpecError when that name is taken by a different split, as runs may refer to it."""
    path = settings.splits / f"{split.name}.json"
    if path.exists() and load_split(split.name, settings) != split:
        raise SpecError(
            "split_exists",
            f"A different split called '{split.name}' already exists and runs may refer to it",
            fix="choose another name",
        )
    write_json(path, SPLIT.stamp(split.model_dump(mode="json")))
    return path


def load_split(name_or_path: str | Path, settings: Settings) -> Split:
    """A split by its name, or by the path of its .json. Raises DataError when there is none or it is damaged."""
    is_path = str(name_or_path).endswith(".json")
    path = Path(name_or_path) if is_path else settings.splits / f"{Path(name_or_path).name}.json"
    if not path.is_file():
        known = name_some(map(repr, [split.name for split in list_splits(settings)]))
        raise DataError(
            "unknown_split",
            f"There is no split '{name_or_path}' (there are: {known})",
            fix="choose one of them or create it",
        )
    return _read(path)


def list_splits(settings: Settings, *, dataset: str | None = None) -> Listing[Split]:
    """The splits of the workspace, or of one dataset, by name."""
    splits = list_records(settings.splits.glob("*.json"), _read)
    return Listing((split for split in splits if dataset in (None, split.dataset)), splits.unreadable)


def _shuffled_groups(perturbations: Sequence[str], seed: int) -> list[tuple[str, ...]]:
    """Perturbations that share genes, directly or through others, as one group; groups in a random order."""
    labels = sorted({label for label in perturbations if not is_control(label)})
    if not labels:
        raise SpecError(
            "no_perturbation",
            "There is no perturbation to split, only controls",
            fix="choose data with perturbations",
        )
    parent: dict[str, str] = {}

    def root(gene: str) -> str:
        while parent.setdefault(gene, gene) != gene:
            parent[gene] = parent[parent[gene]]
            gene = parent[gene]
        return gene

    for label in labels:
        first, *others = genes_of(label)
        for other in others:
            parent[root(other)] = root(first)
    groups: dict[str, list[str]] = {}
    for label in labels:
        groups.setdefault(root(genes_of(label)[0]), []).append(label)
    ordered = [tuple(group) for group in groups.values()]
    return [ordered[i] for i in np.random.default_rng(seed).permutation(len(ordered))]


def _round_shares(shares: np.ndarray, total: int) -> list[int]:
    """Whole parts by largest remainder, at least one of them in train."""
    quotas = shares * total
    sizes = np.floor(quotas + 1e-9).astype(int)
    for i in np.argsort(sizes - quotas, kind="stable")[: total - sizes.sum()]:
        sizes[i] += 1
    if sizes[0] == 0:
        sizes[np.argmax(sizes)] -= 1
        sizes[0] = 1
    return sizes.tolist()


def _choose_groups(groups: list[tuple[str, ...]], size: int) -> list[tuple[str, ...]]:
    """Groups, none larger than `size` and not all, whose sizes sum as close to `size` as can be; early groups first.

    Subset sum over the bits of an integer: bit s of reach[i] tells whether some of the first i groups sum to s.
    """
    fitting = [group for group in groups if len(group) <= size]
    most = min(2 * size, sum(map(len, groups)) - 1)
    reach, limit = [1], (1 << (most + 1)) - 1
    for group in fitting:
        reach.append((reach[-1] | reach[-1] << len(group)) & limit)
    best = min((s for s in range(most + 1) if reach[-1] >> s & 1), key=lambda s: (abs(s - size), s))
    chosen = []
    for i in range(len(fitting), 0, -1):
        if not reach[i - 1] >> best & 1:
            chosen.append(fitting[i - 1])
            best -= len(fitting[i - 1])
    return chosen


def _labels(parts: dict[str, list[tuple[str, ...]]]) -> dict[str, tuple[str, ...]]:
    return {part: tuple(sorted(label for group in groups for label in group)) for part, groups in parts.items()}


def _read(path: Path) -> Split:
    return read_record(path, SPLIT, Split.model_validate)
