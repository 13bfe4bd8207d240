"""Columns, control labels and genes: found by name and content, changed by the user, never silently."""

import numpy as np
import pandas as pd
import pytest
from refusals import refusal

from vccapp.data.names.controls import is_control_like
from vccapp.data.reading.columns import Cells, find_cells
from vccapp.data.schema import CONTROL, Columns
from vccapp.errors import DataError
from vccapp.wording import name_some


def find(columns: Columns | None = None, **obs: list) -> Cells:
    return find_cells(pd.DataFrame(obs), columns or Columns())


def labels(cells: Cells) -> list[str]:
    return cells.table["perturbation"].astype(str).tolist()


def said(cells: Cells, *words: str) -> bool:
    """Whether one note has all the words."""
    return any(all(word in note for word in words) for note in cells.notes)


@pytest.mark.parametrize(
    "label",
    [
        "non-targeting",
        "Non-Targeting",
        "NT",
        "ntc",
        "control",
        "CTRL",
        "non_targeting",
        "safe-targeting",
        "unperturbed",
    ],
)
def test_control_labels_are_mapped_and_said(label: str) -> None:
    cells = find(perturbation=["A", label, "B", label])
    assert labels(cells) == ["A", CONTROL, "B", CONTROL]
    assert cells.control_label == label
    assert said(cells, f"'{label}'", f"shown as '{CONTROL}'") == (label != CONTROL)


@pytest.mark.parametrize("label", ["CTRL1", "NTRK1", "GENE", "control-A", "NT5E", ""])
def test_genes_are_no_controls(label: str) -> None:
    assert not is_control_like(label)


def test_both_halves_control() -> None:
    assert labels(find(condition=["ctrl+ctrl", "A"])) == [CONTROL, "A"]


@pytest.mark.parametrize("name", ["target_gene", "Perturbation", "gene", "condition", "gene_target", "perturbed_gene"])
def test_found_by_name(name: str) -> None:
    cells = find(**{"n_counts": [1.5, 2.5], "other": ["control", "x"], name: ["A", "control"]})
    assert cells.perturbation_column == name
    assert said(cells, f"'{name}'", "by its name")


def test_the_first_name_with_a_control_wins() -> None:
    cells = find(gene=["x", "y"], condition=["A", "ctrl"], perturbation=["A", "control"])
    assert cells.perturbation_column == "perturbation"
    assert said(cells, "'condition' would also fit")
    assert find(gene=["x", "y"], condition=["A", "ctrl"]).perturbation_column == "condition"


def test_found_by_content() -> None:
    cells = find(arm=["A", "NT"], guide=["NT", "x"])
    assert (cells.perturbation_column, cells.guide_column) == ("arm", "guide")
    assert said(cells, "'arm'", "control label in it")


def test_guide_and_batch_by_name() -> None:
    cells = find(target_gene=["A", "NT"], sgRNA=["A_1", "NT_7"], gem_group=[2, 1], batch_score=[0.1, 0.2])
    assert (cells.guide_column, cells.batch_column) == ("sgRNA", "gem_group")
    assert cells.table["guide"].tolist() == ["A_1", "NT_7"]
    assert cells.table["batch"].tolist() == ["2", "1"]
    assert said(cells, "guide", "'sgRNA'")
    assert said(cells, "batch", "'gem_group'")


def test_whole_numbers_in_floats_are_labels_and_fractions_are_not() -> None:
    cells = find(target_gene=["A", "NT", "A"], lane=[0.5, 1.5, 2.0], replicate=[1.0, 2.0, np.nan])
    assert cells.batch_column == "replicate"
    assert cells.table["batch"].tolist() == ["1", "2", "missing"]
    assert said(cells, "1 cells have no batch", "'missing'")


