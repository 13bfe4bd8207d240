"""Mended files pass their checks, and hold the values of the file before it was spoiled."""

from pathlib import Path

import anndata as ad
import h5py
import numpy as np
import pytest
import scipy.sparse as sp
from counts_submission import GENES as COUNT_GENES
from counts_submission import PROFILES, SEASON, write_counts
from mutations import (
    CELLS,
    CONTROL,
    DEPTH,
    GENES,
    MUTATIONS,
    adata_changed,
    both,
    labels_changed,
    values_changed,
    write_submission,
)
from refusals import refusal
from toy_seasons import toy_season

from vccapp.errors import CheckError, SpecError
from vccapp.evaluation.quality import Depth
from vccapp.submission.check import run_checks
from vccapp.submission.mending.mend import MENDS, mend

WANTED = {label: n for label, n in CELLS.items() if label != CONTROL}
LOGS = toy_season("vcc2025", n_genes=len(GENES), targets=WANTED)
EXPECTED = {"genes": GENES, "depth": Depth(DEPTH, "pert_counts says")}
COUNTS = {"genes": COUNT_GENES, "profiles": PROFILES}


def guides(labels: list[str]) -> list[str]:
    return [label if label == CONTROL else f"{label}-{1 + i % 2}" for i, label in enumerate(labels)]


def renamed(old: str, new: str):
    return labels_changed(lambda labels: [new if label == old else label for label in labels])


SPOILED = {
    "columns_reversed": (MUTATIONS["columns_reversed"], {"reorder_genes", "drop_zeros"}),
    "gene_version": (MUTATIONS["gene_version"], {"fill_genes"}),
    "gene_lower": (MUTATIONS["gene_lower"], {"fill_genes"}),
    "explicit_zeros_kept": (
        lambda path: _store_zeros(path),
        {"drop_zeros"},
    ),
    "unsorted": (MUTATIONS["unsorted"], {"drop_zeros"}),
    "csc": (MUTATIONS["csc"], {"csr"}),
    "dense": (MUTATIONS["dense"], {"csr"}),
    "float64": (MUTATIONS["float64"], {"float32"}),
    "big_endian": (MUTATIONS["big_endian"], {"float32"}),
    "zstd": (MUTATIONS["zstd"], {"plain_file"}),
    "unknown_in_uns": (MUTATIONS["unknown_in_uns"], {"plain_file"}),
    "control_nt": (renamed(CONTROL, "NT"), {"relabel_controls"}),
    "control_word": (renamed(CONTROL, "control"), {"relabel_controls"}),
    "control_ntc": (renamed(CONTROL, "NTC"), {"relabel_controls"}),
    "guides": (labels_changed(guides), {"strip_suffixes"}),
    "log2": (values_changed(lambda x: x / np.log(2)), {"natural_log"}),
    "log10": (values_changed(lambda x: x / np.log(10)), {"natural_log"}),
    "twice": (values_changed(np.log1p), {"natural_log"}),
    "square_roots": (values_changed(lambda x: np.sqrt(np.expm1(x))), {"natural_log"}),
    "cp10k": (values_changed(lambda x: np.log1p(np.expm1(x) / DEPTH * 1e4)), {"natural_log"}),
    "cpm": (values_changed(lambda x: np.expm1(x) / DEPTH * 1e6), {"natural_log"}),
    "several": (
        both(
            both(renamed(CONTROL, "NT"), MUTATIONS["columns_reversed"]),
            both(values_changed(lambda x: x / np.log(2)), MUTATIONS["csc"]),
        ),
        {"relabel_controls", "reorder_genes", "natural_log", "csr"},
    ),
}


def _store_zeros(path: Path) -> None:
    """A zero beside every value that is stored."""
    adata = ad.read_h5ad(path)
    dense = adata.X.toarray()
    adata.X = sp.csr_matrix((dense.ravel(), np.tile(np.arange(40), 150), np.arange(0, 6001, 40)), shape=dense.shape)
    adata.write_h5ad(path)


def statuses(results) -> list[str]:
    return [f"{r.name}: {r.message}" for r in results if r.status in ("failed", "warning")]


