"""Files of predicted cells as other tools write them: what is read out of them, and what is refused."""

from collections.abc import Callable
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from places import ASSETS
from refusals import refusal
from scipy.sparse import csc_matrix, csr_matrix, vstack

from vccapp.data.names.labels import KnownLabels
from vccapp.data.reading.predicted import Predicted, open_predicted
from vccapp.data.schema import CONTROL, Columns
from vccapp.errors import DataError

GENES = [f"GENE{i}" for i in range(12)]
KNOWN = [CONTROL, "GENE1", "GENE2", "GENE3+GENE4"]
LABELS = [CONTROL, "GENE1", "GENE2", "GENE3+GENE4"] * 10


def make(x: np.ndarray | None = None, labels: list[str] = LABELS, genes: list[str] = GENES) -> ad.AnnData:
    """Log1p values, dense."""
    if x is None:
        x = np.log1p(np.random.default_rng(0).poisson(2.0, (len(labels), len(genes))) / 1.7).astype(np.float32)
    obs = pd.DataFrame({"condition": labels}, index=np.arange(len(labels)).astype(str))
    return ad.AnnData(x, obs=obs, var=pd.DataFrame(index=genes))


@pytest.fixture
def opened(tmp_path: Path) -> Callable[..., Predicted]:
    def write_and_open(data: ad.AnnData, **choices) -> Predicted:
        data.write_h5ad(tmp_path / "pred.h5ad")
        return open_predicted(tmp_path / "pred.h5ad", **({"genes": GENES, "known": KNOWN} | choices))

    return write_and_open


def cells_of(predicted: Predicted) -> np.ndarray:
    return vstack([block for _, block in predicted.iter_cells()]).toarray()


@pytest.mark.parametrize("layout", [np.asarray, csr_matrix, csc_matrix])
def test_values_come_as_they_are(opened, layout) -> None:
    data = make()
    found = opened(ad.AnnData(layout(data.X), obs=data.obs, var=data.var))
    np.testing.assert_array_equal(cells_of(found), data.X)
    assert (found.space, found.matrix, found.n_cells, found.present.all()) == ("log1p", "X", 40, True)
    assert list(found.labels) == LABELS


def test_counts_are_told_from_log1p(opened) -> None:
    counts = np.random.default_rng(0).poisson(20.0, (40, 12)).astype(np.float32)
    assert opened(make(counts)).space == "counts"


def test_genes_are_put_into_the_datas_order(opened) -> None:
    data = make()
    order = np.random.default_rng(1).permutation(12)
    shuffled = opened(data[:, order].copy())
    np.testing.assert_array_equal(cells_of(shuffled), data.X)
    assert any("another order" in note for note in shuffled.notes)


def test_missing_and_extra_genes_are_reported(opened) -> None:
    data = make(genes=[*GENES[:9], "OTHER1", "OTHER2"])
    found = opened(data)
    np.testing.assert_array_equal(found.present, [True] * 9 + [False] * 3)
    expected = np.zeros((40, 12), np.float32)
    expected[:, :9] = data.X[:, :9]
    np.testing.assert_array_equal(cells_of(found), expected)
    notes = " ".join(found.notes)
    assert "3 of the dataset's 12 genes are missing (GENE9, GENE10, GENE11)" in notes
    assert "2 genes are not in the dataset and are left out (OTHER1, OTHER2)" in notes


@pytest.mark.parametrize("way", ["symbols beside ids", "versions", "no names"])
def test_genes_named_otherwise(opened, way) -> None:
    data = make()
    if way == "symbols beside ids":
        data.var = pd.DataFrame({"gene_name": GENES}, index=[f"ENSG{i:011d}" for i in range(12)])
    elif way == "versions":
        data.var_names = [f"{gene}.1" for gene in GENES]
    else:
        data.var_names = [str(i) for i in range(12)]
    np.testing.assert_array_equal(cells_of(opened(data)), data.X)


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("GENE1", "GENE1"),
        ("GENE1+ctrl", "GENE1"),
        ("ctrl+GENE1", "GENE1"),
        ("gene2", "GENE2"),
        ("GENE1-2", "GENE1"),
        ("GENE4+GENE3", "GENE3+GENE4"),
        ("ctrl", CONTROL),
        ("non-targeting", CONTROL),
        ("NEW+ctrl", "NEW"),
        ("HLA-A", "HLA-A"),
    ],
)
def test_label_styles(text: str, label: str) -> None:
    assert KnownLabels(set(KNOWN) - {CONTROL}).find(text) == label


def test_the_column_with_the_datas_labels_is_found(opened) -> None:
    data = make()
    data.obs = data.obs.rename(columns={"condition": "what_was_done"})
    data.obs["gene"] = "H1"  # a usual name of the perturbation column, but without perturbations
    found = opened(data)
    assert list(found.labels) == LABELS and "'what_was_done'" in " ".join(found.notes)
    data.obs["other"] = ["DMSO" if label == CONTROL else label for label in LABELS]
    assert list(opened(data, columns=Columns(perturbation="other", control="DMSO")).labels) == LABELS


def test_controls_are_not_needed(opened) -> None:
    found = opened(make(labels=["GENE1", "GENE2"] * 5))
    assert CONTROL not in found.labels.categories
    assert any("no control cells" in note for note in found.notes)


def test_small_negative_values_become_zero(opened) -> None:
    data = make()
    data.X[:, 0] = -0.01
    found = opened(data)
    np.testing.assert_array_equal(cells_of(found), np.maximum(data.X, 0))
    assert any("Negative values (down to -0.01" in note for note in found.notes)


