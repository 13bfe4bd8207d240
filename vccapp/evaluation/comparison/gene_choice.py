"""Which genes are looked at closely: the largest changes, the clearest DEGs, or those that are named."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from vccapp.data.gene_sets import find_genes
from vccapp.data.significance import FDR
from vccapp.stats.pseudobulks import Pseudobulks

Ranking = Literal["delta", "degs"]
FIRST_GENES, MOST_GENES = 200, 2000
"""Genes that are looked at where no number is given, and at most."""


@dataclass(frozen=True)
class ChosenGenes:
    """genes : of the data, in their order; unknown : words that name none."""

    genes: tuple[str, ...]
    unknown: tuple[str, ...] = ()


def rank_genes(
    index: Pseudobulks, perturbations: Sequence[str], *, by: Ranking = "delta", number: int = FIRST_GENES
) -> ChosenGenes:
    """The first `number` genes by their largest |delta| in one of the perturbations, or by their smallest p.

    by : "delta"; or "degs", those alone that are DEGs of one of the perturbations at least
    """
    ranked = (_rank_by_delta if by == "delta" else _rank_by_p)(index, list(perturbations))
    return ChosenGenes(tuple(index.genes["gene"].to_numpy()[ranked][:number].tolist()))


def name_genes(index: Pseudobulks, text: str) -> ChosenGenes:
    """The genes that a text names, see `vccapp.data.gene_sets.find_genes`; at most MOST_GENES."""
    found, unknown = find_genes(text, index.genes["gene"])
    return ChosenGenes(tuple(found[:MOST_GENES]), tuple(unknown))


def _rank_by_delta(index: Pseudobulks, perturbations: list[str]) -> np.ndarray:
    largest = np.abs(index.deltas(perturbations)).max(axis=0)
    return np.argsort(-largest, kind="stable")


def _rank_by_p(index: Pseudobulks, perturbations: list[str]) -> np.ndarray:
    rows = index.rows(perturbations)
    p = np.nan_to_num(index.array("de/p_value")[rows].min(axis=0), nan=1.0)
    significant = np.asarray((index.array("de/fdr")[rows] < np.float32(FDR)).any(axis=0))
    ranked = np.argsort(p, kind="stable")
    return ranked[significant[ranked]]