@pytest.mark.parametrize("name", SPOILED)
def test_the_truth_is_recovered(tmp_path: Path, name: str) -> None:
    spoil, steps = SPOILED[name]
    path, out = tmp_path / "x.h5ad", tmp_path / "out.h5ad"
    write_submission(path)
    truth = ad.read_h5ad(path)
    spoil(path)
    before = path.read_bytes()
    mended = mend(path, out, LOGS, **EXPECTED)
    assert {step.name for step in mended.steps} == steps
    assert statuses(mended.results) == [] and statuses(run_checks(out, LOGS, **EXPECTED)) == []
    found = ad.read_h5ad(out)
    assert found.var_names.tolist() == truth.var_names.tolist()
    assert found.obs["target_gene"].astype(str).tolist() == truth.obs["target_gene"].astype(str).tolist()
    tolerance = 2e-6 if "natural_log" in steps or "csr" in steps else 0
    np.testing.assert_allclose(found.X.toarray(), truth.X.toarray(), rtol=tolerance, atol=tolerance)
    assert found.X.format == "csr" and found.X.dtype == np.float32 and (found.X.data != 0).all()
    assert path.read_bytes() == before and sorted(p.name for p in tmp_path.iterdir()) == ["out.h5ad", "x.h5ad"]


def test_missing_genes_are_zeros_and_others_go(tmp_path: Path) -> None:
    path, out = tmp_path / "x.h5ad", tmp_path / "out.h5ad"
    write_submission(path)
    truth = ad.read_h5ad(path).X.toarray()
    MUTATIONS["gene_unknown"](path)
    mended = mend(path, out, LOGS, **EXPECTED)
    assert mended.passes and [step.name for step in mended.steps] == ["fill_genes"]
    found = ad.read_h5ad(out)
    np.testing.assert_array_equal(found.X.toarray()[:, :-1], truth[:, :-1])
    assert found.var_names.tolist() == GENES and not found.X.toarray()[:, -1].any()


def test_cells_are_cut_to_the_cap(tmp_path: Path) -> None:
    season = toy_season("vcc2025", n_genes=len(GENES), targets=WANTED, max_cells=90)
    path, out, again = (tmp_path / name for name in ("x.h5ad", "out.h5ad", "again.h5ad"))
    write_submission(path)
    truth = {row.tobytes() for row in ad.read_h5ad(path).X.toarray()}
    mended = mend(path, out, season, seed=3, **EXPECTED)
    found = ad.read_h5ad(out)
    assert [step.name for step in mended.steps] == ["cut_cells"] and mended.passes
    assert found.obs["target_gene"].value_counts().to_dict() == {CONTROL: 36, "G2": 24, "G1": 18, "G3": 12}
    rows = [row.tobytes() for row in found.X.toarray()]
    assert set(rows) <= truth and len(set(rows)) == 90
    mend(path, again, season, seed=3, **EXPECTED)
    np.testing.assert_array_equal(ad.read_h5ad(again).X.toarray(), found.X.toarray())


def counts_file(tmp_path: Path, spoil=None) -> tuple[Path, Path, ad.AnnData]:
    path, out = tmp_path / "x.h5ad", tmp_path / "out.h5ad"
    write_counts(path)
    truth = ad.read_h5ad(path)
    if spoil is not None:
        adata_changed(spoil)(path)
    return path, out, truth


def with_contexts(change):
    def apply(adata: ad.AnnData) -> None:
        adata.obs["context"] = [change(name) for name in adata.obs["context"].astype(str)]

    return apply


def logged(adata: ad.AnnData) -> None:
    """As scanpy does: to the median total, then log1p."""
    x = adata.X.toarray().astype(np.float64)
    total = x.sum(axis=1, keepdims=True)
    adata.X = sp.csr_matrix(np.log1p(x * np.median(total) / total).astype(np.float32))


def rounded(change, adata: ad.AnnData) -> None:
    change(adata)
    adata.X = sp.csr_matrix(np.round(adata.X.toarray(), 1))


def with_controls(adata: ad.AnnData) -> ad.AnnData:
    import pandas as pd

    extra = adata[:7].copy()
    extra.obs["target_gene"] = pd.Categorical([CONTROL] * 5 + ["NTC"] * 2)
    return ad.concat([extra, adata], index_unique="-")


