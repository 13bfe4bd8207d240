"""One perturbation against a signature, gene by gene: what it reverses, and what it makes worse."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from vccapp.evaluation.targets.library import Library
from vccapp.evaluation.targets.ranking import Goal
from vccapp.evaluation.targets.score import keep_extremes
from vccapp.evaluation.targets.signature import Signature, place

WORDS: dict[Goal, tuple[str, str]] = {"reverse": ("reversed", "worsened"), "mimic": ("mimicked", "opposed")}
"""What becomes of a gene: as wished, and the other way."""


@dataclass(frozen=True)
class GeneByGene:
    """genes : gene, signature, delta, specific, contribution, change; the largest contribution first

    signature : as given; delta : of the perturbation, log1p units; specific : delta without what lies along the mean
    effect of the library; contribution : to the cosine, positive where it is as wished, and together the cosine (minus
    it, for "reverse"); change : one of WORDS. counts : of genes by change
    """

    genes: pd.DataFrame
    counts: pd.DataFrame


def view_genes(library: Library, label: str, signature: Signature, *, goal: Goal = "reverse") -> GeneByGene:
    """The genes that the score of this perturbation reads; its own targets are not among them."""
    placed = place(signature, library.effects.genes)
    row, effects = library.labels.index(label), library.effects
    [specific] = effects.specific(placed.places, [row])
    [(_, block, hidden)] = effects.blocks(placed.places, [row])
    strong = keep_extremes(placed.values)[0].astype(np.float64)
    strong[hidden[1]] = 0
    kept = np.flatnonzero(strong)
    length = np.linalg.norm(strong) * np.linalg.norm(specific.astype(np.float64))
    share = strong[kept] * specific[kept] / length * (-1 if goal == "reverse" else 1)
    wished, other = WORDS[goal]
    genes = pd.DataFrame(
        {
            "gene": np.array(effects.genes)[placed.places[kept]],
            "signature": strong[kept],
            "delta": block[0, kept].astype(float),
            "specific": specific[kept].astype(float),
            "contribution": share,
            "change": np.where(share > 0, wished, other),
        }
    ).sort_values("contribution", ascending=False, kind="stable", ignore_index=True)
    counts = genes.groupby("change", sort=False)["contribution"].agg(["size", "sum"]).reindex([wished, other])
    counts = counts.fillna(0).reset_index().rename(columns={"size": "n_genes", "sum": "contribution"})
    return GeneByGene(genes, counts.astype({"n_genes": int}))
