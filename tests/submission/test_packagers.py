"""Hundreds of spoiled submissions against the official packagers of both seasons.

None that we take is refused by them. Where we refuse what they take, each failed check says that it is stricter, and
why; docs/checks.md lists these rules. A seeded sample runs by default, all 500 with VCCAPP_MUTATIONS=all.
"""

import os
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from counts_submission import CONTEXTS, EXACT, PROFILES, SEASON, TARGETS
from counts_submission import GENES as COUNT_GENES
from mutations import CELLS, CONTROL, GENES
from packagers import judge_by, python_of
from spoiled import named, spoil_all, write_spoiled
from toy_seasons import toy_season

from vccapp.errors import VccAppError
from vccapp.submission.check import CheckResult, run_checks
from vccapp.submission.checking.stricter import STRICTER, explain_rule

SAMPLED = 60
WANTED = {label: n for label, n in CELLS.items() if label != CONTROL}
SEASONS = {
    "vcc2025": (toy_season("vcc2025", n_genes=len(GENES), targets=WANTED, max_cells=170), {"genes": GENES}),
    "vcc2026": (SEASON, {"genes": COUNT_GENES, "profiles": PROFILES}),
}
ORACLE: dict[str, dict[str, Any]] = {
    "vcc2025": {"genes": GENES},
    "vcc2026": {
        "genes": COUNT_GENES,
        "targets": TARGETS,
        "contexts": CONTEXTS,
        "limits": {
            "cells_per_pert": EXACT,
            "expected_gene_dim": len(COUNT_GENES),
            "max_cell_dim": SEASON.max_cells,
            "max_nnz": SEASON.max_values,
            "max_counts_per_cell": int(SEASON.max_cell_total or 0),
        },
    },
}
ELSEWHERE = {"planned", "gene_count"}
"""Rules that no file alone can break: of a plan, and of a gene list that is not the season's (tests of the checks)."""
CODES = {"x_damaged": "damaged", "not_numbers": "dtype"}
"""Rules by the codes of errors: such files are not read at all."""


class Verdict(NamedTuple):
    """failed : results; code : of the error where the file cannot be read as a prediction"""

    failed: list[CheckResult]
    code: str | None

    @property
    def accepted(self) -> bool:
        return not self.failed and self.code is None


def judge(season: str, path: Path) -> Verdict:
    rules, expected = SEASONS[season]
    try:
        return Verdict([r for r in run_checks(path, rules, **expected) if r.status == "failed"], None)
    except VccAppError as error:
        return Verdict([], error.code)


def choose(season: str) -> dict[str, Any]:
    every = spoil_all(season)
    assert len(every) == 250 and len(named(season)) < 150
    if os.environ.get("VCCAPP_MUTATIONS") == "all":
        return every
    names = np.random.default_rng(1).choice(list(every), SAMPLED, replace=False)
    return {str(name): every[str(name)] for name in names} | {"none": every["none"]}


@pytest.mark.slow
@pytest.mark.official
@pytest.mark.parametrize("season", SEASONS)
def test_nothing_passes_that_the_official_packager_refuses(season: str, tmp_path: Path) -> None:
    if python_of(season) is None:
        pytest.skip(f"the packager of {season} is not installed")
    files = {}
    for i, (name, spoil) in enumerate(choose(season).items()):
        files[name] = tmp_path / f"{i}.h5ad"
        write_spoiled(season, files[name], spoil)
    ours = {name: judge(season, path) for name, path in files.items()}
    taken = judge_by(season, files, tmp_path, **ORACLE[season])
    assert "none" in taken and ours["none"].accepted
    assert [name for name, verdict in ours.items() if verdict.accepted and name not in taken] == []

    rule_of = {explain_rule(season, rule): rule for rule in STRICTER[season]}
    unexplained, seen = [], set()
    for name in taken:
        verdict = ours[name]
        if verdict.code is not None:
            unexplained += [] if verdict.code in CODES else [(name, verdict.code)]
            seen |= {CODES[verdict.code]} if verdict.code in CODES else set()
        unexplained += [(name, result.name, result.message) for result in verdict.failed if not result.stricter]
        seen |= {rule_of[result.stricter] for result in verdict.failed if result.stricter}
    print(
        season, len(files), "files", len(taken), "taken", sum(v.accepted for v in ours.values()), "by us", sorted(seen)
    )
    assert unexplained == []
    assert seen <= set(STRICTER[season])
    if os.environ.get("VCCAPP_MUTATIONS") == "all":
        assert set(STRICTER[season]) - seen - ELSEWHERE == set()
