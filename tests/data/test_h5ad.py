"""A disk that ends while an h5ad is written: an error with its number, never a crash; the same bytes otherwise."""

import errno
import resource
import subprocess
import sys
from pathlib import Path

import anndata as ad
import h5py
import numpy as np
import pytest
from scipy.sparse import random as random_csr
from scipy.sparse import vstack

from vccapp.data.h5ad import CsrWriter, create_h5

WRITE = """
import errno, resource, sys
from pathlib import Path
import test_h5ad
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
try:
    test_h5ad.write(Path(sys.argv[1]))
except OSError as error:
    assert error.errno == errno.EFBIG and error.filename == sys.argv[1], error
    print("told")
"""


def write(path: Path, *, reserved: int = 0) -> None:
    genes = [f"GENE{i}" for i in range(1000)]
    block = random_csr(400, 1000, 0.3, format="csr", random_state=0, dtype=np.float32)
    with CsrWriter(path, genes=genes, pert_col="target_gene", reserved=reserved) as writer:
        for label in "abcdef":
            writer.append(block, label)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("whole") / "x.h5ad"
    write(path)
    return path


def test_it_reads_as_anndata(whole: Path) -> None:
    found = ad.read_h5ad(whole)
    assert found.shape == (2400, 1000) and found.obs["target_gene"].value_counts().tolist() == [400] * 6
    assert not (found.X[:400] != found.X[2000:]).nnz


def test_space_taken_before_is_given_back(whole: Path, tmp_path: Path) -> None:
    write(tmp_path / "x.h5ad", reserved=50_000_000)
    assert (tmp_path / "x.h5ad").read_bytes() == whole.read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.9, 0.999])
def test_a_disk_that_ends_is_told_and_does_not_crash(share: float, whole: Path, tmp_path: Path) -> None:
    limit = str(int(whole.stat().st_size * share))
    words = [sys.executable, "-c", WRITE, str(tmp_path / "x.h5ad"), limit]
    done = subprocess.run(words, capture_output=True, text=True, cwd=Path(__file__).parent)
    assert (done.returncode, done.stdout.strip()) == (0, "told"), done.stderr


def test_space_that_is_not_there_is_told_at_once(tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, before[1]))
    try:
        with (
            pytest.raises(OSError, check=lambda error: error.errno == errno.EFBIG),
            create_h5(tmp_path / "x.h5ad", reserved=20_000),
        ):
            pytest.fail("nothing may be written")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("expected", [0, 30])
def test_columns_take_8_bytes_where_row_pointers_do(tmp_path, monkeypatch, expected):
    """As scipy, and so the official packagers, store more than 2^31 values; known before or found at the end."""
    monkeypatch.setattr("vccapp.data.h5ad.WIDE", 20)
    monkeypatch.setattr("vccapp.data.h5ad.CHUNK", 8)
    block = random_csr(6, 9, 0.5, format="csr", random_state=1, dtype=np.float32)
    with CsrWriter(tmp_path / "x.h5ad", genes=list("ABCDEFGHI"), pert_col="p", expected=expected) as writer:
        writer.append(block, "G10")
        writer.append(block, "G9")
    with h5py.File(tmp_path / "x.h5ad") as file:
        assert list(file["X"]) == ["data", "indices", "indptr"]
        assert (file["X/indices"].dtype, file["X/indptr"].dtype) == (np.int64, np.int64)
    cells = ad.read_h5ad(tmp_path / "x.h5ad")
    assert (vstack([block, block]) != cells.X).nnz == 0
    assert list(cells.obs["p"].cat.categories) == ["G9", "G10"]


def test_columns_of_8_bytes_are_gone_on_with(tmp_path, monkeypatch):
    monkeypatch.setattr("vccapp.data.h5ad.WIDE", 20)
    monkeypatch.setattr("vccapp.data.h5ad.CHUNK", 8)
    block = random_csr(60, 9, 0.5, format="csr", random_state=1, dtype=np.float32)
    about = {"genes": list("ABCDEFGHI"), "pert_col": "p", "expected": 540}
    with CsrWriter(tmp_path / "whole.h5ad", **about) as writer:
        writer.append(block, "G1")
        writer.append(block, "G2")
    with pytest.raises(KeyError), CsrWriter(tmp_path / "x.h5ad", **about) as writer:
        writer.append(block, "G1")
        written = writer.checkpoint()
        raise KeyError
    with CsrWriter(tmp_path / "x.h5ad", **about, again=True) as writer:
        writer.replay(written, [(60, ("G1",))])
        writer.append(block, "G2")
    assert (tmp_path / "x.h5ad").read_bytes() == (tmp_path / "whole.h5ad").read_bytes()
