"""The record of a season, and that it is found by name."""

import pytest
from refusals import refusal

from vccapp.errors import SpecError
from vccapp.seasons.base import SEASONS


def test_season_2025_has_the_official_rules():
    season = SEASONS["vcc2025"]
    assert (season.n_genes, season.max_cells, season.max_value) == (18_080, 100_000, 15.0)
    assert (season.pert_col, season.control_label) == ("target_gene", "non-targeting")
    assert season.container.members == ("pred.h5ad.zst", "watermark.txt")
    assert season.container.watermark == b"vcc-prep"


def test_each_season_is_registered_under_its_own_name():
    assert [(name, c.name) for name, c in SEASONS.items()] == [(name, name) for name in SEASONS]


@pytest.mark.official
def test_rules_agree_with_the_official_packager():
    prep = pytest.importorskip("cell_eval._cli._prep", reason="cell-eval is not installed")
    season = SEASONS["vcc2025"]
    assert season.n_genes == prep.EXPECTED_GENE_DIM
    assert season.max_cells <= prep.MAX_CELL_DIM
    assert season.pert_col == prep.DEFAULT_PERT_COL
    assert season.control_label == prep.DEFAULT_NTC_NAME


def test_unknown_season_names_those_there_are():
    with refusal(SpecError, "unknown_name"):
        SEASONS["vcc1999"]
