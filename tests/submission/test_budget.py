"""Cells per perturbation: the alpha rule as properties, and pert_counts files good and bad."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from refusals import refusal

from vccapp.errors import DataError, SpecError
from vccapp.submission.budget import advised_depth, explain_labels, observed_counts, read_pert_counts, scale_cells

WANTED = st.lists(st.integers(1, 10_000), min_size=1, max_size=60).map(
    lambda ns: {f"G{i}": n for i, n in enumerate(ns)}
)


@given(WANTED, st.integers(0, 5_000), st.integers(1, 200_000))
def test_budget(wanted: dict[str, int], n_controls: int, max_cells: int):
    places = max_cells - n_controls
    assume(places >= len(wanted))
    cells = scale_cells(wanted, n_controls=n_controls, max_cells=max_cells)
    total = sum(wanted.values())
    assert list(cells) == list(wanted)
    assert sum(cells.values()) <= places
    assert all(1 <= cells[label] <= n for label, n in wanted.items())
    assert cells == scale_cells(wanted, n_controls=n_controls, max_cells=max_cells)
    if total <= places:
        assert cells == wanted
    ranked = sorted(wanted, key=wanted.__getitem__)
    for less, more in zip(ranked, ranked[1:], strict=False):
        assert cells[less] <= cells[more] + (wanted[less] == wanted[more])
    if min(wanted.values()) * places >= total:  # nobody had to be lifted to one cell
        assert cells == {label: n * min(places, total) // total for label, n in wanted.items()}


@given(WANTED, st.integers(1, 100_000), st.integers(1, 5_000), st.integers(0, 59))
def test_wanting_more_never_gives_less(wanted: dict[str, int], max_cells: int, extra: int, which: int):
    assume(max_cells >= len(wanted))
    label = list(wanted)[which % len(wanted)]
    before = scale_cells(wanted, n_controls=0, max_cells=max_cells)[label]
    after = scale_cells(wanted | {label: wanted[label] + extra}, n_controls=0, max_cells=max_cells)[label]
    assert after >= before


def test_more_perturbations_than_places():
    with refusal(SpecError, "over_budget"):
        scale_cells({"A": 1, "B": 1, "C": 1}, n_controls=8, max_cells=10)


@pytest.mark.parametrize("wanted", [{}, {"A": 0}, {"A": 3, "B": -1}])
def test_nothing_wanted(wanted: dict[str, int]):
    with pytest.raises(SpecError):
        scale_cells(wanted, n_controls=0, max_cells=10)


def test_official_validation_counts(shared):
    counts = read_pert_counts(shared / "vcc2025_official" / "pert_counts_Validation.csv")
    assert (len(counts), counts["n_cells"].sum()) == (50, 60_751)
    assert counts.columns.tolist() == ["target_gene", "n_cells", "median_umi_per_cell"]
    wanted = dict(zip(counts["target_gene"], counts["n_cells"].tolist(), strict=True))
    cells = scale_cells(wanted, n_controls=38_176, max_cells=100_000)
    assert cells == wanted  # 60,751 + 38,176 fit
    scaled = scale_cells(wanted, n_controls=60_000, max_cells=100_000)
    assert scaled == {label: n * 40_000 // 60_751 for label, n in wanted.items()}


def test_control_row_is_left_out_and_said(shared):
    counts = read_pert_counts(shared / "vcc2025_official" / "pert_counts_Training.csv")
    assert len(counts) == 150
    assert "non-targeting" in counts.attrs["notes"][0]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("gene,cells\nA,3\n", "no column target_gene or n_cells; it has gene, cells"),
        ("target_gene,cells\nA,3\n", "no column n_cells"),
        ("", "cannot be read"),
        ("target_gene,n_cells\n", "names no perturbation"),
        ("target_gene,n_cells\nnon-targeting,3\n", "names no perturbation"),
        ("target_gene,n_cells\nA,3\nB,2\nA,4\n", "names A more than once"),
        ("target_gene,n_cells\nA,3.5\n", "'3.5' for A"),
        ("target_gene,n_cells\nA,many\n", "'many' for A"),
        ("target_gene,n_cells\nA,-3\n", "'-3' for A"),
        ("target_gene,n_cells\nA,0\n", "'0' for A"),
        ("target_gene,n_cells\nA,\n", "'' for A"),
        ("target_gene,n_cells\nA,inf\n", "'inf' for A"),
        ("target_gene,n_cells\n,3\n", "no target_gene in data row 1"),
        ('target_gene,n_cells\n"A,3\n', "cannot be read"),
    ],
)
def test_bad_tables(tmp_path, text: str, says: str):
    path = tmp_path / "counts.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=says) as error:
        read_pert_counts(path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("content", [b"\xff\xfe\x00\x01", b"\x80\x04\x95pickle", b"\x89HDF\r\n\x1a\n" + bytes(99)])
def test_binary_tables(tmp_path, content: bytes):
    path = tmp_path / "counts.csv"
    path.write_bytes(content)
    with pytest.raises(DataError):
        read_pert_counts(path)


def test_absent_table_and_folder(tmp_path):
    for path in (tmp_path / "absent.csv", tmp_path):
        with pytest.raises(DataError):
            read_pert_counts(path)


def test_names_like_missing_values_are_genes(tmp_path):
    path = tmp_path / "counts.csv"
    path.write_text("target_gene,n_cells\nNA,3\nnan,4\n")
    assert read_pert_counts(path)["target_gene"].tolist() == ["NA", "nan"]


def test_observed_counts():
    frame = pd.DataFrame({"perturbation": ["non-targeting", "A", "B"], "n_cells": [9, 3, 4]})
    assert observed_counts(frame, ["B", "non-targeting", "A"]).to_dict("list") == {
        "target_gene": ["B", "A"],
        "n_cells": [4, 3],
    }
    with refusal(SpecError, "unknown_perturbation"):
        observed_counts(frame, ["C"])


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("target_gene,n_cells\nSAMD11,5,54815.0\n", "field_count"),
        ("target_gene,n_cells\nA,5\nB,6,7,8\n", "field_count"),
        ("target_gene,n_cells\nNOC2L\u200b,5\n", "bad_label"),
        ('target_gene,n_cells\n"A\nB",5\n', "bad_label"),
        ("target_gene,n_cells\nA\x1b[2J,5\n", "bad_label"),
    ],
)
def test_fields_stand_under_their_headers_and_labels_can_be_seen(tmp_path, text, code):
    (tmp_path / "counts.csv").write_text(text, encoding="utf-8")
    with refusal(DataError, code) as error:
        read_pert_counts(tmp_path / "counts.csv")
    assert str(error.value).isprintable()


def test_empty_fields_at_the_end_are_none(tmp_path):
    (tmp_path / "counts.csv").write_text("target_gene,n_cells\nA,5,,\nB,6\n\n")
    assert read_pert_counts(tmp_path / "counts.csv")["n_cells"].tolist() == [5, 6]


def test_labels_that_are_no_genes_say_what_they_look_like():
    genes = ["STAT1", "MARCHF1", "NOC2L"]
    labels = ["STAT1", "NOC2L+STAT1", "1-Mar", "44256", "stat1", "NOTAGENE", "../../etc/passwd"]
    found = explain_labels(labels, genes)
    assert found.startswith("5 (")
    assert all(name in found for name in ("1-Mar", "MARCHF1", "44256", "stat1"))
    assert explain_labels(labels[:2], genes) == ""
    assert explain_labels(["NOTAGENE"], genes, ["NOTAGENE"]) == ""


def test_depth_is_the_mean_over_the_cells():
    table = pd.DataFrame({"target_gene": ["A", "B", "C"], "n_cells": [1, 3, 5]})
    assert advised_depth(table) is None
    assert advised_depth(table.assign(median_umi_per_cell=[100.0, 200.0, np.nan])).total == 175
