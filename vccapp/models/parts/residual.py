"""What a network adds to: the prediction of another, closed-form model.

    make = partial(make_baseline, "ridge", embedding="default")
    shifts = cross_fit(make, index, split, seed=0)      # (train, n_genes): the network learns what these leave over
    make().fit(index, split).predict(labels)            # and is added to this
    fit_share(index, labels, base, predicted)           # so much of what it adds is right, as held-out effects say
    measure_gain(index, labels, base, predicted)        # does any share of it help?

A baseline knows its own training perturbations better than others. So what it leaves over of each is taken from a fit
without it: the network then learns the very kind of residual that it is asked for later. That fit is by least squares:
a network would undo a greater strength (`vccapp.models.parts.strength`).
"""

from collections.abc import Callable, Sequence

import numpy as np

from vccapp.data.schema import positions_of
from vccapp.data.splits.split import Split
from vccapp.errors import SpecError
from vccapp.models.base import MODELS, Model, make_model
from vccapp.models.parts.effects import group_alike
from vccapp.models.parts.knockdown import own_targets
from vccapp.stats.index import Index

FOLDS = 5
MIN_PERTURBATIONS = 10


def make_baseline(name: str, *, embedding: str) -> Model:
    """The unfitted model called `name`, which reads `embedding` if it takes one.

    Raises SpecError for a model that cannot be one, such as a network, or an unknown name.
    """
    model = MODELS[name]
    if not model.may_be_baseline:
        raise SpecError(
            "network_as_baseline" if model.is_network else "not_a_baseline",
            f"'{name}' cannot be the baseline of a network" + (", as it is one" if model.is_network else ""),
            found=name,
            fix="choose a closed-form model such as ridge",
        )
    return make_model(name, {"embedding": embedding} if model.takes_embedding else {})


def cross_fit(make: Callable[[], Model], index: Index, split: Split, *, seed: int) -> np.ndarray:
    """(train, n_genes) float32 deltas of the training perturbations, each predicted by a fit without it.

    With fewer than MIN_PERTURBATIONS of them by one fit with all.
    """
    if len(split.train) < MIN_PERTURBATIONS:
        return _by_least_squares(make()).fit(index, split, seed=seed).predict(split.train)
    alone = np.arange(len(split.train))  # a target that is known in another context leaves what is of this one alone
    return predict_unseen(lambda: _by_least_squares(make()), index, split, seed=seed, group=alone)


def predict_unseen(
    make: Callable[[], Model], index: Index, split: Split, *, seed: int, group: np.ndarray | None = None
) -> np.ndarray:
    """(train, n_genes) float32 deltas of the training perturbations, each by the fit of FOLDS that lacks its group.

    group : (train,) numbers; those of `group_alike` if None
    """
    labels, group = np.array(split.train), group_alike(split.train, split) if group is None else group
    fold = (np.random.default_rng((seed, 4)).permutation(group.max() + 1) % FOLDS)[group]
    deltas = np.empty((len(labels), len(index.genes)), np.float32)
    for i in range(FOLDS):
        others = split.model_copy(update={"train": tuple(labels[fold != i].tolist())})
        deltas[fold == i] = make().fit(index, others, seed=seed).predict(labels[fold == i].tolist())
    return deltas


def _by_least_squares(model: Model) -> Model:
    model.spec = model.spec.model_copy(update=model.least_squares)
    return model


def fit_share(index: Index, perturbations: Sequence[str], base: np.ndarray, predicted: np.ndarray) -> float:
    """b, 0 to 1, with the least squared error of base + b (predicted - base) over all genes but own targets.

    base, predicted : (n, n_genes) deltas of these perturbations, without and with what the network adds
    """
    added, missing = _compare(index, perturbations, base, predicted)
    square = np.vdot(added, added)
    return float(np.clip(np.vdot(added, missing) / square, 0, 1)) if square > 0 else 1.0


def measure_gain(index: Index, perturbations: Sequence[str], base: np.ndarray, predicted: np.ndarray) -> float:
    """By how much of itself the squared error of `base` falls with a share of what the network adds; at most 1.

    The share (0 to 1) that is taken of each perturbation is fitted on the others, so that a network which adds
    noise has none: not above 0. Of a single perturbation it is its own.
    """
    added, missing = _compare(index, perturbations, base, predicted)
    along = np.einsum("ij,ij->i", added, missing, dtype=np.float64)
    squares = np.einsum("ij,ij->i", added, added, dtype=np.float64)
    others = len(along) > 1
    along_others, squares_others = (own.sum() - others * own for own in (along, squares))
    share = np.divide(along_others, squares_others, out=np.zeros_like(along), where=squares_others > 0).clip(0, 1)
    total = float(np.vdot(missing, missing))
    return float((2 * share * along - share**2 * squares).sum()) / total if total > 0 else 0.0


def _compare(
    index: Index, perturbations: Sequence[str], base: np.ndarray, predicted: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """What the network adds, and what is missing: (n, n_genes) each, own targets 0 in the first."""
    added, missing = predicted - base, index.deltas(list(perturbations)) - base
    added[own_targets(perturbations, positions_of(index.genes["gene"].to_numpy(str)))] = 0
    return added, missing
