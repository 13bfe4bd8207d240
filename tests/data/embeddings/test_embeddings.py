"""Gene embeddings are read from every kind of file, run no code of it, and never fill a gene in silence."""

import gzip
import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from places import ROOT
from refusals import refusal
from toy import make_counts

from vccapp.data.embeddings import Embedding, expression, join, open_embedding, read_embedding
from vccapp.data.embeddings.aliases import ALIASES, load_aliases
from vccapp.data.embeddings.base import loosen
from vccapp.data.embeddings.readers.gmt import embed_sets
from vccapp.data.embeddings.shipped import VIEWS
from vccapp.data.places import ASSETS
from vccapp.data.reading.opening import open_dataset
from vccapp.data.schema import CONTROL
from vccapp.errors import DataError, SpecError
from vccapp.stats.building.build import build_index
from vccapp.stats.index import load_index

GENES = ["STAT1", "MED12", "SRC", "TET1"]
VECTORS = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
EMBEDDING = Embedding(tuple(GENES), VECTORS, "toy", "made up")


def write(path: Path) -> Path:
    """GENES and VECTORS as the kind of file that the name asks for."""
    table = pd.DataFrame(VECTORS, index=GENES)
    match path.name:
        case "lists.pickle":
            path.write_bytes(pickle.dumps({gene: row.tolist() for gene, row in table.T.items()}))
        case "arrays.pkl" | "old.pickle":
            rows = dict(zip(GENES, VECTORS.astype(np.float64), strict=True))
            path.write_bytes(pickle.dumps(rows, protocol=2 if path.name == "old.pickle" else 5))
        case "scalars.pickle":
            path.write_bytes(pickle.dumps({gene: list(row) for gene, row in zip(GENES, VECTORS, strict=True)}))
        case "features.pt":
            torch.save({gene: torch.tensor(row) for gene, row in zip(GENES, VECTORS, strict=True)}, path)
        case "half.pt":
            rows = torch.tensor(VECTORS).bfloat16()
            torch.save(dict(zip(GENES, rows, strict=True)), path, _use_new_zipfile_serialization=False)
        case "arrays.npz":
            np.savez(path, genes=np.array(GENES), embedding=VECTORS)
        case "index.parquet":
            table.rename(columns=str).to_parquet(path)
        case "column.parquet":
            table.rename(columns=str).rename_axis("gene").reset_index().to_parquet(path)
        case _:
            table.to_csv(path, sep="," if ".csv" in path.name else "\t")
    return path


KINDS = [
    *("lists.pickle", "arrays.pkl", "old.pickle", "scalars.pickle", "features.pt", "half.pt"),
    *("arrays.npz", "index.parquet", "column.parquet", "table.csv", "table.tsv", "table.csv.gz"),
]


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_of_file_gives_the_same(name: str, tmp_path: Path) -> None:
    embedding = open_embedding(write(tmp_path / name))
    assert embedding.genes == tuple(GENES) and embedding.matrix.dtype == np.float32
    np.testing.assert_allclose(embedding.matrix, VECTORS, rtol=1e-2 if name == "half.pt" else 1e-6)
    assert name in embedding.provenance


