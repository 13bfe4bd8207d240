"""Cells in several states: what an experiment becomes where expression and effects depend on the state of a cell.

Each state multiplies the expression of every gene by a factor of its own. STATE_SHARE of the variance of an effect is a
response that the state alone has. It follows from the target's vector too, so it can be learnt, but only by a model
that sees the state of the cells. The state is the context of the labels: 'GENE1@state_2', 'non-targeting@state_2'.
"""

from dataclasses import replace

import numpy as np

from vccapp.data.schema import label_in
from vccapp.data.simulation.experiment import (
    MAX_EFFECT,
    Simulation,
    SimulationSpec,
    draw_responses,
    find_targets,
)

STATE_SPREAD = 0.7
"""Standard deviation of ln(factor) of the genes of a state."""
STATE_SHARE = 0.5


def put_in_states(truth: Simulation, spec: SimulationSpec) -> Simulation:
    """The same cells, guides and batches, each cell in one of `spec.n_states` states by chance; with one, `truth`."""
    if spec.n_states == 1:
        return truth
    rng = np.random.default_rng([spec.seed, 3])
    states = tuple(f"state_{i + 1}" for i in range(spec.n_states))
    n_labels, n_guides, n_batches = len(truth.perturbations), len(truth.guides), len(truth.batches)
    cell_state = rng.integers(spec.n_states, size=truth.n_cells)
    factors = np.exp(rng.normal(0, STATE_SPREAD, (spec.n_states, 1, truth.n_genes)))
    shares = truth.shares * factors
    shares /= shares.sum(axis=2, keepdims=True)
    targets = find_targets(truth.perturbations, truth.genes)
    effects = np.stack([_draw_effects(rng, truth, targets, spec.n_programmes) for _ in states])

    def totals(shares: np.ndarray, effects: np.ndarray) -> np.ndarray:
        """(guides,) by how much each changes the expected UMIs of a cell."""
        pairs = zip(truth.guide_efficacy, truth.guide_perturbation, strict=True)
        return np.array([np.exp(efficacy * effects[label]) @ shares for efficacy, label in pairs])

    before = totals(truth.shares.mean(axis=0), truth.effects)
    after = np.stack([totals(own.mean(axis=0), effect) for own, effect in zip(shares, effects, strict=True)])
    depth = truth.cell_depth * before[truth.cell_guide] / after[cell_state, truth.cell_guide]

    def within(names: list[str]) -> list[str]:
        return [label_in(name, state) for state in states for name in names]

    return replace(
        truth,
        states=states,
        perturbations=within(truth.perturbations),
        effects=effects.reshape(-1, truth.n_genes),
        knockdown=np.tile(truth.knockdown, (spec.n_states, 1)),
        guides=within(truth.guides),
        guide_perturbation=np.concatenate([truth.guide_perturbation + i * n_labels for i in range(spec.n_states)]),
        guide_efficacy=np.tile(truth.guide_efficacy, spec.n_states),
        batches=within(truth.batches),
        shares=shares.reshape(-1, truth.n_genes).astype(np.float32),
        cell_guide=(truth.cell_guide + cell_state * n_guides).astype(np.int32),
        cell_batch=(truth.cell_batch + cell_state * n_batches).astype(np.int32),
        cell_depth=depth.astype(np.float32),
    )


def _draw_effects(rng: np.random.Generator, truth: Simulation, targets: np.ndarray, n_programmes: int) -> np.ndarray:
    """(labels, genes) float32 effects in a state; the knock-down of the targets is that of every state.

    targets : (labels, 2) of `find_targets`
    """
    singles = np.unique(targets[targets >= 0])
    responses = draw_responses(rng, truth.embedding[singles], truth.n_genes, n_programmes)
    effects = np.sqrt(1 - STATE_SHARE) * truth.effects
    for row, pair in enumerate(targets):
        own = pair[pair >= 0]
        strength = np.sqrt(STATE_SHARE * np.mean(truth.effects[row] ** 2) / max(len(own), 1))
        effects[row] += strength * responses[np.searchsorted(singles, own)].sum(axis=0)
        effects[row, own] = truth.effects[row, own]
    return effects.clip(-MAX_EFFECT, MAX_EFFECT).astype(np.float32)