def test_absent_columns_are_one_category() -> None:
    cells = find(target_gene=["A", "NT"])
    assert (cells.guide_column, cells.batch_column) == (None, None)
    assert cells.table["guide"].tolist() == cells.table["batch"].tolist() == ["all", "all"]
    assert said(cells, "No guide column")
    assert said(cells, "No batch column")


def test_tables_are_categorical_with_the_control_first() -> None:
    cells = find(target_gene=pd.Categorical(["B", "zz", "NT", "A"], categories=["unused", "zz", "NT", "B", "A"]))
    assert cells.table["perturbation"].cat.categories.tolist() == [CONTROL, "A", "B", "zz"]
    assert list(cells.table) == ["perturbation", "guide", "batch", "context"]


def test_the_user_decides() -> None:
    obs = {"target_gene": ["A", "NT", "A"], "treatment": ["x", "x", "none"], "well": ["w1", "w2", "w1"]}
    columns = Columns(perturbation="treatment", control="none", guide="target_gene", batch="well")
    cells = find(columns, **obs)
    assert labels(cells) == ["x", "x", CONTROL]
    assert cells.table["guide"].tolist() == ["A", "NT", "A"]
    assert cells.table["batch"].tolist() == ["w1", "w2", "w1"]


def test_a_chosen_control_finds_its_column() -> None:
    assert find(Columns(control="AAVS1"), gene=["A", "AAVS1"]).perturbation_column == "gene"
    assert find(Columns(control="AAVS1"), arm=["A", "AAVS1"]).perturbation_column == "arm"


def test_several_control_like_labels_are_not_merged() -> None:
    cells = find(gene=["ctrl", "non-targeting", "safe-targeting", "A", "ctrl"])
    assert labels(cells) == ["ctrl", CONTROL, "safe-targeting", "A", "ctrl"]
    assert cells.control_label == "non-targeting"
    assert said(
        cells, "'non-targeting' (1 cells)", "'ctrl' (2 cells)", "'safe-targeting' (1 cells)", "kept as perturbations"
    )


def test_a_chosen_control_does_not_swallow_the_canonical_label() -> None:
    cells = find(Columns(control="ctrl"), gene=["ctrl", "non-targeting", "A"])
    assert labels(cells) == [CONTROL, "non-targeting (in file)", "A"]
    assert said(cells, "'non-targeting' (1 cells)", "kept as perturbations")


def test_pairs() -> None:
    cells = find(condition=["A+B", "A+ctrl", "ctrl+B", "ctrl", "A", "C+A+ctrl"])
    assert labels(cells) == ["A+B", "A", "B", CONTROL, "A", "C+A"]
    assert said(cells, "3 labels that join a gene and a control", "'A+ctrl' as 'A'")
    assert said(cells, "2 perturbations target two or more genes")


def test_underscores_do_not_make_pairs_but_are_said() -> None:
    cells = find(condition=["A_B", "A", "B", "ctrl"])
    assert labels(cells)[0] == "A_B"
    assert said(cells, "'A_B'", "write two genes as 'A+B'")
    assert not said(find(condition=["HLA_X", "A", "ctrl"]), "write two genes as 'A+B'")


@pytest.mark.parametrize("missing", [None, np.nan, "", "nan"])
def test_cells_without_a_label_are_left_out_with_their_number(missing: object) -> None:
    cells = find(gene=["A", missing, "NT", missing], batch=["1", "2", "3", "4"])
    assert labels(cells) == ["A", CONTROL]
    assert cells.kept is not None and cells.kept.tolist() == [0, 2]
    assert cells.table["batch"].tolist() == ["1", "3"]
    assert said(cells, "2 cells have no label in 'gene'", "left out")


def test_a_side_column_cannot_be_a_measurement() -> None:
    with refusal(DataError, "not_labels"):
        find(Columns(batch="score"), gene=["A", "NT"], score=[0.5, 1.5])


def test_names_in_messages_stay_short() -> None:
    assert name_some([]) == "none"
    assert len(name_some(["x" * 1000] * 1000)) < 250