class Runs:
    """A pickle of it runs a command when it is loaded."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple:
        return (Path.touch, (self.target,))


def evil(target: Path) -> dict[str, bytes]:
    system = b"cposix\nsystem\n(S'touch " + str(target).encode() + b"'\ntR."
    return {
        "an object in a list": pickle.dumps({"STAT1": [1.0, Runs(target)]}),
        "os.system": system,
        "eval of builtins": b"\x80\x02c__builtin__\neval\n(S'open(\"" + str(target).encode() + b'","w")\'\ntR.',
        "getattr": b"\x80\x04\x95\x1a\x00\x00\x00\x00\x00\x00\x00\x8c\x08builtins\x8c\x07getattr\x93.",
        "a name behind a name": b"\x80\x04\x8c\x05numpy\x8c\x1bndarray.__init__.__globals__\x93.",
        "numpy's own reader": b"\x80\x04\x8c\x05numpy\x8c\x04load\x93.",
        "an array over foreign memory": b"\x80\x02cnumpy\nndarray\nK\x08\x85R.",
        "an object outside": b"\x80\x02U\x04evilQ.",
        "an encoder": b"\x80\x02c_codecs\nencode\nX\x01\x00\x00\x00aX\x05\x00\x00\x00rot13\x86R.",
    }


@pytest.mark.parametrize("case", list(evil(Path("x"))))
def test_a_pickle_runs_nothing(case: str, tmp_path: Path) -> None:
    target = tmp_path / "ran"
    path = tmp_path / "evil.pickle"
    path.write_bytes(evil(target)[case])
    with pytest.raises(DataError) as refused:
        read_embedding(path)
    assert refused.value.code in ("pickle_refused", "pickle_damaged")
    assert not target.exists()
    if case in ("an object in a list", "os.system"):  # the file does what it should when it is loaded in earnest
        pickle.loads(path.read_bytes())  # noqa: S301
        assert target.exists()


def test_a_pt_file_runs_nothing(tmp_path: Path) -> None:
    torch.save({"STAT1": Runs(tmp_path / "ran")}, tmp_path / "evil.pt")
    with refusal(DataError, "not_tensors"):
        read_embedding(tmp_path / "evil.pt")
    assert not (tmp_path / "ran").exists()


def test_an_npz_of_objects_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "evil.npz", genes=np.array(GENES), embedding=np.array([Runs(tmp_path / "ran")] * 4))
    with refusal(DataError, "npz_unreadable"):
        read_embedding(tmp_path / "evil.npz")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("a.pickle", pickle.dumps([1.0]), "not_vectors"),
        ("a.pickle", pickle.dumps({1: [1.0]}), "not_vectors"),
        ("a.pickle", pickle.dumps({"A": [1.0], "B": [1.0, 2.0]}), "ragged_vectors"),
        ("a.pickle", pickle.dumps({"A": ["x"]}), "not_vectors"),
        ("a.pickle", pickle.dumps({"A": [1.0]})[:-5], "pickle_damaged"),
        ("a.pickle", pickle.dumps({"A": [float("nan")]}), "not_finite"),
        ("a.csv", b"gene,x\nA,1\nA,2\n", "repeated_gene"),
        ("a.csv", b"gene,x\nA,one\n", "not_vectors"),
        ("a.csv", b"gene\nA\n", "not_vectors"),
        ("a.npz", b"PK\x03\x04 cut", "npz_unreadable"),
        ("a.pt", b"\x80\x02 no tensors", "not_tensors"),
        ("a.gmt", b"\n", "no_gene_set"),
        ("a.xlsx", b"binary", "not_an_embedding"),
    ],
)
def test_a_file_that_is_none_says_why(name: str, content: bytes, code: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with refusal(DataError, code):
        read_embedding(tmp_path / name)


def test_rows_of_two_genes_are_sums_and_the_control_is_zero() -> None:
    rows = EMBEDDING.rows(["SRC", "TET1+STAT1", CONTROL])
    np.testing.assert_allclose(rows, [VECTORS[2], VECTORS[3] + VECTORS[0], np.zeros(3)], rtol=1e-6)


def test_a_missing_gene_is_an_error_or_filled_as_chosen() -> None:
    with refusal(DataError, "no_vector"):
        EMBEDDING.rows(["SRC", "SRC+NONE"])
    np.testing.assert_allclose(EMBEDDING.rows(["SRC+NONE"], "mean")[0], VECTORS[2] + VECTORS.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(EMBEDDING.rows(["NONE"], "zero"), np.zeros((1, 3)))
    frame = EMBEDDING.coverage(["SRC", "SRC+NONE", CONTROL])
    assert frame["n_targets"].tolist() == [1, 2, 0] and frame["n_known"].tolist() == [1, 1, 0]
    assert frame["missing"].tolist() == ["", "NONE", ""]


def test_names_are_found_without_case_dashes_versions_and_by_alias() -> None:
    genes = ("HLA-A", "ENSG00000115415", "ELOA", "MARCH8")
    embedding = Embedding(genes, np.eye(4), "names", "made up")
    asked = ["hla_a", "ENSG00000115415.21", "TCEB3", "MARCHF8", "ELOA", "eloa"]
    assert [embedding.find(gene) for gene in asked] == [0, 1, 2, 3, 2, 2]
    assert embedding.find("ELOB") is None
    assert embedding.coverage(["TCEB3"])["found_as"].tolist() == ["TCEB3 = ELOA"]
    assert loosen("ENST00000115415.2") == "ENST00000115415.2"


def test_an_exact_name_wins_over_an_alias() -> None:
    aliases = load_aliases()
    alias, symbol = next((a, s) for a, s in aliases.items() if a.isalpha())
    embedding = Embedding((symbol, alias), np.eye(2), "both", "made up")
    assert embedding.find(alias) == 1 and embedding.find(symbol) == 0


def test_joined_embeddings_weigh_alike() -> None:
    rng = np.random.default_rng(1)
    first = Embedding(("A", "B", "C", "D"), 100 * rng.normal(size=(4, 2)) + 7, "first", "f.")
    second = Embedding(("d", "B", "A", "E"), rng.normal(size=(4, 5)), "second", "s.")
    both = join([first, second])
    assert both.genes == ("A", "B", "C", "D", "E") and both.matrix.shape == (5, 7)
    np.testing.assert_allclose(both.matrix.mean(axis=0), 0, atol=1e-6)
    for part, known in ((both.matrix[:, :2], 4), (both.matrix[:, 2:], 4)):
        assert (part**2).sum(axis=1).sum() / known == pytest.approx(1, rel=1e-5)
    np.testing.assert_allclose(both.matrix[3, 2:] - both.matrix[0, 2:], _scaled_difference(second, 0, 2), rtol=1e-4)
    assert (both.matrix[4, :2] == 0).all() and (both.matrix[2, 2:] == 0).all()
    assert both.absent == {"first": {"E"}, "second": {"C"}}
    found = both.coverage(["A", "C+E", "NONE"])
    assert found["n_known"].tolist() == [1, 2, 0] and found["partly"].tolist() == ["", "C, E", ""]
    with refusal(DataError, "no_common_gene"):
        join([first, Embedding(("X",), np.ones((1, 1)), "x", "")])


def _scaled_difference(embedding: Embedding, first: int, second: int) -> np.ndarray:
    centred = embedding.matrix - embedding.matrix.mean(axis=0)
    return (embedding.matrix[first] - embedding.matrix[second]) / np.sqrt((centred**2).sum(axis=1).mean())


def test_reducing_keeps_the_principal_components() -> None:
    rng = np.random.default_rng(2)
    matrix = rng.normal(size=(50, 2)) @ rng.normal(size=(2, 20)) + 3
    reduced = Embedding(tuple(f"G{i}" for i in range(50)), matrix, "wide", "").reduced(2)
    centred = matrix - matrix.mean(axis=0)
    np.testing.assert_allclose(reduced.matrix @ reduced.matrix.T, centred @ centred.T, atol=1e-3)
    assert EMBEDDING.reduced(3) is EMBEDDING


def test_gene_sets_put_members_of_the_same_sets_together(tmp_path: Path) -> None:
    lines = ["S1\tx\tA\tB\tC", "S2\tx\tA\tB", "S3\tx\tD\tE\tF", "S4\tx\tE\tF"]
    (tmp_path / "sets.gmt").write_text("\n".join(lines))
    embedding = open_embedding(tmp_path / "sets.gmt")
    a, b, d, e = (embedding.rows([gene])[0] for gene in "ABDE")
    np.testing.assert_allclose(a, b, atol=1e-6)
    assert abs(a @ e) < 1e-6 < d @ e


def test_embedding_of_many_sets_equals_the_dense_decomposition() -> None:
    rng = np.random.default_rng(3)
    sets = {f"S{i}": [f"G{g}" for g in rng.choice(60, rng.integers(2, 9), replace=False)] for i in range(40)}
    genes, vectors = embed_sets(sets, width=5)
    table = np.array([[np.log1p(len(genes) / len(m)) * (gene in m) for m in sets.values()] for gene in genes])
    table /= np.linalg.norm(table, axis=1, keepdims=True)
    left, values, _ = np.linalg.svd(table)
    best = (left[:, :5] * values[:5]) @ (left[:, :5] * values[:5]).T
    np.testing.assert_allclose(vectors @ vectors.T, best, atol=1e-4)


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("embeddings")
    make_counts(400, 60, seed=3).write_h5ad(folder / "toy.h5ad")
    build_index(open_dataset(folder / "toy.h5ad"), folder / "index")
    return load_index(folder / "index")


def test_cell_values_are_those_of_each_gene(index) -> None:
    cells = np.array([0, 3, 4, 250, 399])
    expected = np.stack([index.gene_values(gene)[cells] for gene in index.genes["gene"]])
    np.testing.assert_allclose(index.cell_values(cells), expected, rtol=1e-6)


@pytest.mark.parametrize("n_cells", [3000, 30])  # more of them than genes, and fewer
def test_expression_equals_a_decomposition_of_the_controls(index, n_cells: int, monkeypatch) -> None:
    monkeypatch.setattr(expression, "MAX_CELLS", n_cells)
    (index.folder / expression.KEPT).unlink(missing_ok=True)
    embedding = open_embedding("expression", index)
    controls = np.flatnonzero((index.cells["perturbation"] == CONTROL).to_numpy())
    if len(controls) > n_cells:
        controls = np.sort(np.random.default_rng(0).choice(controls, n_cells, replace=False))
    values = np.stack([index.gene_values(gene)[controls] for gene in index.genes["gene"]]).astype(float)
    values = values[values.std(axis=1) > 0]
    values -= values.mean(axis=1, keepdims=True)
    sd = values.std(axis=1)
    values /= np.maximum(sd, np.quantile(sd, 0.25))[:, None]
    assert len(embedding.genes) == len(values) < len(index.genes)
    np.testing.assert_allclose(embedding.matrix @ embedding.matrix.T, values @ values.T / len(controls), atol=1e-3)
    (index.folder / expression.KEPT).unlink()


def test_expression_is_made_once_and_again_where_its_file_is_damaged(index, monkeypatch) -> None:
    made, embed = [], expression.embed_expression
    monkeypatch.setattr(expression, "embed_expression", lambda index: made.append(1) or embed(index))
    first, second = (open_embedding("expression", index) for _ in range(2))
    (index.folder / expression.KEPT).write_bytes(b"PK\x03\x04 no archive")
    third = open_embedding("expression", index)
    assert len(made) == 2 and first.genes == second.genes == third.genes
    np.testing.assert_array_equal(first.matrix, second.matrix)
    np.testing.assert_array_equal(first.matrix, third.matrix)


def test_sources_are_joined_and_wrong_ones_are_one_sentence(index, tmp_path: Path) -> None:
    names = index.genes["gene"].tolist()
    np.savez(tmp_path / "own.npz", genes=np.array(names), embedding=np.eye(len(names)))
    both = open_embedding(f"expression + {tmp_path / 'own.npz'}", index)
    assert both.width == open_embedding("expression", index).width + len(names)
    with refusal(SpecError, "expression_needs_data"):
        open_embedding("expression")
    with refusal(SpecError, "unknown_embedding"):
        open_embedding("default +")
    with refusal(DataError, "file_missing"):
        open_embedding("nowhere")


@pytest.mark.slow
def test_the_views_and_the_default_of_both_ship() -> None:
    views = [open_embedding(name) for name in ("text", "network")]
    assert [view.width for view in views] == [128, 128]
    np.testing.assert_allclose(np.linalg.norm(views[0].matrix, axis=1), 1, atol=0.05)
    embedding = open_embedding("default")
    assert embedding.name == "default" and len(embedding.genes) > 20_000 and embedding.width == 256
    for part in (embedding.matrix[:, :128], embedding.matrix[:, 128:]):
        assert (part**2).sum(axis=1)[part.any(axis=1)].mean() == pytest.approx(1, rel=1e-4)
    for known in (*views, embedding):
        vectors = known.rows(["STAT1", "JAK1", "OR1A1"], "mean") - known.mean
        vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
        assert vectors[0] @ vectors[1] > 0.3 > vectors[0] @ vectors[2]
    shipped = sum((ASSETS / file).stat().st_size for file, _ in VIEWS.values()) + ALIASES.stat().st_size
    assert shipped <= 10 * 10**6


def test_the_default_knows_the_genes_of_the_challenge(shared: Path) -> None:
    genes = (shared / "vcc2025_official" / "gene_names.csv").read_text().split()
    assert (open_embedding("default").coverage(genes)["n_known"] == 1).mean() > 0.98
    for name in ("Training", "Validation", "Test"):
        targets = pd.read_csv(shared / "vcc2025_official" / f"pert_counts_{name}.csv")["target_gene"]
        frame = open_embedding("default").coverage(targets.tolist())
        assert (frame["n_known"] == frame["n_targets"]).all() and (frame["partly"] == "").all()


def test_the_alias_table_is_clean() -> None:
    aliases = load_aliases()
    symbols = set(open_embedding("default").genes)
    assert aliases["TCEB3"] == "ELOA" and aliases["ENSG00000115415"] == "STAT1"
    assert set(aliases.values()) <= symbols and not set(aliases) & symbols
    with gzip.open(ROOT / "assets" / "gene_aliases.tsv.gz", "rt") as lines:
        assert sum(1 for _ in lines) == len(aliases)
