"""Submissions with one thing wrong each: no traceback, and each fault is told by its check."""

from pathlib import Path

import numpy as np
import pytest
from mutations import CELLS, CONTROL, DEPTH, GENES, MUTATIONS, adata_changed, values_changed, write_submission
from toy_seasons import toy_season

from vccapp.errors import VccAppError
from vccapp.evaluation.quality import Depth
from vccapp.seasons.base import SEASONS
from vccapp.submission.budget import season_depth
from vccapp.submission.check import CheckResult, run_checks

WANTED = {label: n for label, n in CELLS.items() if label != CONTROL}
CHALLENGE = toy_season("vcc2025", n_genes=len(GENES), targets=WANTED)


def judge(path: Path, **expected: object) -> list[CheckResult] | VccAppError:
    try:
        return run_checks(path, CHALLENGE, **expected)
    except VccAppError as error:
        return error


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("mutations")
    for name, mutate in MUTATIONS.items():
        write_submission(folder / f"{name}.h5ad")
        mutate(folder / f"{name}.h5ad")
    return {name: folder / f"{name}.h5ad" for name in MUTATIONS}


@pytest.fixture(scope="module")
def verdicts(files: dict[str, Path]) -> dict[str, list[CheckResult] | VccAppError]:
    return {name: judge(path, genes=GENES, wanted=WANTED) for name, path in files.items()}


@pytest.mark.slow
def test_each_is_told_in_short_sentences(verdicts: dict[str, list[CheckResult] | VccAppError]) -> None:
    for name, verdict in verdicts.items():
        said = [str(verdict)] if isinstance(verdict, VccAppError) else [f"{r.message} {r.fix}" for r in verdict]
        assert all(len(text) < 300 and text.isprintable() for text in said), (name, said)
    assert {r.status for r in verdicts["none"]} <= {"ok", "skipped"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "check"),
    [
        ("float16", "layout"),
        ("big_endian", "layout"),
        ("dense_float16", "layout"),
        ("dense_big_endian", "layout"),
        ("csc_float16", "layout"),
        ("zstd", "encodings"),
        ("root_without_type", "encodings"),
        ("x_without_version", "encodings"),
        ("unknown_in_uns", "encodings"),
        ("extra_group", "encodings"),
        ("obsm_of_other_length", "encodings"),
    ],
)
def test_what_the_packager_cannot_read_fails_its_check(
    verdicts: dict[str, list[CheckResult] | VccAppError], name: str, check: str
) -> None:
    failed = [result.name for result in verdicts[name] if result.status == "failed"]
    assert check in failed


@pytest.mark.parametrize("name", ["labels_empty", "labels_blank", "labels_missing"])
def test_empty_labels_fail_without_a_list(files: dict[str, Path], name: str) -> None:
    failed = [result.name for result in judge(files[name]) if result.status == "failed"]
    assert failed == ["perturbations"]


def test_an_empty_gene_name_fails_without_a_list(files: dict[str, Path]) -> None:
    failed = [result.name for result in judge(files["gene_empty"]) if result.status == "failed"]
    assert failed == ["gene_list"]


OUTSIDE = {
    "log2": (lambda x: x / np.log(2), "log2(1 + x)"),
    "log10": (lambda x: x / np.log(10), "log10(1 + x)"),
    "twice": (np.log1p, "log1p applied twice"),
    "square_roots": (lambda x: np.sqrt(np.expm1(x)), "square roots"),
    "cp10k": (lambda x: np.log1p(np.expm1(x) / DEPTH * 1e4), "log1p of counts per 10,000"),
    "a_tenth": (lambda x: x * 0.1, ""),
    "depth_of_a_tenth": (lambda x: np.log1p(np.expm1(x) * 0.1), ""),
    "depth_of_thirty": (lambda x: np.log1p(np.expm1(x) * 30), ""),
}
"""What a whole file may be, controls and all, and how it is named; "" where it cannot be."""


@pytest.mark.parametrize("name", OUTSIDE)
def test_another_scale_of_the_whole_file_is_seen_from_outside(tmp_path: Path, name: str) -> None:
    change, looks = OUTSIDE[name]
    path = tmp_path / "x.h5ad"
    write_submission(path)
    values_changed(change)(path)
    inside, outside = (
        {result.name: result for result in judge(path, genes=GENES, wanted=WANTED, depth=depth)}
        for depth in (None, Depth(DEPTH, "pert_counts says"))
    )
    assert inside["library_size"].status == "ok"
    assert outside["library_size"].status == "warning"
    assert (
        looks in outside["library_size"].message and f"{DEPTH} that pert_counts says" in outside["library_size"].message
    )
    assert bool(looks) == ("look like" in outside["library_size"].message)


def test_a_good_file_is_on_the_scale_from_outside(files: dict[str, Path]) -> None:
    for depth in (DEPTH, 1.2 * DEPTH, DEPTH / 1.2):
        results = {r.name: r for r in judge(files["none"], depth=Depth(depth, "pert_counts says"))}
        assert results["library_size"].status == "ok"


def test_counts_per_ten_thousand_are_told_from_a_depth_near_them(tmp_path: Path) -> None:
    path = tmp_path / "x.h5ad"
    write_submission(path)
    values_changed(OUTSIDE["cp10k"][0])(path)
    for depth, status in ((12_000, "warning"), (10_000, "ok")):
        results = {r.name: r for r in judge(path, depth=Depth(depth, "pert_counts says"))}
        assert results["library_size"].status == status


def test_the_season_says_the_depth_of_all_its_genes() -> None:
    season = SEASONS["vcc2025"]
    assert season_depth(season, season.n_genes).total == season.depth
    assert season_depth(season, 80) is None and season_depth(CHALLENGE, len(GENES)) is None


def test_genes_on_one_side_alone(tmp_path: Path) -> None:
    path = tmp_path / "x.h5ad"
    write_submission(path)
    values_changed(lambda x: np.where((np.arange(150) >= 60)[:, None] & (np.arange(40) > 30), 0, x))(path)
    results = {r.name: r for r in judge(path)}
    assert results["one_sided_zeros"].status == "warning"
    assert "27 genes" in results["one_sided_zeros"].message


def test_few_cells_without_a_table(tmp_path: Path) -> None:
    path = tmp_path / "x.h5ad"
    write_submission(path)
    adata_changed(lambda a: a[np.r_[:61, 90:130, 130:131]].copy())(path)
    season = toy_season("vcc2025", n_genes=len(GENES), targets={})
    result = {r.name: r for r in run_checks(path, season)}["cells_per_perturbation"]
    assert result.status == "warning" and "(G1, G3)" in result.message
