"""A weighted sum of models: weights, none negative and at most 1 in total, fitted on predictions of unseen effects.

    effect(p) = sum_k w_k effect_k(p),   w = argmin sum over p of |effect - sum_k w_k effect_k|^2,  w >= 0, sum w <= 1

The sum is over the training perturbations, each predicted by a fit without it (of as many targets as the validation
part has: singles do not say how pairs add up), and those of the validation part. What the weights leave below 1 shrinks
towards no change. A perturbation's own targets take no part: they are set to the residual level of a
knock-down (`models.parts.knockdown`), which is known and not to be shrunk. The members learn from the training part
alone and keep what they learnt; the test part is never looked at. A member that cannot learn from the data (no target
among the genes, say) is left out, and progress says why. Stacking: Wolpert 1992, Breiman 1996.
"""

import contextlib
from collections.abc import Sequence
from itertools import combinations

import numpy as np
import pandas as pd
from pydantic import Field

from vccapp.data.schema import positions_of
from vccapp.data.splits.split import Split
from vccapp.errors import SpecError
from vccapp.models.base import BASES, MODELS, Fitting, Model, ModelSpec, make_model, targets
from vccapp.models.parts.features import EMBEDDING_PATHS, Features
from vccapp.models.parts.knockdown import measure_residual, set_targets, target_positions
from vccapp.models.parts.residual import MIN_PERTURBATIONS, predict_unseen
from vccapp.models.saving import ModelState
from vccapp.progress import part
from vccapp.stats.index import Index
from vccapp.stats.knowledge import Knowledge

MAX_MEMBERS = 8
FEW = 20
"""Perturbations below which the weights are said to be uncertain."""


@MODELS.register("ensemble")
class Ensemble(Model):
    name = "ensemble"
    label = "Ensemble"
    description = "A weighted sum of other models, with weights fitted on effects that each had not seen."
    purpose = "For a low error: the closed-form models together, weighted by how they predict what is new to them."
    use = "Combination"
    order = 40
    takes_embedding = True
    paths = EMBEDDING_PATHS

    class Spec(ModelSpec):
        offers = {"embedding": "embedding"}

        members: str = Field(
            "knockdown_mean + ridge + knn + bilinear",
            title="Members",
            description=f"2 to {MAX_MEMBERS} models, joined by +.",
        )
        embedding: str = Field(
            "default", title="Gene embedding", description="Gene embedding of the members that use the default one."
        )

    spec: Spec
    members: list[Model]  # those that could learn
    weights: np.ndarray  # (members,) float64
    residual: float | None  # share of control expression left on a target; None where it could not be measured

    def sources(self, index: Index, split: Split) -> list[Knowledge]:
        """Those of the members; one that finds none is left out later."""
        found: dict[str, Knowledge] = {}
        for member in self._make_members():
            with contextlib.suppress(SpecError):
                found |= {known.source: known for known in member.sources(index, split)}
        return list(found.values())

    def check_inputs(self, index: Index, split: Split, *, device: str) -> None:
        made, reasons = self._make_members(), []
        _need_unseen(split)
        if any(member.takes_embedding for member in made):
            Features.open(self.spec.embedding, index)  # a wrong one leaves no member out, but nothing to start
        for member in made:
            try:
                member.check(index, split, device=device)
            except SpecError as error:
                reasons.append(f"{member.label} is left out: {error}")
        if len(reasons) == len(made):
            raise SpecError("no_member", reasons[0])

    def learn(self, index: Index, split: Split, fitting: Fitting) -> None:
        _need_unseen(split)
        self.members, made, reasons = [], self._make_members(), []
        unseen = _choose_unseen(split)
        guesses, labels = [], [*unseen, *split.val]
        for done, member in enumerate(made):
            report = part(fitting.progress, done / len(made), (done + 1) / len(made))
            try:
                member.fit(index, split, seed=fitting.seed, progress=report)
                guesses.append(_predict_unseen(member, index, split, unseen, seed=fitting.seed))
                self.members.append(member)
            except SpecError as error:
                reasons.append(f"{member.label} is left out: {error}")
                report(1.0, reasons[-1])
        if not self.members:
            raise SpecError("no_member", reasons[0])
        position = positions_of(self.genes)
        self.residual = measure_residual(index, split.train, position=position)
        products = np.zeros((len(guesses) + 1,) * 2)
        for row, label in enumerate(labels):
            effects = np.stack([index.delta(label), *(own[row] for own in guesses)]).astype(np.float64)
            effects[:, target_positions(label, position)] = 0
            products += effects @ effects.T
        if len(labels) < FEW:
            fitting.progress(1.0, f"Only {len(labels)} perturbations tell the weights, which are uncertain")
        self.weights = fit_weights(products[1:, 1:], products[1:, 0])
        fitting.log({"step": 0} | {m.name: float(w) for m, w in zip(self.members, self.weights, strict=True)})

    def predict_deltas(self, perturbations: list[str]) -> np.ndarray:
        deltas = np.zeros((len(perturbations), len(self.genes)), np.float32)
        for member, weight in zip(self.members, self.weights, strict=True):
            if weight > 0:
                deltas += np.float32(weight) * member.predict(perturbations)
        position = positions_of(self.genes)
        control = self.control_means.of(perturbations)
        set_targets(deltas, perturbations, residual=self.residual, control=control, position=position)
        return deltas

    def coverage(self, perturbations: Sequence[str]) -> pd.DataFrame:
        """As the base class; n_known is the most that any member with weight knows."""
        used = [m for m, weight in zip(self.members, self.weights, strict=True) if weight > 0] or self.members
        known = np.max([member.coverage(perturbations)["n_known"] for member in used], axis=0)
        return super().coverage(perturbations).assign(n_known=known)

    def describe_basis(self, perturbations: Sequence[str]) -> dict[str, str]:
        """The best that any member with weight has."""
        used = [m for m, weight in zip(self.members, self.weights, strict=True) if weight > 0] or self.members
        every = [member.describe_basis(perturbations) for member in used]
        return {label: max((own[label] for own in every), key=BASES.index) for label in perturbations}

    def state(self) -> ModelState:
        meta = {"members": [member.name for member in self.members], "residual": self.residual}
        members = ModelState.of({member.name: member.state() for member in self.members})
        return ModelState({"weights": self.weights}, meta) | members

    def restore(self, state: ModelState) -> None:
        self.members = [member for member in self._make_members() if member.name in state.meta["members"]]
        self.weights, self.residual = state.arrays["weights"], state.meta["residual"]
        for member in self.members:
            self.restore_member(member, state.part(member.name))

    def _make_members(self) -> list[Model]:
        names = [name.strip() for name in self.spec.members.split("+")]
        if not 2 <= len(names) <= MAX_MEMBERS or len(set(names)) < len(names) or self.name in names:
            raise SpecError(
                "bad_members",
                f"The members are '{self.spec.members}'",
                fix=f"choose 2 to {MAX_MEMBERS} different models joined by +, e.g. knockdown_mean + ridge, but not "
                "the ensemble itself",
            )
        given = {"embedding": self.spec.embedding}
        return [make_model(name, given if MODELS[name].takes_embedding else {}) for name in names]


