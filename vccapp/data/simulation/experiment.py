"""What a simulated experiment is made of: the choices (`SimulationSpec`) and the truth they lead to (`Simulation`).

    truth = draw_simulation(SimulationSpec(seed=1))

The model of one cell i of guide u (perturbation p, efficacy e_u in 0..1) in batch b, for gene g:

    rate  = depth_i * share_bg * exp(e_u * effect_pg)        depth_i keeps the cell's expected UMIs as drawn
    count ~ negative binomial(mean rate, variance rate + dispersion_g * rate^2)

`effect` is a low-rank programme response, amplitude_p * unit_rms((shared + embedding[target_p] @ weights) @ loadings),
with ln(residual) at the target itself; a two-gene perturbation 'A+B' is the sum of its genes. Because the weights come
from the gene embedding, effects of unseen targets can be predicted from it. With several states of the cells
(`vccapp.data.simulation.states`) labels name their state as those of contexts do: 'GENE1@state_2'.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from vccapp.data.schema import CONTROL, genes_of, positions_of
from vccapp.errors import ResourceError, SpecError, explain

DECADES = 5.0  # gene means span this many powers of ten
MAX_EFFECT = 3.0  # natural log; keeps the strongest programmes within what cells survive
MAX_EFFECT_VALUES = 120_000_000  # perturbations x genes held in memory, 0.5 GB as float32
RESIDUAL = (0.05, 0.3)  # share of control expression that a perfect guide leaves on its target
EFFICACY = (4.0, 1.2)  # of guides: the parameters of a beta distribution
EMBEDDING_SIZE = 16


class SimulationSpec(BaseModel):
    """The choices of a simulation; the defaults make the demo. Raises SpecError for values that cannot be used."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    seed: int = Field(0, ge=0, le=2**63 - 1, description="Random seed; the same seed gives the same cells.")
    n_cells: int | None = Field(None, ge=2, description="Total number of cells; 3,600 if empty.")
    n_genes: int = Field(2000, ge=2, description="Number of genes if no gene names are given.")
    n_perturbations: int = Field(30, ge=1, description="Number of single-gene perturbations.")
    n_pairs: int = Field(0, ge=0, description="Number of two-gene perturbations, labelled 'A+B'.")
    perturbations: dict[str, int] | None = Field(
        None, description=f"Cells per perturbation by label; '{CONTROL}' sets the control cells."
    )
    control_fraction: float = Field(0.22, gt=0, lt=1, description="Share of control cells.")
    n_batches: int = Field(3, ge=1, description="Batches, each with its own depth and gene effects.")
    n_states: int = Field(1, ge=1, le=20, description="States of the cells, each with own expression and effects.")
    n_guides: int = Field(3, ge=1, description="Guides per perturbation, of unequal efficacy.")
    median_umis: float = Field(5000, gt=0, le=1e6, description="Median UMIs of a cell.")
    library_spread: float = Field(0.3, ge=0, le=2, description="Standard deviation of ln(UMIs) within a batch.")
    batch_effect: float = Field(0.1, ge=0, le=2, description="Standard deviation of ln(gene effect) and ln(depth).")
    dispersion: float = Field(0.3, ge=0.001, le=10, description="Median negative binomial dispersion of the genes.")
    n_programmes: int = Field(8, ge=1, le=200, description="Rank of the perturbation effects.")
    weakest: float = Field(0.02, ge=0, le=2, description="Amplitude of the weakest perturbation, ln units.")
    strongest: float = Field(0.8, ge=0, le=2, description="Amplitude of the strongest perturbation, ln units.")
    compression: Literal["gzip"] | None = Field(None, description="Compression of the matrix in the file.")

    @model_validator(mode="wrap")
    @classmethod
    def _one_sentence(cls, value: Any, handler: Any) -> Any:
        try:
            return handler(value)
        except ValidationError as error:
            problem = explain(error, name=lambda field: f"Simulation setting {field}")
            raise SpecError("bad_setting", problem, fix="choose another value") from None

    @model_validator(mode="after")
    def _consistent(self) -> "SimulationSpec":
        if self.weakest > self.strongest:
            raise SpecError(
                "amplitudes_swapped",
                f"weakest ({self.weakest:g}) is above strongest ({self.strongest:g})",
                fix="swap the two amplitudes",
            )
        if self.perturbations is not None:
            _check_counts(self.perturbations)
        return self


