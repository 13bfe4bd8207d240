"""Opening a data file: what the schema says, what is read, what the fingerprint sees; toy files and real ones."""

import pickle
from pathlib import Path

import anndata as ad
import h5py
import numpy as np
import pytest
from refusals import refusal
from scipy.sparse import csc_matrix, csr_matrix
from toy import make_counts

from vccapp.data.matrices.rows import CsrRows
from vccapp.data.reading import fingerprint as fingerprint_module
from vccapp.data.reading.dataset import Dataset
from vccapp.data.reading.opening import open_dataset
from vccapp.data.schema import CONTROL, Columns
from vccapp.errors import DataError

LAYOUTS = {"csr": csr_matrix, "csc": csc_matrix, "dense": lambda x: x.toarray()}


def write(folder: Path, *, layout: str = "csr", suffix: str = ".h5ad", values: str = "counts") -> Path:
    data = make_counts(n_cells=150, n_genes=40)
    if values == "log1p":
        data.X = csr_matrix(np.log1p(data.X.toarray() * 0.7))
    elif values == "scaled":
        x = data.X.toarray()
        data.X = csr_matrix((x - x.mean(0)) / (x.std(0) + 1e-6))
    data.X = LAYOUTS[layout](data.X)
    path = folder / f"cells{suffix}"
    data.write_zarr(path) if suffix == ".zarr" else data.write_h5ad(path, compression="gzip")
    return path


@pytest.mark.slow
@pytest.mark.parametrize("layout", list(LAYOUTS))
@pytest.mark.parametrize("suffix", [".h5ad", ".h5", ".zarr"])
def test_schema_of_a_toy(layout: str, suffix: str, tmp_path: Path) -> None:
    dataset = open_dataset(write(tmp_path, layout=layout, suffix=suffix))
    data = make_counts(n_cells=150, n_genes=40)
    schema = dataset.schema
    assert (schema.n_cells, schema.n_genes) == (dataset.n_cells, dataset.n_genes) == (150, 40)
    assert (schema.layout, schema.format) == (layout, "zarr" if suffix == ".zarr" else "h5ad")
    assert schema.n_values == (None if layout == "dense" else data.X.nnz)
    assert schema.n_cells_without_umis == (0 if layout == "csr" else None)
    assert (schema.value_space, schema.dtype, schema.gene_id_kind) == ("counts", "float32", "symbol")
    assert "from 1 to 400" in schema.value_evidence
    assert (schema.perturbation_column, schema.guide_column, schema.batch_column) == (
        "target_gene",
        "guide_id",
        "batch",
    )
    assert schema.control_label == CONTROL
    assert schema.n_control_cells == (data.obs.target_gene == CONTROL).sum()
    assert schema.n_perturbations == 4
    assert "4 of 4 perturbed genes are among the 40 genes." in schema.notes
    assert dataset.genes.tolist() == data.var_names.tolist()
    assert dataset.cells["perturbation"].tolist() == data.obs.target_gene.tolist()
    assert dataset.cells["guide"].tolist() == data.obs.guide_id.tolist()
    assert dataset.obs_columns == ("target_gene", "guide_id", "batch")
    assert not dataset.simulated
    np.testing.assert_array_equal(dataset.read_rows([3, 149, 3]).toarray(), data.X[[3, 149, 3]].toarray())
    np.testing.assert_array_equal(
        np.vstack([block.toarray() for _, block in dataset.iter_rows(max_values=500)]), data.X.toarray()
    )


def test_value_spaces(tmp_path: Path) -> None:
    dataset = open_dataset(write(tmp_path, values="log1p"))
    assert dataset.schema.value_space == "log1p"
    dataset.require_usable()
    dataset = open_dataset(write(tmp_path, values="scaled"))
    assert dataset.schema.value_space == "scaled"
    assert any("statistics need counts or log1p" in note for note in dataset.schema.notes)
    with refusal(DataError, "scaled_values"):
        dataset.require_usable()


def test_low_counts_are_counts(tmp_path: Path) -> None:
    """Few reads, however even the genes: they vary as counts do."""
    data = make_counts(n_cells=150, n_genes=40)
    data.X = csr_matrix(np.random.default_rng(0).poisson(2.0, data.shape).astype(np.float32))
    data.write_h5ad(tmp_path / "cells.h5ad")
    assert open_dataset(tmp_path / "cells.h5ad").schema.value_space == "counts"


def test_cells_without_umis(tmp_path: Path) -> None:
    data = make_counts(n_cells=150, n_genes=40)
    x = data.X.toarray()
    x[[3, 70]] = 0
    data.X = csr_matrix(x)
    data.write_h5ad(tmp_path / "cells.h5ad")
    assert open_dataset(tmp_path / "cells.h5ad").schema.n_cells_without_umis == 2


def test_csc_says_its_cost(tmp_path: Path) -> None:
    assert any("CSC" in note for note in open_dataset(write(tmp_path, layout="csc")).schema.notes)


def test_a_file_that_says_simulated(tmp_path: Path) -> None:
    data = make_counts(n_cells=150, n_genes=40)
    data.uns["simulated"] = True
    data.write_h5ad(tmp_path / "cells.h5ad")
    assert open_dataset(tmp_path / "cells.h5ad").simulated


