"""The official gene list: with and without a header, and the columns of a file that mean its genes."""

from pathlib import Path

import pytest

from vccapp.seasons.gene_list import match_genes, read_gene_list


@pytest.mark.parametrize(
    ("head", "says"), [("", "without a header"), ("gene_name\n", "with the header row 'gene_name'")]
)
def test_a_list_with_and_without_header(tmp_path: Path, head: str, says: str) -> None:
    (tmp_path / "genes.csv").write_text(f"{head}A1BG\nSTAT1\n")
    found = read_gene_list(tmp_path / "genes.csv")
    assert found.genes == ("A1BG", "STAT1") and says in found.note


def test_columns_are_matched_by_name_version_and_case() -> None:
    genes = ["A1BG", "STAT1", "TP53", "MYC", "HLA-A"]
    found = ["HLA-A", "stat1", "A1BG.2", "MYC.1", "MYC.2", "A1BG"]
    assert match_genes(genes, found).tolist() == [5, 1, -1, -1, 0]
