"""Splits: no gene in two parts, shares as close as they can be, the same from the same seed, STATE's TOML both ways."""

import json
import tomllib
from itertools import combinations
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from refusals import refusal

from vccapp.data.commands import split_command
from vccapp.data.schema import CONTROL, context_of, genes_of, target_of
from vccapp.data.splits.split import (
    Split,
    check_split,
    hold_out_contexts,
    keep_contexts,
    list_splits,
    load_split,
    make_folds,
    make_split,
    split_from_lists,
    write_split,
)
from vccapp.data.splits.toml import from_toml, to_toml
from vccapp.errors import DataError, SpecError
from vccapp.settings import Settings

FINGERPRINT = "0123456789abcdef"
GENES = [f"G{i}" for i in range(12)]
LABELS = st.lists(
    st.one_of(st.sampled_from(GENES), st.tuples(st.sampled_from(GENES), st.sampled_from(GENES)).map("+".join)),
    min_size=1,
    max_size=30,
    unique=True,
)
SINGLES = [f"GENE{i}" for i in range(150)]


def parts(split: Split) -> list[tuple[str, ...]]:
    return [split.train, split.val, split.test]


def make(labels: list[str], **options: object) -> Split:
    return make_split(labels, name="s", dataset=FINGERPRINT, **options)


def lists(**options: object) -> Split:
    return split_from_lists(name="s", dataset=FINGERPRINT, **options)


@given(
    labels=LABELS, seed=st.integers(0, 5), ratio=st.sampled_from([(0.64, 0.16, 0.2), (0.5, 0.5, 0), (0.1, 0.1, 0.8)])
)
def test_nothing_leaks_and_nothing_is_lost(labels: list[str], seed: int, ratio: tuple[float, float, float]) -> None:
    split = make([*labels, CONTROL], seed=seed, ratio=ratio)
    assert sorted(label for part in parts(split) for label in part) == sorted(labels)
    genes = [{gene for label in part for gene in genes_of(label)} for part in parts(split)]
    assert not any(a & b for a, b in combinations(genes, 2))
    check_split(split, labels)
    assert split == make(sorted(labels), seed=seed, ratio=ratio), "the order of the labels does not matter"


@given(n=st.integers(1, 200), seed=st.integers(0, 3))
def test_single_genes_meet_the_shares(n: int, seed: int) -> None:
    split = make(SINGLES[:1] + [f"X{i}" for i in range(n - 1)], seed=seed)
    assert all(abs(len(part) - share * n) < 1 for part, share in zip(parts(split), (0.64, 0.16, 0.2), strict=True))


def test_the_training_file_s_size() -> None:
    assert [len(part) for part in parts(make(SINGLES))] == [96, 24, 30]


def test_groups_are_combined_to_meet_the_shares() -> None:
    """Groups of 3 and 2: a test part of 5 of 25 exists, and is found whatever the seed."""
    labels = [f"{g}{i}+{g}{j}" for g in "ABCDE" for i, j in ((0, 1), (1, 2), (2, 3))]
    labels += [f"{g}{i}+{g}{j}" for g in "FGHIJ" for i, j in ((0, 1), (1, 2))]
    for seed in range(5):
        split = make(labels, ratio=(0.6, 0.2, 0.2), seed=seed)
        assert [len(part) for part in parts(split)] == [15, 5, 5]


def test_a_large_group_stays_in_train() -> None:
    web = [f"HUB+G{i}" for i in range(30)]
    split = make([*web, *(f"S{i}" for i in range(20))])
    assert set(web) <= set(split.train)
    assert [len(part) for part in parts(split)] == [32, 8, 10]


def test_seeds_differ() -> None:
    assert make(SINGLES, seed=0) == make(SINGLES, seed=0)
    assert make(SINGLES, seed=0).test != make(SINGLES, seed=1).test


@pytest.mark.parametrize("ratio", [(0.5, 0.5), (0.5, 0.2, 0.2), (1.2, -0.1, -0.1), (0, 0.5, 0.5), (float("nan"),) * 3])
def test_impossible_shares(ratio: tuple[float, ...]) -> None:
    with refusal(SpecError, "bad_ratio"):
        make(SINGLES, ratio=ratio)


def test_only_controls() -> None:
    with refusal(SpecError, "no_perturbation"):
        make([CONTROL])