@dataclass(frozen=True)
class Simulation:
    """All that is known about the cells before they are sampled. Control is perturbation 0."""

    seed: int
    genes: list[str]
    perturbations: list[str]  # CONTROL first
    effects: np.ndarray  # (perturbations, genes) float32, ln units at efficacy 1; zeros for the controls
    knockdown: np.ndarray  # (perturbations, 2) float32: residual of each target at efficacy 1, NaN where there is none
    guides: list[str]
    guide_perturbation: np.ndarray  # (guides,) int32
    guide_efficacy: np.ndarray  # (guides,) float32, 0..1
    batches: list[str]
    shares: np.ndarray  # (batches, genes) float32: expected share of a control cell's UMIs, rows sum to 1
    dispersion: np.ndarray  # (genes,) float32
    cell_guide: np.ndarray  # (cells,) int32
    cell_batch: np.ndarray  # (cells,) int32
    cell_depth: np.ndarray  # (cells,) float32: expected UMIs of the cell, over sum_g share_g exp(e effect_g)
    embedding: np.ndarray  # (genes, EMBEDDING_SIZE) float32, unit norm
    states: tuple[str, ...] = ()  # of the cells; where there are several, labels, guides and batches are of one each

    @property
    def n_cells(self) -> int:
        return len(self.cell_guide)

    @property
    def n_genes(self) -> int:
        return len(self.genes)


def _is_label(label: str) -> bool:
    genes = genes_of(label)
    return 1 <= len(genes) <= 2 and len(set(genes)) == len(genes) and all(g and not g.isspace() for g in genes)


def _check_counts(counts: Mapping[str, int]) -> None:
    low = next((label for label, n in counts.items() if n < 1), None)
    if low is not None:
        raise SpecError(
            "too_few_cells",
            f"Perturbation '{low}' has {counts[low]} cells",
            fix="every perturbation needs at least 1",
        )
    if not any(label != CONTROL for label in counts):
        raise SpecError(
            "no_perturbation",
            f"No perturbation is given other than '{CONTROL}'",
            fix="name at least one gene to perturb",
        )
    odd = next((label for label in counts if not _is_label(label)), None)
    if odd is not None:
        raise SpecError(
            "bad_label",
            f"'{odd}' is not a perturbation label",
            fix="write a gene 'A', or two different genes 'A+B'",
        )


def share_out(total: int, weights: np.ndarray) -> np.ndarray:
    """`total` in whole parts proportional to `weights`, by largest remainder. Returns (n,) int64 with that sum."""
    quotas = total * np.asarray(weights, np.float64) / np.sum(weights)
    parts = np.floor(quotas + 1e-9).astype(np.int64)
    order = np.argsort(parts - quotas, kind="stable")
    parts[order[: total - parts.sum()]] += 1
    return parts


def draw_simulation(spec: SimulationSpec, *, genes: Sequence[str] | None = None) -> Simulation:
    """The truth of a simulation from its spec. Raises SpecError where labels and genes do not fit together."""
    rng = np.random.default_rng([spec.seed, 1])
    names = [f"GENE{i + 1}" for i in range(spec.n_genes)] if genes is None else list(genes)
    counts = _cell_counts(spec, names, rng)
    labels = list(counts)
    targets = find_targets(labels, names)
    shares = _gene_shares(rng, len(names), targets)
    dispersion = spec.dispersion * np.exp(rng.normal(0, 0.4, len(names)))
    singles = np.unique(targets[targets >= 0])
    amplitudes = rng.permutation(np.geomspace(max(spec.weakest, 1e-4), max(spec.strongest, 1e-4), len(singles)))
    embedding, directions = draw_programmes(rng, len(names), singles, spec.n_programmes)
    effects, knockdown = draw_effects(rng, targets, singles, directions * amplitudes[:, None].astype(np.float32))
    perturbation = rng.permutation(np.repeat(np.arange(len(labels)), list(counts.values())))
    weights = rng.dirichlet(np.full(spec.n_batches, 20.0))
    batch = rng.choice(spec.n_batches, len(perturbation), p=weights)
    return assemble(
        rng,
        spec,
        genes=names,
        labels=labels,
        effects=effects,
        knockdown=knockdown,
        embedding=embedding,
        shares=shares,
        dispersion=dispersion,
        batches=[f"batch_{b + 1}" for b in range(spec.n_batches)],
        cell_perturbation=perturbation,
        cell_batch=batch,
        median_umis=spec.median_umis,
    )


