"""The words of the commands that do what a page shows."""

from collections.abc import Iterable
from pathlib import Path

from vccapp.data.schema import Columns
from vccapp.data.split import Split
from vccapp.data.workspace import Record


def column_words(columns: Columns) -> list[str]:
    """The options of `vccapp data describe` and `index` for columns that the user named."""
    options = {
        "--perturbation-column": columns.perturbation,
        "--guide-column": columns.guide,
        "--batch-column": columns.batch,
        "--control": columns.control,
    }
    return [word for option, value in options.items() if value for word in (option, value)]


def describe_words(path: Path | str, columns: Columns, *, verb: str = "describe") -> list[str]:
    """`vccapp data describe` (or index) of a file."""
    return ["vccapp", "data", verb, str(path), *column_words(columns)]


def split_words(split: Split, record: Record, *, names: Iterable[str]) -> list[str]:
    """`vccapp split make` that makes this split again; of folds, all of them. names: those of all splits."""
    words = ["vccapp", "split", "make", record.fingerprint]
    if split.method == "lists":
        words += ["--name", split.name]
        return words + [
            w for part in ("val", "test") if (own := getattr(split, part)) for w in (f"--{part}", ",".join(own))
        ]
    if split.method == "kfold":
        base = split.name.rpartition("-fold")[0]
        folds = sum(name.rpartition("-fold")[0] == base for name in names)
        return [*words, "--name", base, "--folds", str(folds), "--seed", str(split.seed)]
    n = len(split.train) + len(split.val) + len(split.test)
    val, test = len(split.val) / n, len(split.test) / n
    ratio = [f"{share:.6g}" for share in (1 - round(val, 6) - round(test, 6), val, test)]
    return [*words, "--name", split.name, "--ratio", *ratio, "--seed", str(split.seed)]


def plan_words(
    *, run: str, challenge: str, counts: str | None, n_controls: int, genes: str, practice: bool, name: str
) -> list[str]:
    """`vccapp submit plan` of the choices on the page Submit."""
    words = ["vccapp", "submit", "plan", "--run", run, "--challenge", challenge]
    words += ["--counts", counts] if counts else []
    words += ["--controls", str(n_controls)]
    words += ["--genes", genes] if genes else []
    words += ["--practice"] if practice else []
    return [*words, "--name", name]
