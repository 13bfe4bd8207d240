"""The commands that open data and make splits, word by word."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from vccapp.commands import options
from vccapp.data.schema import Columns, context_of

if TYPE_CHECKING:
    from vccapp.data.splits.split import Split


def column_options(columns: Columns) -> list[str]:
    """The options of `vccapp data describe` and `index` for columns that the user named."""
    words = options(
        {
            "--perturbation-column": columns.perturbation,
            "--guide-column": columns.guide,
            "--batch-column": columns.batch,
            "--context-column": columns.context,
            "--matrix": columns.matrix,
            "--gene-column": columns.genes,
            "--repeated-genes": columns.repeated,
            "--pair-separator": columns.pairs,
            "--guides": columns.guides,
        }
    )
    labels = {"--control-label": columns.controls or (), "--keep-label": columns.keep, "--leave-out": columns.leave_out}
    return words + [word for option, several in labels.items() for label in several for word in (option, label)]


def describe_command(paths: Iterable[Path | str], columns: Columns) -> list[str]:
    """`vccapp data describe` of a file, or of several that are one."""
    return ["vccapp", "data", "describe", *map(str, paths), *column_options(columns)]


def split_command(split: "Split", *, folds: int | None = None) -> list[str]:
    """`vccapp split make` that makes this split again; folds : of how many it is one, to make them all."""
    words = ["vccapp", "split", "make", split.dataset]
    seed = options({"--seed": split.seed or None})
    contexts = {context_of(label) for part in (split.train, split.val, split.test) for label in part}
    within = options({"--context": _join(contexts)})
    if split.method == "kfold" and folds:
        return [*words, "--name", split.name.rpartition("-fold")[0], "--folds", str(folds), *within, *seed]
    words += ["--name", split.name]
    if split.method == "contexts":
        own = {part: {context_of(label) for label in getattr(split, part)} for part in ("train", "val", "test")}
        tuned = own["val"] - own["train"]
        return words + options({"--test-context": _join(own["test"]), "--val-context": _join(tuned)}) + seed
    words += within
    if split.method == "ratio":
        n = len(split.train) + len(split.val) + len(split.test)
        val, test = len(split.val) / n, len(split.test) / n
        return [*words, "--ratio", *(f"{s:.6g}" for s in (1 - round(val, 6) - round(test, 6), val, test)), *seed]
    return words + options({"--val": ",".join(split.val), "--test": ",".join(split.test)})


def _join(contexts: set[str | None]) -> str | None:
    """As one option; None for none."""
    return ",".join(sorted(context for context in contexts if context)) or None


def count_folds(split: "Split", names: Iterable[str]) -> int | None:
    """Of how many folds a split is one, told from the names of all splits; None where it is none."""
    if split.method != "kfold":
        return None
    base = split.name.rpartition("-fold")[0]
    return sum(name.rpartition("-fold")[0] == base for name in names)
