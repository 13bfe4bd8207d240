"""Small text files: plain files of a bounded size in UTF-8, and a sentence for everything else."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from refusals import refusal

from vccapp.data.gene_sets import read_gmt
from vccapp.data.splits.split import load_split
from vccapp.errors import DataError, VccAppError
from vccapp.seasons.gene_list import read_gene_list
from vccapp.settings import Settings
from vccapp.submission.budget import read_pert_counts
from vccapp.textfiles import read_bytes, read_json, read_text


def test_text(tmp_path: Path) -> None:
    path = tmp_path / "genes.csv"
    path.write_bytes(b"\xef\xbb\xbfSTAT1\r\nMED12\n")
    assert read_text(path).splitlines() == ["STAT1", "MED12"]
    path.write_text('{"a": [1, 2]}')
    assert read_json(path) == {"a": [1, 2]}


@pytest.mark.parametrize(
    ("content", "code"),
    [(b"\xff\xfeS\0", "not_text"), (b"caf\xe9", "not_text"), (b"a\0b", "not_text"), (b"x" * 101, "too_large")],
)
def test_not_text(content: bytes, code: str, tmp_path: Path) -> None:
    path = tmp_path / "genes.csv"
    path.write_bytes(content)
    with refusal(DataError, code):
        read_text(path, limit=100)


@pytest.mark.parametrize("content", ["[" * 100_000, "{", ""])
def test_not_json(content: str, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(content)
    with refusal(DataError, "not_json"):
        read_json(path)


def pipe(folder: Path) -> Path:
    os.mkfifo(folder / "pipe")
    return folder / "pipe"


PLACES: dict[str, Callable[[Path], Path]] = {
    "pipe": pipe,
    "zeros": lambda folder: Path("/dev/zero"),
    "folder": lambda folder: folder,
    "nowhere": lambda folder: folder / "nowhere",
    "nul": lambda folder: folder / "a\0b",
    "long": lambda folder: folder / ("n" * 400),
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(
    "read",
    [
        read_bytes,
        read_gene_list,
        read_pert_counts,
        read_gmt,
        lambda path: load_split(f"{path}.json" if path.name == "nowhere" else str(path), Settings()),
    ],
    ids=["bytes", "genes", "counts", "gmt", "split"],
)
def test_what_is_no_plain_file_is_refused_at_once(read: Callable[[Path], Any], place: str, tmp_path: Path) -> None:
    with pytest.raises(VccAppError) as caught:
        read(PLACES[place](tmp_path))
    assert len(str(caught.value)) < 300 + len(str(tmp_path))
    assert "Errno" not in str(caught.value)