@given(labels=LABELS, k=st.integers(3, 6), seed=st.integers(0, 3))
def test_folds_test_everything_once(labels: list[str], k: int, seed: int) -> None:
    try:
        folds = make_folds([*labels, CONTROL], name="f", dataset=FINGERPRINT, k=k, seed=seed)
    except SpecError as error:
        assert "folds cannot be made" in str(error)
        return
    assert [fold.name for fold in folds] == [f"f-fold{i + 1}" for i in range(k)]
    assert sorted(label for fold in folds for label in fold.test) == sorted(labels)
    for i, fold in enumerate(folds):
        check_split(fold, labels)
        assert fold.val == folds[(i + 1) % k].test
        assert sorted(label for part in parts(fold) for label in part) == sorted(labels)


def test_folds_are_even() -> None:
    sizes = [len(fold.test) for fold in make_folds(SINGLES, name="f", dataset=FINGERPRINT, k=7)]
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize("k", [2, 151])
def test_impossible_folds(k: int) -> None:
    with refusal(SpecError, "bad_folds"):
        make_folds(SINGLES, name="f", dataset=FINGERPRINT, k=k)


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"train": []}, "empty_train"),
        ({"train": ["A", "typo"]}, "unknown_perturbation"),
        ({"train": ["A"], "val": [CONTROL]}, "unknown_perturbation"),
        ({"train": ["A"], "test": ["A"]}, "repeated_perturbation"),
        ({"train": ["A", "A"]}, "repeated_perturbation"),
        ({"train": ["A"], "test": ["A+B"]}, "leaking_split"),
        ({"train": ["C"], "val": ["A+B"], "test": ["B+C"]}, "leaking_split"),
    ],
)
def test_leaks_and_typos(options: dict, code: str) -> None:
    with refusal(SpecError, code):
        check_split(lists(**options), ["A", "B", "C", "A+B", "B+C", CONTROL])


def test_lists_may_leave_perturbations_out() -> None:
    check_split(lists(train=["A"], test=["B"]), ["A", "B", "C"])


@pytest.mark.parametrize("name", ["../evil", "", ".hidden", "a/b", "x" * 81])
def test_names_that_are_no_file_names(name: str) -> None:
    with refusal(SpecError, "bad_name"):
        split_from_lists(name=name, dataset=FINGERPRINT, train=["A"])


def test_saved_and_found_again(settings: Settings) -> None:
    split = make(SINGLES)
    path = write_split(split, settings)
    assert path == settings.splits / "s.json"
    assert load_split("s", settings) == load_split(path, settings) == load_split(str(path), settings) == split
    other = split_from_lists(name="other", dataset="f" * 16, train=["A"])
    write_split(other, settings)
    assert list_splits(settings) == [other, split]
    assert list_splits(settings, dataset=FINGERPRINT) == [split]


def test_a_split_is_never_changed(settings: Settings) -> None:
    path = write_split(make(SINGLES), settings)
    before = path.read_bytes()
    write_split(make(SINGLES), settings)
    with refusal(SpecError, "split_exists"):
        write_split(make(SINGLES, seed=1), settings)
    assert path.read_bytes() == before


def test_missing_and_damaged_files(settings: Settings) -> None:
    write_split(make(SINGLES), settings)
    with refusal(DataError, "unknown_split"):
        load_split("none", settings)
    with refusal(DataError, "unknown_split"):
        load_split("../../secret", settings)
    (settings.splits / "bad.json").write_text("{")
    (settings.splits / "old.json").write_text(json.dumps({"name": "old"}))
    for name in ("bad", "old"):
        with refusal(DataError, "record_damaged") as error:
            load_split(name, settings)
        assert error.value.code == "record_damaged"
    splits = list_splits(settings)
    assert [split.name for split in splits] == ["s"]
    assert [found.path.stem for found in splits.unreadable] == ["bad", "old"]


TEXT = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)
LABEL = TEXT.filter(lambda text: not {"+", "@"} & set(text) and text != CONTROL)


@pytest.mark.slow
@given(
    labels=st.lists(
        TEXT.filter(lambda x: not {"+", "@"} & set(x) and x != CONTROL), min_size=1, max_size=9, unique=True
    ),
    name=TEXT,
    context=TEXT,
    path=TEXT,
    cut=st.tuples(st.integers(0, 8), st.integers(0, 8)),
)
@hypothesis_settings(deadline=None)
def test_toml_round_trip(labels: list[str], name: str, context: str, path: str, cut: tuple[int, int]) -> None:
    first, second = sorted(1 + c % len(labels) for c in cut)
    split = lists(train=labels[:first], val=labels[first:second], test=labels[second:])
    text = to_toml(split, dataset_name=name, path=path, context=context)
    assert from_toml(text, perturbations=[*labels, CONTROL], name="s", dataset=FINGERPRINT) == split
    tables = tomllib.loads(text)
    assert list(tables) == ["datasets", "training", "zeroshot", "fewshot"]
    assert (tables["datasets"], tables["training"]) == ({name: path}, {name: "train"})
    assert tables["fewshot"] == {f"{name}.{context}": {"val": list(split.val), "test": list(split.test)}}


