"""What is packed of files made elsewhere: as the official packagers of both seasons pack the same input."""

import argparse
import itertools
import json
import os
import shutil
import subprocess
from pathlib import Path

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from refusals import refusal

from vccapp.data.h5ad import CsrWriter
from vccapp.errors import CheckError
from vccapp.seasons.base import SEASONS
from vccapp.submission.packing.archive import read_meta, unpack_vcc
from vccapp.submission.packing.package import write_vcc
from vccapp.submission.packing.slim import slimmed

GENES = [f"G{i}" for i in range(60)]
VCC = os.environ.get("VCCAPP_VCC") or shutil.which("vcc")
"""The program of vcc-cli, which stands in an environment of its own."""


def counts_of(rng, n):
    return sp.csr_matrix(rng.negative_binomial(1, 0.3, (n, len(GENES))).astype(np.float32))


def frame_of(labels, *, ordered=False, **more):
    values = pd.Categorical(labels, categories=["unused", *dict.fromkeys(labels)]) if ordered else labels
    return pd.DataFrame({"batch": "b1", "target_gene": values, **more}, index=[f"cell{i}" for i in range(len(labels))])


def write_input(path, x, obs):
    cells = ad.AnnData(x, obs=obs, var=pd.DataFrame({"id": range(len(GENES))}, index=GENES))
    cells.obsm["X_pca"] = np.zeros((len(obs), 2))
    cells.uns["note"] = "left out"
    cells.write_h5ad(path)
    return path


def tree_of(path):
    """All that an h5ad holds by name: attributes, and of arrays the dtype and the bytes (of texts the texts)."""
    with h5py.File(path) as file:
        found = {"": ({key: _plain(value) for key, value in file.attrs.items()}, None)}

        def keep(name, item):
            array = None
            if isinstance(item, h5py.Dataset):
                texts = item.shape is not None and item.dtype.kind == "O"
                values = item.asstr()[()].tolist() if texts else np.asarray(item[()]).tobytes() if item.shape else None
                array = (str(item.dtype), item.shape, values)
            found[name] = ({key: _plain(value) for key, value in item.attrs.items()}, array)

        file.visititems(keep)
    return found


def _plain(value):
    return (str(value.dtype), value.tolist()) if isinstance(value, np.ndarray | np.generic) else value


def assert_packed_alike(ours, theirs):
    """Two h5ad files hold the same: every group, array, dtype, byte and attribute."""
    ours, theirs = tree_of(ours), tree_of(theirs)
    assert ours.keys() == theirs.keys()
    for name, found in ours.items():
        assert found == theirs[name], name


def pack_ours(h5ad, folder, season):
    with slimmed(h5ad, folder, season) as ready:
        return write_vcc(ready, folder / "ours.vcc", season).path


def pack_2025(h5ad, folder):
    prep = pytest.importorskip("cell_eval._cli._prep", reason="cell-eval is not installed")
    if not (shutil.which("zstd") and shutil.which("tar")):
        pytest.skip("the official packager needs the programs zstd and tar, which are not installed")
    (folder / "genes.csv").write_text("\n".join(GENES) + "\n")
    parser = argparse.ArgumentParser()
    prep.parse_args_prep(parser)
    words = ["-i", str(h5ad), "-g", str(folder / "genes.csv"), "-o", str(folder / "official.vcc")]
    prep.run_prep(parser.parse_args(words))
    return folder / "official.vcc"


@pytest.mark.official
@pytest.mark.parametrize(
    "kind", ["counts", "counts of few", "float64 log1p", "ordered categories", "empty cells", "dense"]
)
def test_packed_as_the_official_packager_of_2025(tmp_path, kind):
    rng = np.random.default_rng(3)
    x = counts_of(rng, 40)
    if kind == "counts of few":
        x = x.multiply(sp.random(40, 60, 0.1, random_state=1) > 0).tocsr().astype(np.float32)
        x.eliminate_zeros()
    if kind == "empty cells":
        x = sp.diags((np.arange(40) % 5 > 1).astype(np.float32)).dot(x).tocsr()
        x.eliminate_zeros()
    if "counts" not in kind and kind != "empty cells":
        x = (x * 0.37).log1p()
    if kind == "float64 log1p":
        x = x.astype(np.float64)
    if kind == "dense":
        x = x.toarray()
    labels = ["non-targeting"] * 20 + ["G7"] * 12 + ["G10"] * 8
    h5ad = write_input(tmp_path / "in.h5ad", x, frame_of(labels, ordered=kind == "ordered categories"))
    season = SEASONS["vcc2025"]
    theirs = unpack_vcc(pack_2025(h5ad, tmp_path), tmp_path / "theirs.h5ad", season)
    ours = unpack_vcc(pack_ours(h5ad, tmp_path, season), tmp_path / "ours.h5ad", season)
    assert_packed_alike(ours, theirs)


