"""The Data page and files that lie: it says so in a sentence, and the server takes no memory for it."""

import resource
from pathlib import Path

import h5py
import pytest
from streamlit.testing.v1 import AppTest
from toy import make_counts

from vccapp.data.places import ROOT

DATA = str(ROOT / "pages" / "data.py")


def linked(file: h5py.File) -> None:
    del file["X"]
    file["X"] = h5py.ExternalLink("/etc/passwd", "/X")


def huge(file: h5py.File) -> None:
    for name, n in (("obs/_index", 2**33), ("X/indptr", 2**33 + 1)):
        attrs, dtype = dict(file[name].attrs), file[name].dtype
        del file[name]
        file.create_dataset(name, (n,), dtype, chunks=(2**16,)).attrs.update(attrs)
    file["X"].attrs["shape"] = [2**33, 40]


@pytest.mark.parametrize(("change", "says"), [(linked, "/etc/passwd"), (huge, "are stored of them")])
def test_the_page_says_what_is_wrong(change, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "cells.h5ad"
    make_counts(n_cells=120, n_genes=40).write_h5ad(path)
    with h5py.File(path, "r+") as file:
        change(file)
    monkeypatch.setenv("VCCAPP_HOME", str(tmp_path / "workspace"))
    monkeypatch.setenv("VCCAPP_DATA_ROOTS", str(tmp_path))
    page = AppTest.from_file(DATA, default_timeout=120)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    page.query_params["data_path"] = str(path)
    page.run()
    assert not page.exception
    assert any(says in error.value.replace("\\", "") for error in page.error)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000  # kB: its imports