COUNTED = {
    "contexts_lower": (with_contexts(str.lower), {"rename_contexts"}),
    "contexts_named": (with_contexts("context_{}".format), {"rename_contexts"}),
    "logged": (logged, {"counts_from_log"}),
    "controls": (with_controls, {"drop_controls"}),
    "noise": (lambda a: setattr(a, "X", a.X.multiply(1 + 1e-5).tocsr().astype(np.float32)), {"round_counts"}),
    "int32": (lambda a: setattr(a, "X", a.X.astype(np.int32)), {"float32"}),
}


@pytest.mark.parametrize("name", COUNTED)
def test_the_truth_of_counts_is_recovered(tmp_path: Path, name: str) -> None:
    spoil, steps = COUNTED[name]
    path, out, truth = counts_file(tmp_path, spoil)
    mended = mend(path, out, SEASON, **COUNTS)
    assert {step.name for step in mended.steps} == steps and statuses(mended.results) == []
    found = ad.read_h5ad(out)
    np.testing.assert_array_equal(found.X.toarray(), truth.X.toarray())
    assert found.obs.astype(str).to_numpy().tolist() == truth.obs.astype(str).to_numpy().tolist()


def test_numbers_of_cells_are_brought_to_the_exact_one(tmp_path: Path) -> None:
    keep = np.r_[0:19, 20:120]  # 19 of the first
    path, out, truth = counts_file(tmp_path, lambda a: ad.concat([a[keep], a[40:43]], index_unique="-"))
    mended = mend(path, out, SEASON, **COUNTS)
    assert {step.name for step in mended.steps} == {"resample"} and mended.passes
    found = ad.read_h5ad(out)
    assert (found.obs.groupby(["context", "target_gene"], observed=True).size() == 20).all()
    assert {row.tobytes() for row in found.X.toarray()} <= {row.tobytes() for row in truth.X.toarray()}


@pytest.mark.parametrize(
    ("spoil", "mend_name"),
    [
        (lambda a: rounded(logged, a), "counts_from_log"),
        (lambda a: setattr(a, "X", a.X.multiply(1.3).tocsr().astype(np.float32)), "round_counts"),
        (lambda a: a[np.r_[0:7, 20:120]].copy(), "resample"),
    ],
)
def test_what_would_be_guessing_is_refused(tmp_path: Path, spoil, mend_name: str) -> None:
    path, out, _ = counts_file(tmp_path, spoil)
    with refusal(CheckError, "cannot_mend"):
        mend(path, out, SEASON, names=[mend_name], **COUNTS)
    assert not out.exists() and [p.name for p in tmp_path.iterdir()] == ["x.h5ad"]


def test_whole_numbers_are_drawn_where_that_is_named(tmp_path: Path) -> None:
    path, out, truth = counts_file(tmp_path, lambda a: setattr(a, "X", a.X.multiply(1.3).tocsr().astype(np.float32)))
    mended = mend(path, out, SEASON, names=["draw_counts"], **COUNTS)
    assert mended.passes
    found, means = ad.read_h5ad(out).X.toarray(), truth.X.toarray() * 1.3
    assert (np.abs(found - means) < 1).all() and found.sum() == pytest.approx(means.sum(), rel=0.01)


def test_a_good_file_and_a_hopeless_one(tmp_path: Path) -> None:
    path, out = tmp_path / "x.h5ad", tmp_path / "out.h5ad"
    write_submission(path)
    with refusal(SpecError, "nothing_to_mend"):
        mend(path, out, LOGS, **EXPECTED)
    MUTATIONS["nan"](path)
    with refusal(CheckError, "cannot_mend"):
        mend(path, out, LOGS, **EXPECTED)
    with refusal(SpecError, "unknown_name"):
        mend(path, out, LOGS, names=["magic"], **EXPECTED)
    MUTATIONS["columns_reversed"](path)
    mended = mend(path, out, LOGS, **EXPECTED)
    assert not mended.passes and [r.name for r in mended.results if r.status == "failed"] == ["finite_values"]
    with refusal(SpecError, "output_exists"):
        mend(path, out, LOGS, **EXPECTED)


def test_controls_need_data(tmp_path: Path) -> None:
    path, out = tmp_path / "x.h5ad", tmp_path / "out.h5ad"
    write_submission(path)
    MUTATIONS["no_control"](path)
    with refusal(CheckError, "cannot_mend"):
        mend(path, out, LOGS, **EXPECTED)