def _cell_counts(spec: SimulationSpec, genes: list[str], rng: np.random.Generator) -> dict[str, int]:
    """Cells of each label, controls first. Given counts are kept exactly; drawn ones are imbalanced."""
    share = spec.control_fraction
    if spec.perturbations is not None:
        others = {label: n for label, n in spec.perturbations.items() if label != CONTROL}
        controls = spec.perturbations.get(CONTROL, max(1, round(sum(others.values()) * share / (1 - share))))
        return {CONTROL: controls} | others
    if spec.n_perturbations > len(genes):
        raise SpecError(
            "too_few_genes",
            f"{spec.n_perturbations} perturbations need as many genes, but there are {len(genes)}",
            fix="take more genes",
        )
    if spec.n_pairs > spec.n_perturbations * (spec.n_perturbations - 1) // 2:
        raise SpecError(
            "too_few_genes",
            f"{spec.n_perturbations} genes do not make {spec.n_pairs} pairs",
            fix="ask for fewer pairs or more perturbations",
        )
    singles = [genes[i] for i in rng.choice(len(genes), spec.n_perturbations, replace=False)]
    pairs: dict[str, None] = {}
    while len(pairs) < spec.n_pairs:
        first, second = sorted(rng.choice(len(singles), 2, replace=False))
        pairs[f"{singles[first]}+{singles[second]}"] = None
    labels = [*singles, *pairs]
    n_cells = 3600 if spec.n_cells is None else spec.n_cells
    if n_cells <= len(labels):
        raise SpecError(
            "too_few_cells",
            f"{n_cells} cells cannot fill {len(labels)} perturbations and the controls",
            fix=f"take {len(labels) + 1} or more",
        )
    controls = min(max(1, round(n_cells * share)), n_cells - len(labels))
    spread = np.exp(rng.normal(0, 0.5, len(labels)))
    perturbed = 1 + share_out(n_cells - controls - len(labels), spread)
    return {CONTROL: controls} | dict(zip(labels, perturbed.tolist(), strict=True))


def find_targets(labels: Sequence[str], genes: Sequence[str]) -> np.ndarray:
    """Index of the genes that each label perturbs: (labels, 2) int64, -1 for none. Raises SpecError."""
    position = positions_of(genes)
    if len(position) < len(genes):
        twice = next(gene for i, gene in enumerate(genes) if position[gene] != i)
        raise SpecError(
            "repeated_genes",
            f"Gene '{twice}' is given more than once",
            fix="give every gene a unique name",
        )
    if len(labels) * len(genes) > MAX_EFFECT_VALUES:
        raise ResourceError(
            "memory",
            f"{len(labels):,} perturbations x {len(genes):,} genes of known effects do not fit 0.5 GB",
            fix="take fewer",
        )
    targets = np.full((len(labels), 2), -1)
    for row, label in enumerate(labels):
        for column, gene in enumerate(genes_of(label) if label != CONTROL else ()):
            if gene not in position:
                raise SpecError(
                    "unknown_target",
                    f"Perturbation '{label}' targets '{gene}', which is not among the {len(genes):,} genes",
                    fix="add it",
                )
            targets[row, column] = position[gene]
    return targets


def _gene_shares(rng: np.random.Generator, n_genes: int, targets: np.ndarray) -> np.ndarray:
    """Share of a cell's UMIs by gene, over five decades and most of them low; targets are well expressed."""
    ranks = rng.permutation(n_genes)
    wanted = np.unique(targets[targets >= 0])
    places = rng.permutation(np.linspace(0.55, 0.95, len(wanted)) * (n_genes - 1)).round().astype(int)
    for gene, rank in zip(wanted, places, strict=True):
        holder = np.flatnonzero(ranks == rank)[0]
        ranks[[gene, holder]] = ranks[[holder, gene]]
    shares = 10 ** (DECADES * (ranks / max(n_genes - 1, 1)) ** 0.6)
    return shares / shares.sum()


def draw_programmes(
    rng: np.random.Generator, n_genes: int, targets: np.ndarray, n_programmes: int
) -> tuple[np.ndarray, np.ndarray]:
    """Gene embedding (genes, EMBEDDING_SIZE) in modules, and the response of each target (targets, genes), RMS 1."""
    centres = rng.normal(size=(n_programmes, EMBEDDING_SIZE))
    embedding = centres[rng.integers(n_programmes, size=n_genes)] + 0.4 * rng.normal(size=(n_genes, EMBEDDING_SIZE))
    embedding /= np.linalg.norm(embedding, axis=1, keepdims=True)
    return embedding.astype(np.float32), draw_responses(rng, embedding[targets], n_genes, n_programmes)


