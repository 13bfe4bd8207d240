"""Every unusable file is refused with one clear sentence, and nothing is written."""

import os
from pathlib import Path

import numpy as np
import pytest
from bad_inputs import BAD_INPUTS, saved
from refusals import refusal

from vccapp.data.reading.opening import open_dataset
from vccapp.data.workspace import check_allowed
from vccapp.errors import DataError
from vccapp.settings import Settings

EXPECTED = {
    "missing_path": "does not exist",
    "dangling_link": "broken link",
    "empty_file": "empty (0 bytes)",
    "truncated_h5ad": "incomplete",
    "damaged_chunk": "incomplete",
    "folder_named_h5ad": "is a folder",
    "folder_of_files": "does not end in .h5ad",
    "pickle_named_h5ad": "not an HDF5 file",
    "text_named_h5ad": "not an HDF5 file",
    "csv_file": "does not end in .h5ad",
    "rds_file": "does not end in .h5ad",
    "gzipped_h5ad": "compressed with gzip; unpack it",
    "pipe": "a device or a pipe",
    "hdf5_that_is_no_anndata": "no obs and no var (it holds matrix)",
    "no_x": "no X, and no layers",
    "no_obs": "no obs",
    "obs_of_an_array": "anndata 0.8 or later",
    "obs_index_only": "obs has no columns",
    "obs_without_labels": "obs has n_counts, phase",
    "two_candidate_columns": "arm, treated",
    "zero_cells": "0 cells and 40 genes",
    "zero_genes": "120 cells and 0 genes",
    "shape_not_of_obs": "X is 119 x 40, but obs has 120 cells",
    "shape_not_of_var": "X is 120 x 41, but obs has 120 cells and var 40 genes",
    "pointers_that_fall": "row pointers of X do not rise",
    "too_few_pointers": "120 row pointers where 121 are needed",
    "indices_out_of_range": "column 40 of 40",
    "negative_indices": "column -1 of 40",
    "fewer_indices_than_values": "values but",
    "no_indices": "lacks its indices",
    "unknown_sparse_format": "'coo_matrix'",
    "text_in_x": "not numbers",
    "x_of_one_dimension": "1 dimensions",
    "x_of_zeros": "contains only zeros",
    "nan_values": "NaN (first seen in the cell of row 0)",
    "infinite_values": "infinite values (first seen in the cell of row 0)",
    "negative_counts": "negative whole numbers",
    "rounded_log_values": "rounded log values",
    "genes_without_names": "1 of 40 genes have no name",
    "no_control": "no control label such as non-targeting",
    "only_controls": "all 40 cells are controls",
    "no_labels_at_all": "no cell has a label in the obs column 'target_gene'",
    "unknown_perturbation_column": "no column 'knockdown' for the perturbation; it has target_gene, guide_id, batch",
    "unknown_guide_column": "no column 'sgRNA_of_nobody' for the guide; it has target_gene",
    "unknown_batch_column": "no column 'lane_of_nobody' for the batch; it has target_gene",
    "control_not_among_labels": "no label 'NTC'",
    "control_not_in_chosen_column": "no label 'non-targeting' for the controls (it holds b0, b1, b2)",
    "measured_column_as_perturbation": "numbers, not labels",
    "zarr_without_x": "no X",
    "zarr_folder_empty": "incomplete",
    "zarr_that_is_a_file": "a .zarr is a folder",
    "zarr_with_a_damaged_chunk": "incomplete",
}


def contents(folder: Path) -> dict[Path, int]:
    return {path: path.lstat().st_mtime_ns for path in folder.rglob("*")}


def test_every_bad_input_is_expected() -> None:
    assert set(EXPECTED) == set(BAD_INPUTS)
    assert len(BAD_INPUTS) >= 30


@pytest.mark.slow
@pytest.mark.parametrize("name", BAD_INPUTS)
def test_refused_with_one_sentence(name: str, tmp_path: Path) -> None:
    path, columns = BAD_INPUTS[name](tmp_path)
    before = contents(tmp_path)
    with pytest.raises(DataError) as caught:
        open_dataset(path, columns=columns)
    message = str(caught.value)
    assert EXPECTED[name] in message
    assert path.name in message
    assert "\n" not in message
    assert len(message) < 400
    assert message.endswith(".")
    assert ";" in message, "a message ends with what to do"
    assert contents(tmp_path) == before


def test_the_unchanged_toy_is_good(tmp_path: Path) -> None:
    assert open_dataset(saved(tmp_path)).n_cells == 120


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_unreadable(tmp_path: Path) -> None:
    path = saved(tmp_path)
    path.chmod(0)
    with pytest.raises(DataError, match="may not be read"):
        open_dataset(path)


def test_damage_found_while_streaming(tmp_path: Path) -> None:
    """What a sample cannot see is refused by the first read that meets it."""
    dataset = open_dataset(saved(tmp_path))
    with (tmp_path / "cells.h5ad").open("r+b") as file:
        file.truncate(5000)
    for read in (
        lambda: list(dataset.iter_rows()),
        lambda: dataset.read_rows(np.arange(3)),
        lambda: dataset.fingerprint,
    ):
        with refusal(DataError, "file_damaged"):
            read()


@pytest.mark.parametrize("name", ["outside", "link", "parent", "sibling"])
def test_paths_outside_of_the_roots(name: str, tmp_path: Path) -> None:
    root, other = tmp_path / "data", tmp_path / "data2"
    root.mkdir()
    other.mkdir()
    saved(other)
    (root / "link.h5ad").symlink_to(other / "cells.h5ad")
    settings = Settings(home=tmp_path / "home", checkpoints=tmp_path / "runs", data_roots=(root,))
    path = {
        "outside": Path("/etc/passwd"),
        "link": root / "link.h5ad",
        "parent": root / ".." / "data2" / "cells.h5ad",
        "sibling": other / "cells.h5ad",
    }[name]
    with refusal(DataError, "outside_roots") as caught:
        check_allowed(path, settings)
    assert str(path) in str(caught.value)
    assert len(str(caught.value)) < 400
