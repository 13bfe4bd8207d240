"""What people paste, and where it lies among the genes of a library."""

import numpy as np
import pytest

from vccapp.errors import VccAppError
from vccapp.evaluation.targets.own_table import OWN, join_own, read_own_table
from vccapp.evaluation.targets.signature import compare_groups, place, read_lists, read_table
from vccapp.stats.index import Index

GENES = [f"GENE{i}" for i in range(100)]
WHOLE = {"MYC": -1.5, "TP53": 0.25}


@pytest.mark.parametrize(
    "text",
    [
        "MYC\t-1.5\nTP53\t0.25",
        "MYC, -1.5\n\nTP53,0.25\n",
        "gene;logFC\nMYC;-1.5\nTP53;0.25",
        "\ufeffMYC  -1.5\r\nTP53 0.25",
        "names,scores,logfoldchanges,pvals_adj\nMYC,3,-1.5,0.1\nTP53,2,0.25,0.2",
        '"","baseMean","log2FoldChange"\n"MYC",5,-1.5\n"TP53",9,0.25',
        "padj,avg_log2FC,Symbol\n1,-1.5,MYC\n0,0.25,TP53",
        "MYC,-1\nTP53,.25\nMYC,-2\nNONE,NA\nBIG,inf",
    ],
)
def test_tables_of_many_kinds_are_read_alike(text: str) -> None:
    assert read_table(text).values == WHOLE


def test_what_is_left_out_or_twice_is_said() -> None:
    notes = read_table("MYC,-1\nTP53,.25\nMYC,-2\nNONE,NA").notes
    assert ["MYC" in note for note in notes] == [False, True]
    lists = read_lists("A, B,B C", "C;D")
    assert lists.values == {"A": 1, "B": 1, "D": -1}
    assert ["C" in note for note in lists.notes] == [True]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "signature_empty"),
        ("MYC", "signature_columns"),
        ("a,b,c\nMYC,1,2", "signature_columns"),
        ("MYC,1\nTP53,up", "signature_value"),
    ],
)
def test_what_is_no_table_is_refused(text: str, code: str) -> None:
    with pytest.raises(VccAppError) as refused:
        read_table(text)
    assert refused.value.code == code


def test_genes_are_placed_by_any_of_their_names_whatever_their_order() -> None:
    genes = ["TP53", *GENES, "MYC"]
    text = "\n".join(["myc,2", "ENSG00000141510.11,4", *(f"{gene},{i}" for i, gene in enumerate(reversed(GENES)))])
    placed = place(read_table(text), genes)
    values = dict(zip([genes[i] for i in placed.places], placed.values.tolist(), strict=True))
    assert (values["MYC"], values["TP53"], values["GENE0"], values["GENE99"]) == (2, 4, 99, 0)
    assert place(read_table(f"{text}\nMYC,4\nnowhere,1"), genes).unknown == ("nowhere",)
    assert place(read_table(f"{text}\nMYC,4"), genes).values[-1] == 3  # two names of one gene


def test_few_genes_and_flat_signatures_are_refused() -> None:
    text = "\n".join(f"{gene},1" for gene in GENES[:49])
    for more, code in (("OTHER,1", "too_few_genes"), ("GENE50,1", None)):
        found = None
        try:
            assert place(read_table(f"{text}\n{more}"), GENES).n_found == 50
        except VccAppError as error:
            found = error.code
        assert found == code
    with pytest.raises(VccAppError) as refused:
        place(read_table("\n".join(f"{gene},0" for gene in GENES)), GENES)
    assert refused.value.code == "signature_flat"
    lists = place(read_lists(" ".join(GENES[:30]), " ".join(GENES[30:55])), GENES)
    assert (lists.n_found, len(lists.values), lists.values.sum()) == (55, 100, 5)


def test_groups_of_cells_are_compared_cell_by_cell(index: Index) -> None:
    table = index.batches.set_index("batch")["n_cells"]
    made = compare_groups(index, table.index[:2].tolist(), [table.index[2]], fingerprint="f", by="batch")
    means = index.array("batch_mean").astype(float)
    wanted = (means[0] * table.iloc[0] + means[1] * table.iloc[1]) / table.iloc[:2].sum() - means[2]
    np.testing.assert_allclose(list(made.values.values()), wanted, atol=1e-7)
    [label, *_] = index.perturbed
    own = compare_groups(index, [label], index.controls, fingerprint="f")
    np.testing.assert_allclose(list(own.values.values()), index.delta(label), atol=1e-6)
    assert ("f", label) in own.made_of and not made.made_of
    for sides, code in ((([label], [label]), "groups_alike"), (([label], ["?"]), "unknown_group")):
        with pytest.raises(VccAppError) as refused:
            compare_groups(index, *sides, fingerprint="f")
        assert refused.value.code == code


def test_an_own_table_is_joined_by_symbol() -> None:
    import pandas as pd

    own = read_own_table("class,symbol\nkinase,abl1\nother,ABL1\nTF,MYC\n")
    targets = join_own(pd.DataFrame({"perturbation": ["MYC", "ABL1+MYC", "GENE1", "MYC@K562"]}), own)
    assert targets[f"{OWN}class"].tolist() == ["TF", "kinase + TF", None, "TF"]
    with pytest.raises(VccAppError) as refused:
        read_own_table("only\nA\n")
    assert refused.value.code == "own_table"