def test_every_mend_that_a_check_names_is_one() -> None:
    import re

    from vccapp.submission import check

    named = set()
    for file in (Path(check.__file__).parent / "checks").glob("*.py"):
        named |= set(re.findall(r'mend="(\w+)"', file.read_text()))
    assert named <= set(MENDS)


def test_nothing_is_left_where_the_disk_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, out = tmp_path / "x.h5ad", tmp_path / "out.h5ad"
    write_submission(path)
    MUTATIONS["csc"](path)

    def fail(*args: object, **tables: object) -> None:
        raise OSError(28, "No space left on device", str(out))

    monkeypatch.setattr("vccapp.submission.mending.draft.write_tables", fail)
    with pytest.raises(OSError, match="No space"):
        mend(path, out, LOGS, **EXPECTED)
    assert [p.name for p in tmp_path.iterdir()] == ["x.h5ad"]
    with h5py.File(path) as file:
        assert "X" in file


@pytest.fixture(scope="module")
def donor(tmp_path_factory: pytest.TempPathFactory):
    """Counts of the genes of the submissions but the last, with 75 control cells."""
    from toy import make_counts

    from vccapp.data.reading.opening import open_dataset
    from vccapp.stats.building.build import build_index
    from vccapp.stats.index import load_index
    from vccapp.submission.mending.draft import Donor

    folder = tmp_path_factory.mktemp("donor")
    adata = make_counts(225, n_genes=41)
    adata.var_names = [f"G{i}" for i in range(41)]
    adata.write_h5ad(folder / "toy.h5ad")
    dataset = open_dataset(folder / "toy.h5ad")
    build_index(dataset, folder / "index")
    return Donor(dataset, load_index(folder / "index"))


@pytest.mark.slow
def test_controls_of_data_are_added(tmp_path: Path, donor) -> None:
    path, out, again = (tmp_path / name for name in ("x.h5ad", "out.h5ad", "again.h5ad"))
    write_submission(path)
    truth = ad.read_h5ad(path)[60:].X.toarray()
    MUTATIONS["no_control"](path)
    mended = mend(path, out, LOGS, donor=donor, genes=GENES)
    assert [step.name for step in mended.steps] == ["add_controls"] and mended.passes
    found = ad.read_h5ad(out)
    n = donor.count(None)
    assert found.obs["target_gene"].astype(str).tolist()[90:] == [CONTROL] * n and found.n_obs == 90 + n
    np.testing.assert_array_equal(found.X.toarray()[:90], truth)
    own = {row.tobytes() for block in donor.blocks(n, None, "log1p", seed=0) for row in block[:, :40].toarray()}
    assert {row.tobytes() for row in found.X.toarray()[90:]} == own and len(own) == n
    mend(path, again, LOGS, donor=donor, genes=GENES)
    np.testing.assert_array_equal(ad.read_h5ad(again).X.toarray(), found.X.toarray())


def test_controls_and_predictions_fit_the_cap_together(tmp_path: Path, donor) -> None:
    season = toy_season("vcc2025", n_genes=len(GENES), targets=WANTED, max_cells=80)
    path, out = tmp_path / "x.h5ad", tmp_path / "out.h5ad"
    write_submission(path)
    MUTATIONS["no_control"](path)
    mended = mend(path, out, season, donor=donor, genes=GENES)
    assert [step.name for step in mended.steps] == ["add_controls", "cut_cells"] and mended.passes
    assert ad.read_h5ad(out).obs["target_gene"].value_counts().to_dict() == {CONTROL: 8, "G2": 32, "G1": 24, "G3": 16}


def test_missing_genes_take_the_values_of_control_cells(tmp_path: Path, donor) -> None:
    path, out, _ = counts_file(tmp_path, lambda a: a[:, [i for i in range(40) if i != 5]].copy())
    mended = mend(path, out, SEASON, donor=donor, **COUNTS)
    assert [step.name for step in mended.steps] == ["fill_genes"]
    filled = ad.read_h5ad(out).X.toarray()[:, 5]
    controls = np.concatenate([b.toarray()[:, 5] for b in donor.blocks(donor.count(None), None, "counts", seed=0)])
    assert set(filled) <= set(controls) and abs(filled.mean() - controls.mean()) < 4 * controls.std() / np.sqrt(120)