def read(text: str, **options: object) -> Split:
    return from_toml(text, perturbations=["A", "B", "C", "A+C"], name="s", dataset=FINGERPRINT, **options)


def test_toml_of_several_contexts() -> None:
    text = '[fewshot."d.k562"]\nval = ["B"]\n[fewshot."d.h1"]\ntest = ["B"]\n'
    assert parts(read(text, context="d.h1")) == [("A", "C", "A+C"), (), ("B",)]
    with refusal(SpecError, "unknown_context"):
        read(text)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("not toml", "not_toml"),
        ('[datasets]\nd = "x"\n', "no_fewshot"),
        ('fewshot = "x"\n', "no_fewshot"),
        ('[fewshot."d.h1"]\nval = "A"\n', "not_a_list"),
        ('[fewshot."d.h1"]\nval = [1]\n', "not_a_list"),
        ('[fewshot."d.h1"]\nval = ["misspelled"]\n', "unknown_perturbation"),
        ('[fewshot."d.h1"]\nval = ["A+C", "B"]\n', "leaking_split"),
        ('[fewshot."d.h1"]\nval = ["B"]\ntest = ["B"]\n', "repeated_perturbation"),
    ],
)
def test_toml_that_does_not_split(text: str, code: str) -> None:
    with refusal(SpecError, code):
        read(text)


@pytest.mark.shared
def test_the_starter_of_the_challenge_splits_no_perturbations(shared: Path) -> None:
    with refusal(SpecError, "no_fewshot"):
        read((shared / "vcc2025_official" / "starter.toml").read_text())


IN_CONTEXTS = [f"{gene}@{context}" for context in ("A", "B", "C") for gene in ("G1", "G2", "G3", "G4", "G5", "G1+G2")]


def test_a_gene_stands_in_one_part_in_all_contexts() -> None:
    split = make_split(IN_CONTEXTS, name="s", dataset=FINGERPRINT, ratio=(0.5, 0.25, 0.25))
    home = {}
    for part in ("train", "val", "test"):
        for label in getattr(split, part):
            for gene in genes_of(label):
                assert home.setdefault(gene, part) == part
    with refusal(SpecError, "leaking_split"):
        check_split(
            split.model_copy(update={"train": (*split.train, split.test[0]), "test": split.test[1:]}), IN_CONTEXTS
        )


@pytest.mark.parametrize("val", [(), ("B",)])
def test_whole_contexts_are_held_out(val: tuple[str, ...]) -> None:
    split = hold_out_contexts(IN_CONTEXTS, name="s", dataset=FINGERPRINT, test=["C"], val=val, seed=1)
    assert set(split.test) == {label for label in IN_CONTEXTS if context_of(label) == "C"}
    assert {*split.train, *split.val, *split.test} == set(IN_CONTEXTS)
    if val:
        assert set(map(context_of, split.val)) == {"B"}
    else:
        assert split.val and not {g for x in split.val for g in genes_of(x)} & {
            g for x in split.train for g in genes_of(x)
        }
    text = to_toml(split, dataset_name="data", path="x.h5ad", context="all")
    again = from_toml(text, perturbations=IN_CONTEXTS, name="s", dataset=FINGERPRINT)
    assert all(set(getattr(again, part)) == set(getattr(split, part)) for part in ("train", "val", "test"))
    assert "--test-context" in split_command(split)


def test_contexts_that_are_none() -> None:
    for make in (
        lambda: hold_out_contexts(IN_CONTEXTS, name="s", dataset=FINGERPRINT, test=["D"]),
        lambda: keep_contexts(IN_CONTEXTS, ["D"]),
        lambda: keep_contexts(["G1"], ["D"]),
    ):
        with refusal(SpecError, "unknown_context"):
            make()
    with refusal(SpecError, "repeated_context"):
        hold_out_contexts(IN_CONTEXTS, name="s", dataset=FINGERPRINT, test=["A"], val=["A"])
    with refusal(SpecError, "empty_train"):
        hold_out_contexts(IN_CONTEXTS, name="s", dataset=FINGERPRINT, test=["A", "B", "C"])
    assert [target_of(label) for label in keep_contexts(IN_CONTEXTS, ["B"])] == ["G1", "G2", "G3", "G4", "G5", "G1+G2"]
