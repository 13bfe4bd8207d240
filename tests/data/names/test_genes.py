"""Genes by every name they go by."""

import pytest

from vccapp.data.names.genes import GeneNames, bare_names

NAMES = GeneNames(
    ["STAT1", "GRCh38_MYC", "ENSG00000141510.18", "Actb", "KMT2A", "HLA-A"],
    {"id": ["ENSG00000115415.20", "ENSG00000136997", "", "", "", "ENSG00000206503"]},
)


@pytest.mark.parametrize(
    ("text", "gene", "way"),
    [
        ("STAT1", "STAT1", "name"),
        (" STAT1 ", "STAT1", "part"),
        ("stat1", "STAT1", "case"),
        ("MYC", "GRCh38_MYC", "part"),
        ("hg19_STAT1", "STAT1", "part"),
        ("ENSG00000141510", "ENSG00000141510.18", "part"),
        ("ENSG00000141510.3", "ENSG00000141510.18", "part"),
        ("ENSG00000115415.20", "STAT1", "column"),
        ("ENSG00000115415", "STAT1", "part"),
        ("STAT1_ENSG00000115415", "STAT1", "part"),
        ("ACTB", "Actb", "case"),
        ("MLL", "KMT2A", "alias"),
    ],
)
def test_found(text: str, gene: str, way: str) -> None:
    assert NAMES.find(text) == (gene, way)


@pytest.mark.parametrize("text", ["", "NOSUCHGENE", "1-Mar", "STAT", "HLA"])
def test_not_found(text: str) -> None:
    assert NAMES.find(text) is None


def test_a_name_of_several_genes_finds_none() -> None:
    names = GeneNames(["hg19_ACTB", "mm10_Actb", "A", "B"], {"alias": ["", "", "X|Y", "X"]})
    assert (names.find("actb"), names.find("X"), names.find("Y")) == (None, None, ("A", "column"))
    assert names.find("ACTB") == ("hg19_ACTB", "part")


def test_bare_names() -> None:
    assert bare_names("GRCh38______STAT1") == ("STAT1",)
    assert bare_names("ENSG00000115415.20|STAT1") == ("STAT1", "ENSG00000115415")
    assert bare_names("HLA-DRB1") == ("HLA-DRB1",)
    assert bare_names("AC012345.1") == ("AC012345.1",)
