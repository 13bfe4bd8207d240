"""The record of a season, and that it is found by name."""

import pytest
from refusals import refusal

from vccapp.challenges.base import CHALLENGES
from vccapp.errors import SpecError


def test_season_2025_has_the_official_rules():
    challenge = CHALLENGES["vcc2025"]
    assert (challenge.n_genes, challenge.max_cells, challenge.max_value) == (18_080, 100_000, 15.0)
    assert (challenge.pert_col, challenge.control_label) == ("target_gene", "non-targeting")
    assert challenge.members == ("pred.h5ad.zst", "watermark.txt")
    assert challenge.watermark == b"vcc-prep"


def test_each_season_is_registered_under_its_own_name():
    assert [(name, c.name) for name, c in CHALLENGES.items()] == [(name, name) for name in CHALLENGES]


@pytest.mark.official
def test_rules_agree_with_the_official_packager():
    prep = pytest.importorskip("cell_eval._cli._prep", reason="cell-eval is not installed")
    challenge = CHALLENGES["vcc2025"]
    assert challenge.n_genes == prep.EXPECTED_GENE_DIM
    assert challenge.max_cells <= prep.MAX_CELL_DIM
    assert challenge.pert_col == prep.DEFAULT_PERT_COL
    assert challenge.control_label == prep.DEFAULT_NTC_NAME


def test_unknown_season_names_those_there_are():
    with refusal(SpecError, "unknown_name"):
        CHALLENGES["vcc1999"]
