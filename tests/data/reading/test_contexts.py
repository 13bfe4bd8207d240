"""Contexts: found, told, chosen, ignored; labels, guides and batches within them."""

from pathlib import Path

import numpy as np
import pytest
from refusals import refusal
from toy import make_counts

from vccapp.data.reading.opening import open_dataset
from vccapp.data.schema import (
    CONTROL,
    IGNORED,
    Columns,
    context_of,
    control_of,
    genes_of,
    is_control,
    label_in,
    target_of,
)
from vccapp.errors import DataError


def write(path: Path, values: np.ndarray | list[str], column: str = "cell_line") -> Path:
    data = make_counts(n_cells=len(values), n_genes=40)
    data.obs[column] = values
    data.write_h5ad(path)
    return path


def lines(n: int = 200) -> np.ndarray:
    return np.where(np.arange(n) % 3 == 0, "RPE1", "K562")


def test_labels_name_the_context() -> None:
    assert label_in("A+B", "K562") == "A+B@K562"
    assert label_in("A", None) == "A"
    assert (target_of("A+B@K562"), context_of("A+B@K562"), genes_of("A+B@K562")) == ("A+B", "K562", ("A", "B"))
    assert (control_of("A@K562"), control_of("A")) == (f"{CONTROL}@K562", CONTROL)
    assert is_control(f"{CONTROL}@K562")
    assert not is_control("A@K562")


@pytest.mark.parametrize("column", ["cell_line", "cell_type", "donor", "Stimulation", "time"])
def test_a_covariate_is_found_and_splits_every_label(column: str, tmp_path: Path) -> None:
    dataset = open_dataset(write(tmp_path / "a.h5ad", lines(), column))
    schema = dataset.schema
    assert (schema.context_column, [c.name for c in schema.contexts]) == (column, ["K562", "RPE1"])
    assert sum(c.n_cells for c in schema.contexts) == 200
    assert sum(c.n_control_cells for c in schema.contexts) == schema.n_control_cells
    assert sum(c.n_perturbations for c in schema.contexts) == schema.n_perturbations
    for name in ("perturbation", "guide", "batch"):
        assert [context_of(label) for label in dataset.cells[name]] == lines().tolist()


@pytest.mark.parametrize(
    ("column", "values"),
    [("cell_line", ["K562"] * 200), ("tissue", [f"t{i}" for i in range(200)]), ("colour", list(lines()))],
)
def test_no_context(column: str, values: list[str], tmp_path: Path) -> None:
    schema = open_dataset(write(tmp_path / "a.h5ad", values, column)).schema
    assert (schema.context_column, schema.contexts) == (None, ())


def test_any_column_can_be_the_context(tmp_path: Path) -> None:
    path = write(tmp_path / "a.h5ad", lines(), "colour")
    assert len(open_dataset(path, columns=Columns(context="colour")).schema.contexts) == 2
    with refusal(DataError, "no_column"):
        open_dataset(path, columns=Columns(context="shape"))


def test_an_ignored_context_is_told(tmp_path: Path) -> None:
    path = write(tmp_path / "a.h5ad", lines())
    schema = open_dataset(path, columns=Columns(context=IGNORED)).schema
    assert (schema.context_column, schema.contexts, schema.context_ignored) == (None, (), "cell_line")


def test_the_choice_is_in_the_fingerprint(tmp_path: Path) -> None:
    path = write(tmp_path / "a.h5ad", lines())
    assert open_dataset(path).fingerprint != open_dataset(path, columns=Columns(context=IGNORED)).fingerprint
