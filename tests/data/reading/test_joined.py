"""Several files as one dataset: equal to the concatenated cells, refused with what differs, indexed and registered."""

import pickle
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from refusals import refusal
from scipy.sparse import csc_matrix, csr_matrix
from toy import make_counts

from vccapp.data.reading.dataset import FileDataset
from vccapp.data.reading.opening import open_dataset
from vccapp.data.schema import CONTROL, IGNORED, Columns, target_of
from vccapp.data.workspace import list_datasets, open_registered, register
from vccapp.errors import DataError
from vccapp.settings import Settings


def write(folder: Path) -> tuple[list[Path], ad.AnnData]:
    """Three files of other layouts, the second with its genes turned round; and the whole."""
    parts = [make_counts(n_cells=n, n_genes=40, seed=seed) for n, seed in ((90, 0), (60, 1), (75, 2))]
    whole = ad.concat(parts)
    parts[1] = parts[1][:, ::-1].copy()
    parts[2].X = csc_matrix(parts[2].X)
    paths = [folder / f"part{i}.h5ad" for i in range(3)]
    for part, path in zip(parts, paths, strict=True):
        part.write_h5ad(path)
    return paths, whole


@pytest.mark.parametrize("max_values", [1, 300, 10**6])
def test_equal_to_the_concatenated_cells(max_values: int, tmp_path: Path) -> None:
    paths, whole = write(tmp_path)
    dataset = open_dataset(paths)
    assert (dataset.paths, dataset.path) == (tuple(paths), paths[0])
    assert (dataset.n_cells, dataset.n_genes, dataset.schema.n_values) == (225, 40, whole.X.nnz)
    assert dataset.genes.tolist() == whole.var_names.tolist()
    for name, column in (("perturbation", "target_gene"), ("guide", "guide_id"), ("batch", "batch")):
        origin = np.repeat(["part0", "part1", "part2"], [90, 60, 75])
        assert dataset.cells[name].tolist() == [f"{a}@{b}" for a, b in zip(whole.obs[column], origin, strict=True)]
        assert isinstance(dataset.cells[name].dtype, pd.CategoricalDtype)
    assert dataset.cells["perturbation"].cat.categories[:3].tolist() == [f"{CONTROL}@part{i}" for i in range(3)]
    assert dataset.schema.n_control_cells == (whole.obs.target_gene == CONTROL).sum()
    blocks = list(dataset.iter_rows(max_values=max_values))
    assert [start for start, _ in blocks] == np.cumsum([0, *(b.shape[0] for _, b in blocks)])[:-1].tolist()
    np.testing.assert_array_equal(np.vstack([b.toarray() for _, b in blocks]), whole.X.toarray())
    assert all(block.has_canonical_format for _, block in blocks)
    totals = np.zeros(225)
    for start, values, ends in dataset.iter_values(max_values=max_values):
        totals[start : start + len(ends) - 1] = np.add.reduceat(values, ends[:-1])
    np.testing.assert_array_equal(totals, whole.X.toarray().sum(axis=1))
    asked = [224, 3, 100, 3, 149, 150]
    np.testing.assert_array_equal(dataset.read_rows(asked).toarray(), whole.X[asked].toarray())
    assert dataset.read_rows([]).shape == (0, 40)
    with pytest.raises(IndexError, match="225 cells"):
        dataset.read_rows([225])


def test_one_file_in_a_list_is_that_file(tmp_path: Path) -> None:
    paths, _ = write(tmp_path)
    assert type(open_dataset(paths[:1])) is FileDataset


def test_notes_say_what_was_joined(tmp_path: Path) -> None:
    paths, _ = write(tmp_path)
    notes = open_dataset(paths).schema.notes
    assert "3 files are joined" in notes[0]
    assert all(str(path) in notes[0] for path in paths)
    assert "The genes of part1.h5ad are reordered to match part0.h5ad." in notes
    assert any(note.startswith("part2.h5ad: X is stored by gene") for note in notes)