@pytest.mark.slow
@pytest.mark.official
@pytest.mark.parametrize("kind", ["float64", "float32", "categories", "repeated", "wide", "wide pointers", "dense"])
def test_packed_as_the_official_packager_of_2026(tmp_path, kind):
    if VCC is None:
        pytest.skip("vcc-cli is not installed (set VCCAPP_VCC to its program)")
    rng = np.random.default_rng(4)
    labels, contexts = ["G10"] * 4 + ["G3"] * 4, ["A"] * 8 + ["B"] * 8
    obs = frame_of(labels * 2, ordered=kind == "categories", context=contexts)
    x = counts_of(rng, 16)
    if kind == "repeated":
        x = sp.csr_matrix((np.r_[x.data, x.data], np.r_[x.indices, x.indices], x.indptr * 2), x.shape)
        for start, stop in itertools.pairwise(x.indptr):
            half = (stop - start) // 2
            x.indices[start:stop] = np.tile(rng.permutation(60)[:half], 2)
    x = {"float64": x.astype(np.float64), "dense": x.toarray()}.get(kind, x)
    h5ad = write_input(tmp_path / "in.h5ad", x, obs)
    if "wide" in kind:
        with h5py.File(h5ad, "r+") as file:
            for name in ("indices", "indptr")[kind == "wide pointers" :]:
                values = file["X"][name][()].astype(np.int64)
                del file["X"][name]
                file["X"][name] = values
    (tmp_path / "genes.csv").write_text("gene_name\n" + "\n".join(GENES) + "\n")
    (tmp_path / "perts.csv").write_text("target_gene\nG3\nG10\n")
    words = [VCC, "prep", h5ad, "-g", tmp_path / "genes.csv", "--perts", tmp_path / "perts.csv", "--json"]
    words += ["--contexts", "A,B", "--cells-per-pert", "4", "-o", tmp_path / "official.vcc"]
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    season = SEASONS["vcc2026"]
    ours, official = pack_ours(h5ad, tmp_path, season), tmp_path / "official.vcc"
    meta = json.loads(done.stdout)
    assert read_meta(ours, season) == read_meta(official, season)
    assert read_meta(ours, season)["nnz"] == meta["nnz"]
    assert_packed_alike(
        unpack_vcc(ours, tmp_path / "ours.h5ad", season), unpack_vcc(official, tmp_path / "theirs.h5ad", season)
    )
    program = (
        "import sys; from vcc.vccfile import validate_vcc, nnz_from_vcc, contexts_from_vcc as c; p = sys.argv[1]; "
    )
    program += "validate_vcc(p); print(nnz_from_vcc(p), ','.join(c(p)))"
    python = str(shutil.which("python", path=str(Path(VCC).parent)))
    read = subprocess.run([python, "-c", program, str(ours)], capture_output=True, text=True, check=True)
    assert read.stdout.split() == [str(meta["nnz"]), "A,B"]


def test_a_slim_file_is_not_copied(tmp_path):
    h5ad = tmp_path / "pred.h5ad"
    with CsrWriter(h5ad, genes=GENES, pert_col="target_gene") as writer:
        writer.append((counts_of(np.random.default_rng(0), 9) * 0.3).log1p(), "G1")
    with slimmed(h5ad, tmp_path, SEASONS["vcc2025"]) as ready:
        assert ready == h5ad


def test_the_copy_goes_at_the_end(tmp_path):
    h5ad = write_input(tmp_path / "in.h5ad", counts_of(np.random.default_rng(0), 8), frame_of(["G1"] * 8))
    with slimmed(h5ad, tmp_path, SEASONS["vcc2025"]) as ready:
        assert ready != h5ad
        cells = ad.read_h5ad(ready)
    assert [p.name for p in tmp_path.iterdir()] == ["in.h5ad"]
    assert (list(cells.obs), list(cells.var), list(cells.obsm)) == (["target_gene"], [], [])
    assert cells.uns == {"log1p": {"base": None}}


def test_what_is_stored_otherwise_is_written_anew(tmp_path):
    """Compressed arrays, an index of names, more columns: none of it is packed as it is."""
    season = SEASONS["vcc2025"]
    x = (counts_of(np.random.default_rng(0), 9) * 0.3).log1p().tocsr()
    plain = ad.AnnData(x, obs=pd.DataFrame({"target_gene": ["G1", "G2", "G2"] * 3}), var=pd.DataFrame(index=GENES))
    plain.write_h5ad(tmp_path / "plain.h5ad")
    plain.write_h5ad(tmp_path / "gzip.h5ad", compression="gzip")
    plain.obs_names = [*map(str, range(8)), "last"]
    plain.write_h5ad(tmp_path / "names.h5ad")
    packed = {}
    for name in ("plain", "gzip", "names"):
        with slimmed(tmp_path / f"{name}.h5ad", tmp_path, season) as ready:
            packed[name] = tree_of(ready)
            assert (ready.parent == tmp_path) == (name == "plain")
    assert packed["plain"] == packed["gzip"] == packed["names"]


def test_counts_of_almost_no_cell_have_no_depth(tmp_path):
    x = sp.csr_matrix((np.ones(1, np.float32), ([0], [0])), (8, len(GENES)))
    h5ad = write_input(tmp_path / "in.h5ad", x, frame_of(["G1"] * 8))
    with refusal(CheckError, "counts_empty"), slimmed(h5ad, tmp_path, SEASONS["vcc2025"]):
        pass
    assert [p.name for p in tmp_path.iterdir()] == ["in.h5ad"]
