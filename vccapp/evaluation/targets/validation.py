"""Can a library be trusted: does half of a perturbation's cells find the other half, and what of known regulators?"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from vccapp.data.schema import genes_of
from vccapp.errors import SpecError
from vccapp.evaluation.targets.library import Effects, Library, require_effects
from vccapp.evaluation.targets.score import keep_extremes, score_effects
from vccapp.stats.halves import have_halves, read_halves
from vccapp.stats.pseudobulks import Pseudobulks

MOST_QUERIES = 200
"""Perturbations that are looked for; of more, some are drawn."""
FIRST = 5
"""A perturbation among so many of the best is found."""


@dataclass(frozen=True)
class Recovery:
    """perturbations : perturbation, n_cells, cosine, place, auroc; summary : one row, means and n

    place : of the perturbation's own second half among those of all, 1 is best; auroc : share of the others behind it
    """

    perturbations: pd.DataFrame
    summary: pd.DataFrame


def measure_recovery(index: Pseudobulks, library: Library, *, seed: int = 0) -> Recovery:
    """First halves of the cells as signatures, second halves as the library, both against all controls.

    A signature's own targets are left out of it, as a user's would not name them. Raises SpecError `too_few_effects`.
    """
    if library.kind == "predicted":
        raise SpecError("no_halves", "Predicted effects have no halves", fix="choose a library of measured effects")
    labels = [label for label, whole in zip(library.labels, have_halves(index, library.labels), strict=True) if whole]
    require_effects(len(labels), library.title)
    control, names = index.control_means(labels)[0], np.array(labels)
    effects = Effects(
        tuple(labels), library.effects.genes, lambda rows: read_halves(index, names[rows].tolist())[1] - control
    )
    asked = np.arange(len(labels))
    if len(asked) > MOST_QUERIES:
        asked = np.sort(np.random.default_rng(seed).choice(asked, MOST_QUERIES, replace=False))
    signatures = read_halves(index, names[asked].tolist())[0] - control
    cosine = find_own(effects, signatures, asked)
    own = cosine[asked, np.arange(len(asked))]
    ahead = (cosine > own).sum(axis=0) + ((cosine == own).sum(axis=0) - 1) / 2
    others = np.isfinite(cosine).sum(axis=0) - 1
    known = np.isfinite(own) & (others > 0)
    table = pd.DataFrame(
        {
            "perturbation": names[asked],
            "n_cells": index.perturbations["n_cells"].to_numpy()[index.rows(names[asked].tolist())] // 2,
            "cosine": own,
            "place": ahead + 1,
            "auroc": np.where(known, 1 - ahead / np.maximum(others, 1), np.nan),
        }
    )[known].reset_index(drop=True)
    error = float(table["auroc"].sem())
    summary = {"dataset": library.title, "context": library.context or "", "effects": len(labels), "n": len(table)}
    summary |= {"n_cells": float(table["n_cells"].median()), "auroc": float(table["auroc"].mean()), "error": error}
    summary[f"found_among_{FIRST}"] = float((table["place"] <= FIRST).mean())
    return Recovery(table.sort_values("auroc", ignore_index=True), pd.DataFrame([summary]))


def find_own(effects: Effects, signatures: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """(n effects, m) cosines with signatures (m, G) of the perturbations `rows`, their own targets left out."""
    strong = np.array(signatures, np.float32)
    for signature, row in zip(strong, rows, strict=True):
        signature[effects.targets[row]] = 0
    return score_effects(effects, np.arange(len(effects.genes)), keep_extremes(strong)).cosine


@dataclass(frozen=True)
class Known:
    """by_kind : kind, n_known, n, auroc, p of Mann and Whitney, one-sided; unknown : names that no row has"""

    by_kind: pd.DataFrame
    unknown: tuple[str, ...]


def measure_known(targets: pd.DataFrame, names: Sequence[str]) -> Known:
    """How far in front the known regulators stand in a ranking, measured and predicted effects apart.

    AUROC : chance that a known one is ranked before another; 0.5 knows nothing. Raises SpecError `no_known`.
    """
    wanted = {name.upper() for name in names}
    genes = [{gene.upper() for gene in genes_of(label)} for label in targets["perturbation"]]
    known = np.array([bool(own & wanted) for own in genes]) & targets["cosine"].notna().to_numpy()
    every = set().union(*genes) if genes else set()
    if not known.any():
        raise SpecError("no_known", "None of the known regulators is in the library", fix="give genes of its targets")
    rows = []
    for kind, own in targets.assign(known=known).groupby("kind", sort=False):
        ranked = own[own["cosine"].notna()]
        n_known, n = int(ranked["known"].sum()), len(ranked)
        if 0 < n_known < n:
            from scipy.stats import mannwhitneyu

            front = -ranked["rank"].to_numpy(float)
            test = mannwhitneyu(front[ranked["known"]], front[~ranked["known"]], alternative="greater")
            rows.append((kind, n_known, n, float(test.statistic / (n_known * (n - n_known))), float(test.pvalue)))
    table = pd.DataFrame(rows, columns=["kind", "n_known", "n", "auroc", "p_known"])
    return Known(table, tuple(name for name in names if name.upper() not in every))