@pytest.mark.parametrize("layout", [np.asarray, csr_matrix, csc_matrix])
def test_a_layer_can_be_named(opened, layout) -> None:
    data = make()
    data.layers["mine"] = layout(data.X + 0.5)
    np.testing.assert_allclose(cells_of(opened(data, matrix="layers/mine")), data.X + 0.5)


def with_nan(data: ad.AnnData) -> None:
    data.X[3, 4] = np.nan


def centred(data: ad.AnnData) -> None:
    data.X -= data.X.mean(axis=0)


def unlogged(data: ad.AnnData) -> None:
    data.X = np.expm1(data.X) * 99.5


def two_matrices(data: ad.AnnData) -> None:
    data.obsm["X_hvg"] = data.X[:, :5]


def foreign_genes(data: ad.AnnData) -> None:
    data.var_names = [f"X{i}" for i in range(12)]


def no_labels(data: ad.AnnData) -> None:
    data.obs["condition"] = "T cell"


def lacking_labels(data: ad.AnnData) -> None:
    data.obs["condition"] = [None, *LABELS[1:]]


@pytest.mark.parametrize(
    ("spoil", "choices", "message"),
    [
        (with_nan, {}, "NaN"),
        (centred, {}, "scaled values or differences from the control"),
        (unlogged, {}, "without a logarithm"),
        (two_matrices, {}, "X and obsm/X_hvg"),
        (two_matrices, {"matrix": "obsm/X_hvg"}, "5 columns and var 12 genes"),
        (foreign_genes, {}, "none of its 12 genes"),
        (no_labels, {}, "no obs column names any"),
        (lacking_labels, {}, "1 of 40 cells have no label"),
        (lambda data: None, {"columns": Columns(perturbation="none")}, "no column 'none'"),
        (lambda data: None, {"columns": Columns(control="none")}, "no label 'none'"),
        (lambda data: None, {"matrix": "layers/none"}, "no matrix 'layers/none'"),
    ],
)
def test_what_cannot_be_used_is_one_sentence(opened, spoil, choices, message) -> None:
    data = make()
    spoil(data)
    with pytest.raises(DataError, match=message) as caught:
        opened(data, **choices)
    assert str(caught.value).startswith("pred.h5ad: ") and "\n" not in str(caught.value)


def test_files_that_are_none(tmp_path: Path) -> None:
    with refusal(DataError, "file_missing"):
        open_predicted(tmp_path / "none.h5ad", genes=GENES, known=KNOWN)
    (tmp_path / "text.h5ad").write_text("no HDF5")
    with refusal(DataError, "not_hdf5"):
        open_predicted(tmp_path / "text.h5ad", genes=GENES, known=KNOWN)


SIMULATED = {"genes": [f"GENE{i}" for i in range(1, 151)], "known": ["GENE83", "GENE130", "GENE146"]}


def test_state_predict() -> None:
    found = open_predicted(ASSETS / "state_predict.h5ad", **SIMULATED)
    assert set(found.labels) == {CONTROL, "GENE130", "GENE146"} and found.space == "log1p"
    source = ad.read_h5ad(ASSETS / "state_predict.h5ad")
    np.testing.assert_array_equal(cells_of(found), source.X)
    assert any("does not name its genes" in note for note in found.notes)


def test_state_infer() -> None:
    path = ASSETS / "state_infer.h5ad"
    with refusal(DataError, "ambiguous_matrix"):
        open_predicted(path, **SIMULATED)
    found, source = open_predicted(path, matrix="obsm/X_hvg", **SIMULATED), ad.read_h5ad(path)
    genes = source.var_names[source.var["highly_variable"]]
    assert found.present.sum() == len(genes) == 60
    at = [SIMULATED["genes"].index(gene) for gene in genes]
    np.testing.assert_array_equal(cells_of(found)[:, at], source.obsm["X_hvg"])


def test_scouter() -> None:
    found = open_predicted(ASSETS / "scouter_pred.h5ad", **SIMULATED)
    assert found.labels.value_counts().to_dict() == {"GENE130": 12, "GENE146": 12}
    source = ad.read_h5ad(ASSETS / "scouter_pred.h5ad")
    assert source.X.min() < 0
    np.testing.assert_array_equal(cells_of(found), np.maximum(source.X, 0))


@pytest.mark.parametrize("base", [2, 10])
def test_other_logarithms_are_brought_to_natural_ones(opened, base: int) -> None:
    data = make()
    counts = np.random.default_rng(0).poisson(4.0, (40, 12)) + np.eye(40, 12)
    values = counts / counts.sum(axis=1, keepdims=True) * 1e4
    data.X = (np.log1p(values) / np.log(base)).astype(np.float32)
    found = opened(data)
    np.testing.assert_allclose(cells_of(found), np.log1p(values), rtol=1e-5, atol=1e-6)
    assert (found.space, found.scale.base) == ("log1p", base)
    assert any(f"log{base}(1 + x)" in note for note in found.notes)


@pytest.mark.parametrize("change", [str.lower, lambda name: f"GRCh38_{name}", lambda name: f"{name}_ENSG00000000001"])
def test_genes_under_other_names(opened, change) -> None:
    data = make()
    data.var_names = [change(name) for name in GENES]
    found = opened(data)
    np.testing.assert_array_equal(cells_of(found), data.X)
    assert any("under other names" in note for note in found.notes)


def test_labels_as_guides_and_joined_by_other_signs(opened) -> None:
    other = {CONTROL: "NTC_1", "GENE1": "GENE1_+_123.45-P1P2", "GENE2": "gene2 ", "GENE3+GENE4": "GENE4_GENE3"}
    assert list(opened(make(labels=[other[label] for label in LABELS])).labels) == LABELS