def _need_unseen(split: Split) -> None:
    if not split.val and len(split.train) < MIN_PERTURBATIONS:
        raise SpecError(
            "no_validation_part",
            f"The split '{split.name}' has no validation part to fit the weights on, and {len(split.train)} "
            f"perturbations in its training part, of which {MIN_PERTURBATIONS} would do",
            fix="choose or create another split",
        )


def _choose_unseen(split: Split) -> list[str]:
    """The training perturbations that tell the weights: of as many targets as those of the validation part have.

    None where they are too few to be predicted by fits without them.
    """
    asked = {len(targets(label)) for label in split.val or split.train}
    found = [label for label in split.train if len(targets(label)) in asked]
    return found if len(found) >= MIN_PERTURBATIONS else []


def _predict_unseen(member: Model, index: Index, split: Split, unseen: Sequence[str], *, seed: int) -> np.ndarray:
    """(unseen and val, n_genes) float32 of a fitted member: of the training part by fits without them."""
    own = member.predict(split.val)
    if not unseen:
        return own
    every = predict_unseen(lambda: type(member)(member.spec), index, split, seed=seed)
    row = positions_of(split.train)
    return np.concatenate([every[[row[label] for label in unseen]], own])


def fit_weights(square: np.ndarray, cross: np.ndarray) -> np.ndarray:
    """w >= 0 with sum w <= 1 that minimises w' square w - 2 w' cross, exactly: the best over all sets of members.

    square : (k, k) inner products of the members' predictions; cross : (k,) theirs with the real effects
    """
    k = len(cross)
    best, least = np.zeros(k), 0.0
    for size in range(1, k + 1):
        for chosen in map(list, combinations(range(k), size)):
            inner, target = square[np.ix_(chosen, chosen)], cross[chosen]
            free = np.linalg.lstsq(inner, target, rcond=None)[0]
            ones = np.linalg.lstsq(inner, np.ones(size), rcond=None)[0]
            bound = free + ones * (1 - free.sum()) / ones.sum() if ones.sum() > 0 else free
            for weights in (free, bound):
                if (weights >= 0).all() and weights.sum() <= 1 + 1e-9:
                    loss = weights @ inner @ weights - 2 * weights @ target
                    if loss < least - 1e-12 * abs(least):
                        best, least = np.zeros(k), float(loss)
                        best[chosen] = weights
    return best
