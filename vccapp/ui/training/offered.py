"""Lists for the fields of a training that name something: gene embeddings, baselines, vectors of cells, networks."""

from collections.abc import Callable

import streamlit as st

from vccapp.data.splits.split import Split
from vccapp.data.workspace import Record, list_datasets
from vccapp.errors import VccAppError
from vccapp.models.base import MODELS, label_model, list_trainable
from vccapp.parameters import Offer, Parameters
from vccapp.stats.cells.embedding import list_cell_embeddings
from vccapp.stats.index import Index
from vccapp.training import list_runs
from vccapp.training.choosing.coverage import (
    compare_embeddings,
    describe_embedding,
    list_embeddings,
)
from vccapp.ui.kit.forms import Offered
from vccapp.ui.kit.loaders import current_settings
from vccapp.ui.kit.runs import run_label
from vccapp.ui.kit.show import show_table

NOTES = {
    "default": "Ships with the app: text and network.",
    "text": "Names and pathways of genes; ships with the app.",
    "network": "Protein interactions; ships with the app.",
    "expression": "From the control cells of these data.",
    "default + expression": "Both, for the genes that both have.",
    "self": "From the training pseudobulks, as in the paper.",
    "one-hot": "Knows the training targets alone.",
}
NOT_VECTORS = ("self", "one-hot")


def offer_fields(spec: type[Parameters], record: Record, index: Index, split: Split) -> dict[str, Offered]:
    """The list of each field of a model that names something."""
    makers: dict[Offer, Callable[[], Offered]] = {
        "embedding": lambda: _offer_embeddings(spec, index, split, one_hot=False),
        "embedding or one-hot": lambda: _offer_embeddings(spec, index, split, one_hot=True),
        "baseline": _offer_baselines,
        "cell embedding": lambda: _offer_cell_embeddings(index),
        "network": lambda: _offer_networks(record),
        "checkpoint": _offer_checkpoints,
        "trained folder": _offer_trained,
        "dataset": lambda: _offer_datasets(record),
    }
    return {name: makers[offer]() for name, offer in spec.offers.items()}


def show_embeddings(index: Index, split: Split) -> None:
    """What each embedding of the list covers; files are read for it."""
    with st.spinner("Reading the gene vectors"):
        frame = compare_embeddings(list_embeddings(current_settings()), index, split)
    show_table(
        frame,
        key="train_embeddings",
        text="Table of gene embeddings and how many targets of each part have a vector",
        name="embeddings",
    )


def _offer_embeddings(spec: type[Parameters], index: Index, split: Split, *, one_hot: bool) -> Offered:
    default = str(spec.model_fields["embedding"].default)
    values = [default, *list_embeddings(current_settings()), *(["one-hot"] if one_hot else [])]

    def note(value: str) -> str:
        said = NOTES.get(value, "")
        if value in NOT_VECTORS:
            return said
        try:
            return f"{said} {describe_embedding(value, index, split)}".strip()
        except VccAppError as error:
            return str(error)

    return Offered({value: value for value in values}, note=note)


def _offer_baselines() -> Offered:
    names = [name for name in list_trainable() if MODELS[name].may_be_baseline]
    return Offered({name: label_model(name) for name in names} | {"": "None"}, typed=False)


def _offer_cell_embeddings(index: Index) -> Offered:
    known = {about["name"]: f"{about['width']} numbers a cell." for about in list_cell_embeddings(index)}
    return Offered({name: name for name in ("genes", *known)}, note=lambda value: known.get(value, ""))


def _offer_networks(record: Record) -> Offered:
    settings = current_settings()
    runs = {
        str(run.folder / "model"): run_label(run)
        for run in list_runs(settings)
        if run.spec.model == "state" and run.state == "finished"
    }
    notes = runs | {str(path.parent): "Converted checkpoint." for path in settings.checkpoints.glob("*/official.json")}
    return Offered({path: path for path in notes}, note=lambda value: notes.get(value, ""))


def _offer_checkpoints() -> Offered:
    folders = sorted(str(path.parent) for path in current_settings().checkpoints.glob("*/official.json"))
    return Offered({folder: folder for folder in folders})


def _offer_trained() -> Offered:
    """Folders that the official program trained: any among the checkpoints, and those that runs have kept."""
    from vccapp.neural.arc_state.work import list_trained

    settings = current_settings()
    runs = {run.folder: run_label(run) for run in list_runs(settings) if run.spec.model == "state_official"}
    notes = {
        str(folder): next(
            (label for kept, label in runs.items() if folder.is_relative_to(kept)), "By `state tx train`."
        )
        for folder in list_trained(settings.checkpoints)
    }
    return Offered({path: path for path in notes}, note=lambda value: notes.get(value, ""))


def _offer_datasets(record: Record) -> Offered:
    others = {
        other.fingerprint: other.title
        for other in list_datasets(current_settings())
        if other.has_index and other.fingerprint != record.fingerprint
    }
    return Offered({name: name for name in others}, note=lambda value: others.get(value, ""))
