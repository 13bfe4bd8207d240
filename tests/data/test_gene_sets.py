"""Gene sets are read as the format says, kept where links find them, and names are found as people write them."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from refusals import refusal

from vccapp.data.gene_sets import find_genes, keep_gmt, list_gmt, read_gmt
from vccapp.errors import DataError
from vccapp.settings import Settings

GENES = ["MYC", "TP53", "HLA-A", "HLA-B", "C1orf112", "GENE.1"]


def test_sets_of_a_file_are_read_by_name(tmp_path: Path) -> None:
    path = tmp_path / "a.gmt"
    path.write_text("\ufeffONE\tabout it\tMYC\tTP53\tMYC\t\n\nTWO\thttp://x\tHLA-A\n", encoding="utf-8")
    assert read_gmt(path) == {"ONE": ("MYC", "TP53"), "TWO": ("HLA-A",)}


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "no_gene_set"),
        (b"ONE\tabout it\n", "not_a_gene_set"),
        (b"ONE\tabout\tMYC\nMYC, TP53\n", "not_a_gene_set"),
        (b"\tabout\tMYC\n", "not_a_gene_set"),
        (b"\xff\xfe\x00\x01", "not_text"),
    ],
)
def test_what_is_no_gmt_is_one_sentence_and_not_kept(content: bytes, code: str, settings: Settings) -> None:
    with refusal(DataError, code) as found:
        keep_gmt("mine.gmt", content, settings)
    assert "mine.gmt" in str(found.value) and "part" not in str(found.value)
    assert list_gmt(settings) == []


@pytest.mark.parametrize("name", ["../../etc/passwd.gmt", "a b.gmt", "..gmt", "/x/y.gmt", "ä.gmt"])
def test_kept_files_stay_in_their_folder(name: str, settings: Settings) -> None:
    path = keep_gmt(name, b"ONE\tx\tMYC\n", settings)
    assert path.parent == settings.home / "gene_sets"
    assert list_gmt(settings) == [path]
    assert read_gmt(path) == {"ONE": ("MYC",)}


def test_an_absent_file_is_named(tmp_path: Path) -> None:
    with refusal(DataError, "file_missing"):
        read_gmt(tmp_path / "no.gmt")


def test_names_are_found_in_any_case_by_stars_and_once() -> None:
    assert find_genes("myc, TP53;MYC\nhla-* NOGENE", GENES) == (["MYC", "TP53", "HLA-A", "HLA-B"], ["NOGENE"])
    assert find_genes("c1ORF112", GENES) == (["C1orf112"], [])
    assert find_genes("  ", GENES) == ([], [])
    assert find_genes("*Z*", GENES) == ([], ["*Z*"])
    assert find_genes("*", GENES) == (GENES, [])
    assert find_genes("GENE?1", GENES) == ([], ["GENE?1"])


def test_exact_case_wins_where_two_genes_differ_by_it_alone() -> None:
    assert find_genes("abc", ["ABC", "abc"]) == (["abc"], [])
    assert find_genes("Abc", ["ABC", "abc"]) == (["ABC", "abc"], [])


@given(st.text())
def test_any_text_gives_genes_of_the_data(text: str) -> None:
    found, unknown = find_genes(text, GENES)
    assert set(found) <= set(GENES) and len(set(found)) == len(found)
    assert all(word in text for word in unknown)
