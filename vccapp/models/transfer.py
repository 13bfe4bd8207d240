"""Transfer: what the same knock-down did in other screens, weighted by how well it was measured there.

    effect(p) = m_p b + s * sum_c w_cp (d_cp - m_p b_c) / (1 + sum_c w_cp),   w_cp = rel_cp / (1 - rel_cp)

d_cp and b_c are the effect of p and the mean effect in screen c, rel_cp its split-half reliability (Spearman-Brown);
one screen is thus shrunk by rel. Of a screen of pseudobulks (one row a perturbation) no reliability can be measured: it
is what the spec assumes. The amplitude s is the least-squares fit on the training perturbations that the screens share,
between 0 and MAX_AMPLITUDE. Genes that a screen lacks deviate by nothing in it; a perturbation that no screen has gets
the mean effect. 'A+B' is taken as such, or else as A and B added.
Source: the recipe of cross-context transfer of the 2026 challenge's public notes; STATE's `perturb_mean` is its core.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from pydantic import Field

from vccapp.data.paths import user_path
from vccapp.data.schema import are_pseudobulks, positions_of, target_of
from vccapp.data.splits.split import Split
from vccapp.errors import SpecError
from vccapp.models.base import ELSEWHERE, MODELS, Fitting, ModelSpec, targets
from vccapp.models.parts.effects import MIN_TRAINED, EffectModel, count_targets
from vccapp.models.parts.knockdown import mask_targets
from vccapp.models.saving import ModelState
from vccapp.stats.index import Index, load_index
from vccapp.stats.knowledge import Knowledge
from vccapp.stats.views import measure_reliability

MAX_AMPLITUDE = 3.0
MAX_RELIABILITY = 0.99


@MODELS.register("transfer")
class Transfer(EffectModel):
    name = "transfer"
    label = "Transfer from other screens"
    description = (
        "Uses the effects of the same perturbations in other indexed datasets, weighted by reliability and "
        "scaled by one amplitude that is fitted on the training perturbations."
    )
    purpose = "For perturbations that another indexed screen has measured."
    use = "Other screens"
    order = 31
    known_as = ELSEWHERE

    class Spec(ModelSpec):
        offers = {"sources": "dataset"}

        sources: str | None = Field(
            None,
            title="Other screens",
            description="Fingerprints of other indexed datasets, or paths of index folders, separated by commas.",
        )
        amplitude: float | None = Field(
            None,
            ge=0,
            title="Amplitude",
            description="Factor on the effects from other screens; fitted on shared perturbations if empty.",
        )

        assumed: float = Field(
            0.5,
            ge=0,
            le=1,
            title="Reliability of pseudobulks",
            description="Taken for a screen that has one row a perturbation, of which none can be measured.",
        )

    spec: Spec
    paths = {"sources": ","}
    known: list[str]  # perturbations of the other screens
    deviations: np.ndarray  # (known, n_genes) float16, combined over screens, on the genes of the data
    amplitude: float

    def sources(self, index: Index, split: Split) -> list[Knowledge]:
        return [
            Knowledge(
                source=f"The screen {source.folder.parent.name}",
                dataset=source.meta["fingerprint"],
                learnt=source.perturbed,
                index=source.folder,
                fix="choose screens of other cells as sources",
            )
            for source in self._open_sources(index)
        ]

    def _open_sources(self, index: Index) -> list[Index]:
        datasets = index.folder.parents[1]
        sources = [open_source(text, datasets) for text in (self.spec.sources or "").split(",") if text.strip()]
        if not sources:
            raise SpecError(
                "no_source",
                "Transfer needs another dataset: set sources to the fingerprint of an indexed one",
            )
        return sources

    def prepare(self, index: Index) -> None:
        sources = self._open_sources(index)
        self.known = sorted({target_of(label) for source in sources for label in source.perturbed})
        self.deviations = _combine(sources, self.known, self.genes, assumed=self.spec.assumed)

    def count_known(self, perturbations: Sequence[str]) -> list[int]:
        known = set(self.known)
        return [
            len(targets(label)) if target_of(label) in known else sum(gene in known for gene in targets(label))
            for label in perturbations
        ]

    def lack(self, labels: Sequence[str], used: Sequence[str]) -> SpecError:
        return SpecError(
            "nothing_to_learn",
            f"The sources have {len(used)} of the {len(labels)} training perturbations, which is too few to "
            "fit an amplitude",
            found=len(used),
            fix="choose other sources",
        )

    def learn_deviations(self, labels: list[str], effects: np.ndarray, index: Index, fitting: Fitting) -> None:
        real = effects - self.mean_effects(labels)
        if self.spec.amplitude is not None:
            self.amplitude = self.spec.amplitude
            return
        if len(labels) < MIN_TRAINED:
            raise self.lack(self.trained_on, labels)
        self.amplitude = 1.0
        guess = self.predict_deviations(labels)
        square = float((guess.astype(np.float64) ** 2).sum())
        fit = float((guess * real).sum(dtype=np.float64)) / square if square > 0 else 0.0
        self.amplitude = min(max(fit, 0.0), MAX_AMPLITUDE)
        fitting.log({"step": 0, "amplitude": self.amplitude, "shared": len(labels)})

    def predict_deviations(self, perturbations: list[str]) -> np.ndarray:
        row = positions_of(self.known)
        out = np.zeros((len(perturbations), len(self.genes)), np.float32)
        for i, label in enumerate(perturbations):
            for part in (target_of(label),) if target_of(label) in row else targets(label):
                if part in row:
                    out[i] += self.deviations[row[part]]
        return self.amplitude * out

    def state(self) -> ModelState:
        own = ModelState({"deviations": self.deviations}, {"known": self.known, "amplitude": self.amplitude})
        return super().state() | own

    def restore(self, state: ModelState) -> None:
        super().restore(state)
        self.known, self.amplitude = state.meta["known"], state.meta["amplitude"]
        self.deviations = state.arrays["deviations"]


def open_source(text: str, datasets: Path) -> Index:
    """An index by its folder, or by the fingerprint of its data among `datasets`. Raises SpecError if there is none."""
    name = text.strip()
    for folder in (user_path(name), datasets / name / "index"):
        if (folder / "index.json").is_file():
            return load_index(folder)
    raise SpecError(
        "unknown_source",
        f"There is no index of '{name}'",
        fix="use the fingerprint of an indexed dataset, or the path of an index folder",
    )


def _combine(sources: Sequence[Index], known: Sequence[str], genes: np.ndarray, *, assumed: float) -> np.ndarray:
    """(known, genes) float16 deviations from each screen's mean effect, weighted over the screens."""
    row = positions_of(known)
    total = np.zeros((len(known), len(genes)), np.float32)
    weights = np.zeros(len(known), np.float32)
    for source in (whole.within(context) for whole in sources for context in whole.contexts or (None,)):
        labels = source.perturbed
        own = positions_of(source.genes["gene"].to_numpy(str))
        shared = [(i, own[gene]) for i, gene in enumerate(genes.tolist()) if gene in own]
        if not shared:
            raise SpecError(
                "no_common_gene",
                f"The source {source.folder} shares no gene with the dataset",
                fix="use a dataset with the same gene names",
            )
        here, there = map(np.array, zip(*shared, strict=True))
        effects = mask_targets(source.deltas(labels), labels, position=own)[:, there]
        counts = count_targets(labels)
        effects -= counts[:, None] * (counts @ effects / (counts @ counts))
        found = measure_reliability(source, there).set_index("perturbation").loc[labels]
        unknown = assumed if are_pseudobulks(found["n_cells"].tolist()) else 0.0
        share = np.minimum(found["reliability"].fillna(unknown).to_numpy(np.float32), MAX_RELIABILITY)
        weight = share / (1 - share)
        rows = np.array([row[target_of(label)] for label in labels])
        total[np.ix_(rows, here)] += weight[:, None] * effects
        weights[rows] += weight
    return (total / (1 + weights)[:, None]).astype(np.float16)