@pytest.mark.parametrize("has_batches", [True, False])
def test_files_told_apart_by_batch_alone_when_contexts_are_ignored(has_batches: bool, tmp_path: Path) -> None:
    for i in (1, 2):
        data = make_counts(n_cells=60, n_genes=40, seed=i)
        if not has_batches:
            del data.obs["batch"]
        data.write_h5ad(tmp_path / f"{i}.h5ad")
    dataset = open_dataset([tmp_path / "1.h5ad", tmp_path / "2.h5ad"], columns=Columns(context=IGNORED))
    origin = dataset.cells["batch"].astype(str).str.split(" ").str[0]
    assert origin.tolist() == ["1"] * 60 + ["2"] * 60
    assert dataset.cells["batch"].nunique() == (len(set(data.obs["batch"])) * 2 if has_batches else 2)
    assert dataset.cells["perturbation"].cat.categories[0] == CONTROL
    assert (dataset.schema.contexts, dataset.schema.context_ignored) == ((), "file")


def test_contexts_of_files_are_kept_within_the_file(tmp_path: Path) -> None:
    for i in (1, 2):
        data = make_counts(n_cells=160, n_genes=40, seed=i)
        data.obs["cell_line"] = np.where(np.arange(160) % 2, "K562", "RPE1")
        data.write_h5ad(tmp_path / f"{i}.h5ad")
    dataset = open_dataset([tmp_path / "1.h5ad", tmp_path / "2.h5ad"])
    assert [context.name for context in dataset.schema.contexts] == ["1 K562", "1 RPE1", "2 K562", "2 RPE1"]
    assert all("@" not in target_of(label) for label in dataset.cells["perturbation"].cat.categories)


@pytest.mark.slow
def test_the_fingerprint_is_of_all_files_in_order(tmp_path: Path) -> None:
    paths, _ = write(tmp_path)
    first = open_dataset(paths).fingerprint
    assert len(first) == 16
    assert open_dataset(paths).fingerprint == first
    assert open_dataset(paths[::-1]).fingerprint != first
    assert open_dataset(paths[:2]).fingerprint != first
    assert pickle.loads(pickle.dumps(open_dataset(paths))).fingerprint == first


@pytest.mark.parametrize("what", ["genes", "values", "twice"])
def test_files_that_do_not_go_together(what: str, tmp_path: Path) -> None:
    paths, _ = write(tmp_path)
    other = make_counts(n_cells=60, n_genes=40, seed=4)
    if what == "genes":
        other.var_names = ["OTHER", *other.var_names[1:]]
        expected = r"lacks 1 genes of part0\.h5ad \(GENE0\) and has 1 others \(OTHER\)"
    elif what == "values":
        other.X = csr_matrix(np.log1p(other.X.toarray() * 0.7))
        expected = "holds log1p values, part0.h5ad counts"
    else:
        expected = "given twice"
    other.write_h5ad(tmp_path / "other.h5ad")
    with pytest.raises(DataError, match=expected) as caught:
        open_dataset([*paths, paths[0] if what == "twice" else tmp_path / "other.h5ad"])
    assert ";" in str(caught.value)


@pytest.mark.slow
def test_registered_with_all_files(tmp_path: Path, settings: Settings) -> None:
    paths, _ = write(tmp_path)
    dataset = open_dataset(paths)
    register(dataset, settings)
    (record,) = list_datasets(settings)
    assert (record.path, record.paths, record.title) == (paths[0], tuple(paths), "part0, part1, part2")
    again = open_registered(dataset.fingerprint, settings)
    assert again.paths == tuple(paths)
    assert again.cells.equals(dataset.cells)
    make_counts(n_cells=75, n_genes=40, seed=5).write_h5ad(paths[2])
    with refusal(DataError, "data_changed"):
        open_registered(dataset.fingerprint, settings)
    paths[1].unlink()
    with refusal(DataError, "data_gone"):
        open_registered(dataset.fingerprint, settings)
