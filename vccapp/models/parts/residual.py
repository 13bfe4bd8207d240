"""What a network adds to: the prediction of another, closed-form model.

    make = partial(make_baseline, "ridge", embedding="default")
    shifts = cross_fit(make, index, split, seed=0)      # (train, n_genes): the network learns what these leave over
    make().fit(index, split).predict(labels)            # and is added to this
    fit_share(index, labels, base, predicted)           # so much of what it adds is right, as held-out effects say

A baseline knows its own training perturbations better than others. So what it leaves over of each is taken from a fit
without it: the network then learns the very kind of residual that it is asked for later. That fit is by least squares:
a network would undo a greater strength (`vccapp.models.parts.strength`).
"""

from collections.abc import Callable, Sequence

import numpy as np

from vccapp.data.schema import positions_of
from vccapp.data.split import Split
from vccapp.errors import SpecError
from vccapp.models.base import MODELS, Model, make_model
from vccapp.models.parts.knockdown import target_positions
from vccapp.stats.index import Index

FOLDS = 5
MIN_PERTURBATIONS = 10
NETWORKS = ("state", "state_checkpoint", "scouter")


def make_baseline(name: str, *, embedding: str) -> Model:
    """The unfitted model called `name`, which reads `embedding` if its own default is the one that ships with the app.

    Raises SpecError for a network, or an unknown name.
    """
    if name in NETWORKS:
        raise SpecError(
            "network_as_baseline",
            f"'{name}' cannot be the baseline of a network, as it is one",
            fix="choose a closed-form model such as ridge",
        )
    field = MODELS[name].Spec.model_fields.get("embedding")
    return make_model(name, {"embedding": embedding} if field is not None and field.default == "default" else {})


def cross_fit(make: Callable[[], Model], index: Index, split: Split, *, seed: int) -> np.ndarray:
    """(train, n_genes) float32 deltas of the training perturbations, each predicted by a fit without it.

    With fewer than MIN_PERTURBATIONS of them by one fit with all.
    """
    labels = np.array(split.train)
    if len(labels) < MIN_PERTURBATIONS:
        return _plain(make()).fit(index, split, seed=seed).predict(split.train)
    fold = np.random.default_rng((seed, 4)).permutation(len(labels)) % FOLDS
    deltas = np.empty((len(labels), len(index.genes)), np.float32)
    for i in range(FOLDS):
        rest = split.model_copy(update={"train": tuple(labels[fold != i].tolist())})
        deltas[fold == i] = _plain(make()).fit(index, rest, seed=seed).predict(labels[fold == i].tolist())
    return deltas


def _plain(model: Model) -> Model:
    if "strength" in type(model).Spec.model_fields:
        model.spec = model.spec.model_copy(update={"strength": 1.0})
    return model


def fit_share(index: Index, perturbations: Sequence[str], base: np.ndarray, predicted: np.ndarray) -> float:
    """b, 0 to 1, with the least squared error of base + b (predicted - base) over all genes but own targets.

    base, predicted : (n, n_genes) deltas of these perturbations, without and with what the network adds
    """
    added, missing = predicted - base, index.deltas(list(perturbations)) - base
    position = positions_of(index.genes["gene"].to_numpy(str))
    for row, label in enumerate(perturbations):
        added[row, target_positions(label, position)] = 0
    square = np.vdot(added, added)
    return float(np.clip(np.vdot(added, missing) / square, 0, 1)) if square > 0 else 1.0