def test_opening_reads_little_of_x(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """obs, var, pointers and the sample; the sample stays within its bound."""
    path = write(tmp_path)
    read = []
    original = CsrRows._read

    def counted(self: CsrRows, x: object, start: int, stop: int) -> csr_matrix:
        block = original(self, x, start, stop)
        read.append(block.nnz)
        return block

    monkeypatch.setattr(CsrRows, "_read", counted)
    monkeypatch.setattr("vccapp.data.matrices.rows.WHOLE_SAMPLE", 1000)
    monkeypatch.setattr("vccapp.data.matrices.rows.SAMPLE_BLOCK", 100)
    open_dataset(path)
    assert len(read) <= 64
    assert max(read) <= 100


def test_a_dataset_can_be_sent_to_a_worker(tmp_path: Path) -> None:
    dataset = open_dataset(write(tmp_path))
    copy: Dataset = pickle.loads(pickle.dumps(dataset))
    assert copy.fingerprint == dataset.fingerprint
    assert copy.read_rows([5]).nnz == dataset.read_rows([5]).nnz


def test_relative_paths_become_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert open_dataset("cells.h5ad").path == tmp_path / "cells.h5ad"


def test_the_fingerprint_is_of_the_content(tmp_path: Path) -> None:
    path = write(tmp_path)
    first = open_dataset(path).fingerprint
    assert len(first) == 16
    assert int(first, 16) >= 0
    moved = path.rename(tmp_path / "moved.h5ad")
    assert open_dataset(moved).fingerprint == first
    assert open_dataset(moved, columns=Columns(batch="guide_id", guide="guide_id")).fingerprint != first


@pytest.mark.parametrize("what", ["value", "index", "gene", "label", "guide"])
@pytest.mark.parametrize("layout", ["csr", "csc"])
def test_the_fingerprint_sees_every_change_of_a_small_file(what: str, layout: str, tmp_path: Path) -> None:
    path = write(tmp_path, layout=layout)
    first = open_dataset(path).fingerprint
    with h5py.File(path, "r+") as file:
        if what == "value":
            file["X/data"][11] = 77
        elif what == "index":
            ends, indices = file["X/indptr"][:], file["X/indices"][:]
            size = file["X"].attrs["shape"][1 if layout == "csr" else 0]
            row = next(i for i in range(len(ends) - 1) if ends[i + 1] > ends[i] and indices[ends[i + 1] - 1] < size - 1)
            file["X/indices"][ends[row + 1] - 1] = size - 1
        elif what == "gene":
            file["var/_index"][3] = "OTHER"
        else:
            codes = file["obs/target_gene/codes" if what == "label" else "obs/guide_id/codes"]
            codes[0] = (codes[0] + 1) % 2
    assert open_dataset(path).fingerprint != first


@pytest.mark.parametrize("layout", list(LAYOUTS))
def test_the_fingerprint_of_a_large_file_reads_blocks(
    layout: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fingerprint_module, "WHOLE_BYTES", 1000)
    monkeypatch.setattr(fingerprint_module, "BLOCK_VALUES", 50)
    monkeypatch.setattr(fingerprint_module, "BLOCKS", (2, 4))
    path = write(tmp_path, layout=layout)
    first = open_dataset(path).fingerprint
    assert first == open_dataset(path).fingerprint
    with h5py.File(path, "r+") as file:
        values = file["X"] if layout == "dense" else file["X/data"]
        values[(0, 0) if layout == "dense" else 0] = 99
    assert open_dataset(path).fingerprint != first


@pytest.mark.shared
def test_real_h1_subset(shared: Path) -> None:
    dataset = open_dataset(shared / "vcc2025_h1_subset" / "H1-VCC-2025-training.h5ad")
    schema = dataset.schema
    assert (schema.n_cells, schema.n_genes, schema.value_space) == (600, 1000, "counts")
    assert dataset.cells["perturbation"].value_counts().to_dict() == dict.fromkeys(
        [CONTROL, "TMSB4X", "STAT1", "MED12", "TET1", "SRC"], 100
    )
    assert dataset.cells["batch"].nunique() == 48
    assert "1 of 5 perturbed genes are among the 1,000 genes." in schema.notes
    gene = dataset.genes.tolist().index("TMSB4X")
    for label, mean in (("TMSB4X", 4.0), (CONTROL, 126.5)):
        rows = np.flatnonzero(dataset.cells["perturbation"] == label)
        assert dataset.read_rows(rows)[:, [gene]].mean() == pytest.approx(mean, abs=0.05)


@pytest.mark.slow
@pytest.mark.shared
def test_real_papalexi(shared: Path) -> None:
    dataset = open_dataset(next((shared / "papalexi2021_thp1").glob("*.h5ad")))
    schema = dataset.schema
    assert (schema.n_cells, schema.n_genes, schema.value_space) == (20729, 299, "counts")
    assert (schema.n_perturbations, schema.n_control_cells) == (25, 2386)
    assert (dataset.cells["guide"].nunique(), dataset.cells["batch"].nunique()) == (107, 3)
    whole = ad.read_h5ad(dataset.path).X
    total = sum(block.sum(dtype=np.float64) for _, block in dataset.iter_rows(max_values=2**18))
    assert total == whole.sum(dtype=np.float64)


@pytest.mark.shared
def test_real_perturbench(shared: Path) -> None:
    dataset = open_dataset(shared / "perturbench_devel" / "devel.h5ad")
    schema = dataset.schema
    assert (schema.n_cells, schema.n_genes, schema.value_space) == (5961, 500, "log1p")
    assert (schema.control_label, schema.perturbation_column) == ("control", "perturbation")
    assert (schema.guide_column, schema.batch_column) == (None, None)
    assert sum("+" in label for label in dataset.cells["perturbation"].cat.categories) == 15
    assert any("'control'" in note and CONTROL in note for note in schema.notes)
