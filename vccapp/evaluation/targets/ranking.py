"""Which perturbations reverse, or mimic, a signature: the table of the page Targets and of `vccapp targets rank`.

ranking = rank_targets(signature, libraries, goal="reverse")
ranking.targets                 # one row a perturbation and library, the best first
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from vccapp.evaluation.targets.library import ABOUT, Library
from vccapp.evaluation.targets.pairs import rank_pairs
from vccapp.evaluation.targets.ridge import fit_ridge
from vccapp.evaluation.targets.score import EXTREMES, RANDOM, compute_p, draw_signatures, keep_extremes, score_effects
from vccapp.evaluation.targets.signature import Placed, Signature, place
from vccapp.stats.false_discovery import adjust_p_values

Goal = Literal["reverse", "mimic"]
SCORES = ("cosine", "spearman", "p_random", "fdr_random", "ridge_weight")
COLUMNS = ("rank", "perturbation", "kind", "dataset", "context", "run", *SCORES, *ABOUT)


@dataclass(frozen=True)
class Ranking:
    """targets : COLUMNS, one row a perturbation and library; pairs : of one library each, see `rank_pairs`

    libraries : one row a library, how it was read
    """

    targets: pd.DataFrame
    pairs: pd.DataFrame
    libraries: pd.DataFrame


def rank_targets(
    signature: Signature, libraries: Sequence[Library], *, goal: Goal = "reverse", ridge: bool = True
) -> Ranking:
    """Each library is scored by itself, with its own mean effect; ranks and FDR are over all of them.

    cosine : negative ones reverse; the smallest are first for "reverse", the largest for "mimic"
    Raises SpecError where a library has too few genes of the signature, see `place`.
    """
    tables, pairs, read = [], [], []
    sign = -1 if goal == "reverse" else 1
    for library in libraries:
        placed = place(signature, library.effects.genes)
        scores, fit = _score(placed, library, ridge=ridge)
        about = {"kind": library.kind, "dataset": library.title, "context": library.context or "", "run": library.run}
        tables.append(library.about.assign(**about, **scores))
        strong = keep_extremes(placed.values)[0]
        both = rank_pairs(library.effects, placed.places, strong, scores["cosine"], sign=sign)
        pairs.append(both.assign(**about))
        read.append(
            {
                **about,
                "effects": len(library.labels),
                "genes": len(library.effects.genes),
                "signature_genes": len(signature.values),
                "found": placed.n_found,
                "read": int(np.count_nonzero(strong)),
                "ridge_r": fit,
            }
        )
    every = pd.concat(tables, ignore_index=True)
    every["fdr_random"] = _adjust(every["p_random"].to_numpy())
    every = every.sort_values("cosine", ascending=goal == "reverse", kind="stable", na_position="last")
    every = every.reset_index(drop=True)
    every["rank"] = np.arange(1, len(every) + 1)
    every_pair = pd.concat(pairs, ignore_index=True)
    every_pair = every_pair.sort_values("pair_cosine", ascending=goal == "reverse", kind="stable", ignore_index=True)
    return Ranking(every[list(COLUMNS)], every_pair, pd.DataFrame(read))


def explain_method(ranking: Ranking, signature: Signature, *, goal: Goal) -> str:
    """In a sentence or two, for a paper, how the ranking was made."""
    kinds = " and ".join(dict.fromkeys(ranking.targets["kind"]))
    found, read = int(ranking.libraries["found"].min()), int(ranking.libraries["read"].min())
    sign = "negative, for a reversal" if goal == "reverse" else "positive, for the same direction"
    return (
        f"{len(ranking.targets):,} {kinds} effects were ranked by the cosine ({sign}) of the signature's {read:,} most "
        f"changed genes ({found:,} of {len(signature.values):,} measured; at most {EXTREMES} up and {EXTREMES} down) "
        "with each effect, a mean log1p difference from the controls of its context, after the direction of the "
        "library's mean effect was projected out and the expression of its own targets left out; p is two-sided, "
        f"against {RANDOM} signatures with the same values, dealt to genes by random mixtures of the other effects; "
        "FDR is that of Benjamini and Hochberg over all effects."
    )


def _score(placed: Placed, library: Library, *, ridge: bool) -> tuple[dict[str, np.ndarray], float]:
    """The scores of one library, and the held-out correlation of the ridge fit; NaN without one."""
    effects, places = library.effects, placed.places
    strong = keep_extremes(placed.values)[0]
    random = draw_signatures(effects, places, strong)
    scores = score_effects(effects, places, np.vstack([strong, random.signatures]))
    cosine = scores.cosine[:, 0]
    found = {
        "cosine": cosine,
        "spearman": scores.spearman,
        "p_random": compute_p(cosine, scores.cosine[:, 1:], random.weights),
    }
    if not ridge:
        return found | {"ridge_weight": np.full(len(cosine), np.nan)}, float("nan")
    fit = fit_ridge(effects, places, placed.values, cosine)
    return found | {"ridge_weight": fit.weights}, fit.held_out_r


def _adjust(p: np.ndarray) -> np.ndarray:
    """FDR of those that have a p."""
    out, known = np.full(len(p), np.nan), np.isfinite(p)
    out[known] = adjust_p_values(p[known])
    return out
