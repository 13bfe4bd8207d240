"""Splits as STATE's TOML ([datasets] [training] [zeroshot] [fewshot]), written and read."""

import json
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vccapp.data.reading.ignored import explain_ignored
from vccapp.data.schema import context_of, is_control, label_in, target_of
from vccapp.data.splits.split import PARTS, Split, check_split, split_from_lists
from vccapp.errors import SpecError
from vccapp.wording import name_some


def to_toml(
    split: Split, *, dataset_name: str, path: Path | str, context: str, context_ignored: str | None = None
) -> str:
    """The split as STATE's TOML: what is neither val nor test of a context trains.

    context : the name that STATE is to find the cells under, where the data tell no contexts apart; else each of theirs
    has a table, or where it is held out as a whole its line in [zeroshot]. context_ignored : told in a comment
    STATE matches the labels of the file itself: where labels were mapped on opening, map them in the file too.
    """
    parts: dict[str, dict[str, list[str]]] = {}
    for part in PARTS:
        for label in getattr(split, part):
            own = parts.setdefault(context_of(label) or context, {name: [] for name in PARTS})
            own[part].append(target_of(label))
    zeroshot, fewshot = ["[zeroshot]"], ["[fewshot]", ""]
    for name, own in sorted(parts.items()):
        key, used = _quote(f"{dataset_name}.{name}"), [part for part in PARTS if own[part]]
        if used in (["val"], ["test"]):
            zeroshot.append(f'{key} = "{used[0]}"')
        elif used != ["train"] or len(parts) == 1:
            lists = [f"{part} = [{', '.join(map(_quote, own[part]))}]" for part in ("val", "test")]
            fewshot += [f"[fewshot.{key}]", *lists, ""]
    head = [f"# {json.dumps(explain_ignored(context_ignored))[1:-1]}.", ""] if context_ignored else []
    head += ["[datasets]", f"{_quote(dataset_name)} = {_quote(str(path))}", ""]
    return "\n".join([*head, "[training]", f'{_quote(dataset_name)} = "train"', "", *zeroshot, "", *fewshot])


def from_toml(text: str, *, perturbations: Sequence[str], name: str, dataset: str, context: str | None = None) -> Split:
    """A split from STATE's TOML: val and test of its [fewshot] table, the other perturbations train.

    context : 'dataset.context', needed where the file has several tables and the data tell no contexts apart; where
    they do, every table is read for the context of its name, and so is [zeroshot].
    Raises SpecError when the file has no such table, and for what `check_split` refuses, misspelled labels among it.
    """
    try:
        whole = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SpecError(
            "not_toml",
            f"The text is not valid TOML ({error})",
            fix="correct it",
        ) from None
    tables, zeroshot = whole.get("fewshot", {}), whole.get("zeroshot", {})
    contexts = {found for label in perturbations if (found := context_of(label))}
    if contexts and isinstance(tables, dict) and isinstance(zeroshot, dict) and (tables or zeroshot):
        val, test = (_read_contexts(part, tables, zeroshot, contexts, perturbations) for part in ("val", "test"))
        return _of_held_out(perturbations, val=val, test=test, name=name, dataset=dataset)
    if not isinstance(tables, dict) or not tables:
        raise SpecError(
            "no_fewshot",
            'The TOML has no [fewshot."dataset.context"] table, so it does not split perturbations',
            fix="add val and test lists",
        )
    if context is None and len(tables) == 1:
        context = next(iter(tables))
    if context is None or context not in tables:
        raise SpecError(
            "unknown_context",
            f"The TOML has the contexts {name_some(map(repr, list(tables)))}, not '{context}'",
            fix="choose one of them",
        )
    val, test = (_read_list(tables[context], part, context) for part in ("val", "test"))
    return _of_held_out(perturbations, val=val, test=test, name=name, dataset=dataset)


def _of_held_out(
    perturbations: Sequence[str], *, val: Sequence[str], test: Sequence[str], name: str, dataset: str
) -> Split:
    held = {*val, *test}
    train = [label for label in perturbations if label not in held and not is_control(label)]
    split = split_from_lists(name=name, dataset=dataset, train=train, val=val, test=test)
    check_split(split, perturbations)
    return split


def _read_contexts(
    part: str, tables: dict[str, Any], zeroshot: dict[str, Any], contexts: set[str], perturbations: Sequence[str]
) -> list[str]:
    """The labels of a part, of all contexts: whole ones of [zeroshot], and the lists of [fewshot]."""
    names = {key: next((one for one in contexts if key.endswith(f".{one}")), None) for key in (*tables, *zeroshot)}
    unknown = [key for key, context in names.items() if context is None]
    if unknown:
        raise SpecError(
            "unknown_context",
            f"The TOML has tables of {name_some(map(repr, unknown))}, which are none of the dataset's contexts",
            fix=f"contexts: {name_some(sorted(contexts))}",
        )
    whole = {names[key] for key, held_as in zeroshot.items() if held_as == part}
    labels = [label for label in perturbations if context_of(label) in whole and not is_control(label)]
    for key, table in tables.items():
        labels += [label_in(target, names[key]) for target in _read_list(table, part, key)]
    return labels


def _read_list(table: Any, part: str, context: str) -> list[str]:
    values = table.get(part, []) if isinstance(table, dict) else None
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise SpecError(
            "not_a_list",
            f"The TOML's {part} of '{context}' is not a list of labels",
            fix=f'write {part} = ["A", "B"]',
        )
    return values


def _quote(text: str) -> str:
    """A TOML basic string: JSON's rules, and DEL escaped too."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
