"""Which group of an opened file is the data: the root of an AnnData, a modality of a MuData, the matrix of 10x."""

from typing import Any

from vccapp.data.stores.places import Place
from vccapp.errors import DataError
from vccapp.wording import name_some

EXPRESSION = ("rna", "gex", "gene_expression", "gene expression", "genes", "transcriptome")
"""What people call the modality of genes."""


def choose_group(store: Any, place: Place) -> Any:
    """The group that is read. Raises DataError for a modality that is not there, or where several could be meant."""
    modalities = list(store["mod"]) if "mod" in store and not hasattr(store["mod"], "shape") else []
    if place.group:
        name = place.group.removeprefix("mod/")
        if name in modalities:
            return store["mod"][name]
        if place.group in store and not hasattr(store[place.group], "shape"):
            return store[place.group]
        fix = f"choose one of {name_some(modalities)}" if modalities else "open the file itself"
        raise DataError("no_modality", f"{place.file.name} has no modality '{name[:60]}'", fix=fix)
    if not modalities or "X" in store:
        return store
    for name in EXPRESSION:
        for modality in modalities:
            if modality.lower() == name:
                return store["mod"][modality]
    if len(modalities) == 1:
        return store["mod"][modalities[0]]
    raise DataError(
        "modality",
        f"it holds the modalities {name_some(modalities)}",
        found=modalities,
        fix=f"choose one: {place.file.name}/{modalities[0]}",
    )


def find_tenx(store: Any) -> Any | None:
    """The group of a file that Cell Ranger wrote ('matrix', or one named by the genome); None for other files."""
    if "obs" in store or "X" in store:
        return None
    for name in ("matrix", *(name for name in store if name != "matrix")):
        group = store.get(name)
        if group is not None and not hasattr(group, "shape") and "barcodes" in group and "indptr" in group:
            return group
    return None


def find_matrix(store: Any, name: str) -> Any | None:
    """The array or group of a matrix: X, layers/NAME, obsm/NAME, raw/X; None where it is not there."""
    found = store.get(name) if name in store else None
    if found is None and name == "X":
        return find_tenx(store)
    if found is None and name == "raw/X":
        return store.get("raw.X")  # of anndata 0.6
    return found