def draw_responses(rng: np.random.Generator, vectors: np.ndarray, n_genes: int, n_programmes: int) -> np.ndarray:
    """(targets, n_genes) float32 responses of RMS 1 that follow from the targets' vectors (targets, EMBEDDING_SIZE)."""
    weights = rng.normal(size=(EMBEDDING_SIZE, n_programmes))
    shared = 0.6 * rng.normal(size=n_programmes)
    loadings = rng.laplace(size=(n_programmes, n_genes)) * (rng.random((n_programmes, n_genes)) < 0.2)
    directions = ((shared + vectors @ weights) @ loadings).astype(np.float32)
    rms = np.sqrt(np.mean(directions**2, axis=1, keepdims=True))
    return directions / np.maximum(rms, 1e-6)


def draw_effects(
    rng: np.random.Generator, targets: np.ndarray, singles: np.ndarray, responses: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Effects (labels, genes) of the labels whose `targets` (labels, 2) index genes, and their residuals (labels, 2).

    singles : (n,) the distinct target genes, sorted; responses : (n, genes) the programme response of each.
    """
    responses = np.clip(responses, -MAX_EFFECT, MAX_EFFECT)
    residual = rng.uniform(*RESIDUAL, len(singles)).astype(np.float32)
    responses[np.arange(len(singles)), singles] = np.log(residual)
    effects = np.zeros((len(targets), responses.shape[1]), np.float32)
    knockdown = np.full(targets.shape, np.nan, np.float32)
    for row, column in zip(*np.nonzero(targets >= 0), strict=True):
        single = np.searchsorted(singles, targets[row, column])
        effects[row] += responses[single]
        knockdown[row, column] = residual[single]
    return effects, knockdown


def assemble(
    rng: np.random.Generator,
    spec: SimulationSpec,
    *,
    genes: list[str],
    labels: list[str],
    effects: np.ndarray,
    knockdown: np.ndarray,
    embedding: np.ndarray,
    shares: np.ndarray,
    dispersion: np.ndarray,
    batches: list[str],
    cell_perturbation: np.ndarray,
    cell_batch: np.ndarray,
    median_umis: float,
) -> Simulation:
    """Add what every simulation draws alike: guides, batch effects and library sizes.

    shares : (genes,) of a control cell, any scale; cell_perturbation, cell_batch : (cells,) indices.
    """
    n_guides, n_batches = spec.n_guides, len(batches)
    efficacy = rng.beta(*EFFICACY, (len(labels), n_guides)).astype(np.float32)
    efficacy[0] = 0.0
    uses = np.cumsum(rng.dirichlet(np.full(n_guides, 5.0), len(labels)), axis=1)[:, :-1]
    guide = (rng.random(len(cell_perturbation))[:, None] > uses[cell_perturbation]).sum(axis=1)
    gene_effect = np.exp(rng.normal(0, spec.batch_effect, (n_batches, len(genes))))
    by_batch = shares * gene_effect
    batch_depth = np.exp(rng.normal(0, spec.batch_effect, n_batches))
    batch_depth /= batch_depth[cell_batch].mean()
    library = median_umis * batch_depth[cell_batch] * np.exp(rng.normal(0, spec.library_spread, len(cell_batch)))
    cell_guide = cell_perturbation * n_guides + guide
    totals = [np.exp(e * effects[row]) @ shares for row, guides in enumerate(efficacy) for e in guides]
    depth = library / (np.array(totals) / shares.sum())[cell_guide]
    return Simulation(
        seed=spec.seed,
        genes=genes,
        perturbations=labels,
        effects=effects,
        knockdown=knockdown,
        guides=[f"{label}_g{k + 1}" for label in labels for k in range(n_guides)],
        guide_perturbation=np.repeat(np.arange(len(labels), dtype=np.int32), n_guides),
        guide_efficacy=efficacy.ravel(),
        batches=batches,
        shares=(by_batch / by_batch.sum(axis=1, keepdims=True)).astype(np.float32),
        dispersion=dispersion.astype(np.float32),
        cell_guide=cell_guide.astype(np.int32),
        cell_batch=cell_batch.astype(np.int32),
        cell_depth=depth.astype(np.float32),
        embedding=embedding,
    )
