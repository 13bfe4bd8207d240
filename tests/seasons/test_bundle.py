"""The organisers' bundle: opened once from a folder or a zip; what does not agree is refused, and nothing is kept."""

import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import anndata as ad
import numpy as np
import pytest
from bundles import GENES_2026, TARGETS_2026, control_cells, make_bundle, zip_bundle
from refusals import refusal

from vccapp.errors import DataError, SpecError, Stopped, VccAppError
from vccapp.seasons.bundle import load_bundle
from vccapp.seasons.opened import find_bundle, find_season, list_seasons, open_bundle
from vccapp.settings import Settings


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("given") / "controls")


@pytest.fixture
def folder(given: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    return Path(shutil.copytree(given, tmp_path / "controls"))


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home", data_roots=(tmp_path,))


def test_a_folder(folder: Path, settings: Settings) -> None:
    assert not find_season("vcc2026", settings).is_known("validation")
    bundle = open_bundle(folder, settings)
    assert (bundle.season, bundle.phase, bundle.contexts) == ("vcc2026", "validation", ("A", "B", "C"))
    assert bundle.panel_id == "panel-ABC"
    assert bundle.controls == {context: folder / f"context_{context}.h5ad" for context in "ABC"}
    assert {context: file.n_cells for context, file in bundle.files.items()} == dict.fromkeys("ABC", 20)
    season = find_season("vcc2026", settings)
    assert season.genes == GENES_2026 and season.is_known("validation") and not season.is_known("final")
    assert season.wanted("validation") == {f"{target}@{c}": 400 for c in "ABC" for target in TARGETS_2026}
    with refusal(SpecError, "needs_bundle"):
        season.wanted("final")
    assert find_bundle("vcc2026", "validation", settings) == bundle
    for name in ("gene_names.csv", "pert_counts.csv", "manifest.json"):
        assert (bundle.folder / name).read_bytes() == (folder / name).read_bytes()


@pytest.mark.parametrize("inside", ["", "vcc_2026_controls/"])
def test_a_zip(folder: Path, settings: Settings, inside: str) -> None:
    path = zip_bundle(folder, inside=inside)
    bundle = open_bundle(path, settings)
    for context in "ABC":
        own = bundle.control_file(context)
        assert own.parent == bundle.folder and own.read_bytes() == (folder / own.name).read_bytes()
    path.unlink()
    assert find_season("vcc2026", settings).is_known("validation")
    assert sorted(p.name for p in bundle.folder.parent.iterdir()) == ["validation"]  # no scratch is left


def test_a_second_phase_and_the_same_again(folder: Path, settings: Settings, tmp_path: Path) -> None:
    open_bundle(folder, settings)
    final = open_bundle(make_bundle(tmp_path / "final", ("D", "E", "F"), partition="final"), settings)
    assert final.phase == "final"
    open_bundle(folder, settings)
    assert not find_season("2026", settings).needs_bundle


def test_controls_that_are_gone_or_changed(folder: Path, settings: Settings) -> None:
    bundle = open_bundle(folder, settings)
    control_cells("A", n_cells=3).write_h5ad(folder / "context_A.h5ad")
    (folder / "context_B.h5ad").unlink()
    with refusal(DataError, "controls_changed"):
        bundle.control_file("A")
    with refusal(DataError, "controls_gone"):
        bundle.control_file("B")
    assert bundle.control_file("C") == folder / "context_C.h5ad"


def test_a_damaged_record_counts_as_not_opened(folder: Path, settings: Settings) -> None:
    bundle = open_bundle(folder, settings)
    for name, content in (("genes.txt", "A\nB\n"), ("bundle.json", "{"), ("bundle.json", '{"format": "bundle"}')):
        whole = (bundle.folder / name).read_bytes()
        (bundle.folder / name).write_text(content)
        assert not find_season("vcc2026", settings).is_known("validation")
        [told] = list_seasons(settings).unreadable
        assert told.error.code == "record_damaged"
        with refusal(DataError, "record_damaged"):
            load_bundle(bundle.folder)
        (bundle.folder / name).write_bytes(whole)
    assert find_season("vcc2026", settings).is_known("validation")


def say(folder: Path, **fields: object) -> None:
    path = folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def rewrite(folder: Path, change: Callable[[ad.AnnData], ad.AnnData | None]) -> None:
    path = folder / "context_B.h5ad"
    cells = ad.read_h5ad(path)
    changed = change(cells)
    (cells if changed is None else changed).write_h5ad(path)


def set_obs(column: str, value: str, n: int) -> Callable[[ad.AnnData], None]:
    def change(cells: ad.AnnData) -> None:
        cells.obs[column] = [value] * n + [str(v) for v in cells.obs[column][n:]]

    return change


def set_value(value: float) -> Callable[[ad.AnnData], None]:
    def change(cells: ad.AnnData) -> None:
        cells.X.data[5] = value

    return change


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "no manifest": (lambda f: (f / "manifest.json").unlink(), "not_a_bundle"),
    "a long manifest": (lambda f: (f / "manifest.json").write_text(" " * 300_000), "too_large"),
    "a deep manifest": (lambda f: (f / "manifest.json").write_text("[" * 100_000), "not_json"),
    "a manifest that is a list": (lambda f: (f / "manifest.json").write_text("[]"), "manifest"),
    "contexts that are text": (lambda f: say(f, contexts="ABC"), "manifest"),
    "a context twice": (lambda f: say(f, contexts=["A", "B", "C", "C"]), "manifest"),
    "a context that is a path": (lambda f: say(f, contexts=["A", "B", "../C"]), "bundle_contexts"),
    "contexts of no phase": (lambda f: say(f, contexts=["A", "B", "D"]), "bundle_contexts"),
    "another partition": (lambda f: say(f, partition="controls-final"), "phase_mismatch"),
    "another number of genes": (lambda f: say(f, n_genes=18_080), "manifest_mismatch"),
    "another number of cells": (lambda f: say(f, cells_per_pert=100), "manifest_mismatch"),
    "another control label": (lambda f: say(f, control_label="NT"), "manifest_mismatch"),
    "no genes": (lambda f: (f / "gene_names.csv").unlink(), "bundle_incomplete"),
    "a gene less": (
        lambda f: (f / "gene_names.csv").write_text("\n".join(GENES_2026[1:])),
        "gene_count",
    ),
    "a gene twice": (
        lambda f: (f / "gene_names.csv").write_text("\n".join((*GENES_2026[1:], "GENE5"))),
        "repeated_genes",
    ),
    "no file of a context": (lambda f: (f / "context_C.h5ad").unlink(), "bundle_incomplete"),
    "a file of another context": (
        lambda f: shutil.copy(f / "context_C.h5ad", f / "context_D.h5ad"),
        "context_mismatch",
    ),
    "contexts swapped": (lambda f: shutil.copy(f / "context_A.h5ad", f / "context_B.h5ad"), "context_mismatch"),
    "one cell of another context": (lambda f: rewrite(f, set_obs("context", "A", 1)), "context_mismatch"),
    "one cell of a target": (lambda f: rewrite(f, set_obs("target_gene", "GENE3", 1)), "not_only_controls"),
    "no context column": (
        lambda f: rewrite(f, lambda cells: cells.obs.drop(columns="context", inplace=True)),
        "no_column",
    ),
    "genes shuffled": (
        lambda f: rewrite(f, lambda cells: cells[:, np.random.default_rng(0).permutation(18_533)].copy()),
        "genes_differ",
    ),
    "genes of another number": (lambda f: rewrite(f, lambda cells: cells[:, :18_080].copy()), "genes_differ"),
    "fractions": (lambda f: rewrite(f, set_value(1.5)), "not_counts"),
    "a negative value": (lambda f: rewrite(f, set_value(-1)), "not_counts"),
    "NaN": (lambda f: rewrite(f, set_value(np.nan)), "not_counts"),
    "controls cut short": (
        lambda f: (f / "context_B.h5ad").write_bytes((f / "context_B.h5ad").read_bytes()[:20_000]),
        "file_damaged",
    ),
    "controls that are text": (lambda f: (f / "context_B.h5ad").write_text("cells"), "not_hdf5"),
    "no targets": (lambda f: (f / "pert_counts.csv").write_text("target_gene\n"), "no_perturbation"),
    "no column of targets": (lambda f: (f / "pert_counts.csv").write_text("gene\nGENE3\n"), "no_column"),
    "a target twice": (lambda f: (f / "pert_counts.csv").write_text("target_gene\nG\nG\n"), "repeated_perturbation"),
    "another number of cells of a target": (
        lambda f: (f / "pert_counts.csv").write_text("target_gene,n_cells\nGENE3,400\nGENE5,399\n"),
        "manifest_mismatch",
    ),
    "targets in other contexts": (
        lambda f: (f / "pert_counts.csv").write_text("target_gene,context\nG,A\nG,B\nG,D\n"),
        "context_mismatch",
    ),
    "other targets in a context": (
        lambda f: (f / "pert_counts.csv").write_text("target_gene,context\nG,A\nG,B\nH,C\n"),
        "targets_differ",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("damage", DAMAGES)
def test_what_does_not_agree_is_refused(damage: str, folder: Path, settings: Settings) -> None:
    change, code = DAMAGES[damage]
    change(folder)
    with refusal(VccAppError, code) as caught:
        open_bundle(folder, settings)
    assert len(str(caught.value)) < 300
    assert list(settings.seasons.rglob("*")) == []
    if damage != "no manifest":
        with refusal(VccAppError, "zip_damaged" if damage == "a long manifest" else code):
            open_bundle(zip_bundle(folder), settings)
        assert list(settings.seasons.rglob("*")) == []


def test_a_phase_that_is_not_the_chosen_one(folder: Path, settings: Settings) -> None:
    with refusal(DataError, "phase_mismatch"):
        open_bundle(folder, settings, phase="final")


def test_genes_of_two_phases_differ(folder: Path, settings: Settings, tmp_path: Path) -> None:
    open_bundle(folder, settings)
    other = make_bundle(tmp_path / "final", ("D", "E", "F"), genes=tuple(reversed(GENES_2026)))
    with refusal(SpecError, "genes_differ"):
        open_bundle(other, settings)


def test_zips_of_strangers(folder: Path, settings: Settings, tmp_path: Path) -> None:
    path = zip_bundle(folder)
    whole = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        where = archive.getinfo("context_B.h5ad").header_offset + 5_000
    damages = {
        "cut short": (whole[: len(whole) // 2], "not_a_bundle"),
        "no zip": (b"PK\x03\x04", "not_a_bundle"),
        "a byte of the cells": (whole[:where] + bytes([whole[where] ^ 255]) + whole[where + 1 :], "zip_damaged"),
    }
    for content, code in damages.values():
        path.write_bytes(content)
        with refusal(DataError, code):
            open_bundle(path, settings)
        assert list(settings.seasons.rglob("*")) == []
    bomb = tmp_path / "bomb.zip"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("gene_names.csv", "pert_counts.csv"):
            archive.write(folder / name, name)
        archive.writestr("manifest.json", b" " * 200_000 + json.dumps({"contexts": ["A", "B", "C"]}).encode())
        for context in "ABC":
            archive.writestr(f"context_{context}.h5ad", bytes(20_000_000))
    with refusal(DataError, "zip_damaged"):
        open_bundle(bomb, settings)
    outside = tmp_path / "outside.zip"
    with zipfile.ZipFile(outside, "w") as archive:
        archive.writestr("../manifest.json", "{}")
        archive.writestr("/etc/context_A.h5ad", "")
    with refusal(DataError, "bundle_incomplete"):
        open_bundle(outside, settings)


def test_stopping_leaves_nothing(folder: Path, settings: Settings) -> None:
    def stop(fraction: float, message: str = "") -> None:
        raise Stopped

    with pytest.raises(Stopped):
        open_bundle(zip_bundle(folder), settings, progress=stop)
    assert list(settings.seasons.rglob("*")) == []


def test_no_such_file(settings: Settings, tmp_path: Path) -> None:
    with refusal(DataError, "file_missing"):
        open_bundle(tmp_path / "nothing", settings)
    (tmp_path / "empty").mkdir()
    with refusal(DataError, "not_a_bundle"):
        open_bundle(tmp_path / "empty", settings)


def test_no_such_season(settings: Settings) -> None:
    with refusal(SpecError, "unknown_name"):
        find_season("vcc1999", settings)
    assert [season.name for season in list_seasons(settings)][:2] == ["vcc2025", "vcc2026"]
    assert find_season("2025", settings).name == "vcc2025"
