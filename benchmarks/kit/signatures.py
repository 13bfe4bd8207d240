"""Real effects of over-expressed genes (L1000 consensus signatures), as pseudobulks for models that need no cells.

    signatures = open_signatures(data, wheels)
    frame = cross_validate(signatures, "default", model="ridge", params={"strength": 1})    # perturbation, cosine, pds

An effect is the z-scores of the genes that a perturbation changes significantly, cut at +-MAX_Z, and 0 elsewhere; what
it does to its own target is left out. Each perturbation is predicted once, by a fit of the fold that holds it out.
Predicted and real effects are compared as deviations from the mean effect of that fold's training part:

cosine    of the two
pds       share of all other perturbations whose real deviation is less like (cosine) the predicted one; 0.5 by chance
"""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from kit.measure import TOOLS

from vccapp.data.embeddings import Embedding, open_embedding
from vccapp.data.schema import CONTROL, positions_of
from vccapp.data.splits.split import split_from_lists
from vccapp.models.base import make_model
from vccapp.stats.pseudobulks import ByLabel

MIN_GENES = 5
MAX_Z = 10.0
FOLDS, SEED = 5, 0
FILE = Path("l1000_overexpression", "dysreg-overexpression.tsv.gz")


class Signatures(ByLabel):
    """Effects (perturbations, genes) beside a control without expression, which an index would have."""

    labels: list[str] = []
    genes = pd.DataFrame()

    def __init__(self, targets: Sequence[str], genes: Sequence[str], effects: np.ndarray) -> None:
        self.labels, self.genes = [CONTROL, *targets], pd.DataFrame({"gene": list(genes)})
        self.meta = {"fingerprint": "l1000", "value_space": "z"}
        self.effects = effects.copy()
        column = positions_of(genes)
        self.own = [column.get(target) for target in targets]
        for row, at in enumerate(self.own):
            if at is not None:
                self.effects[row, at] = 0
        self._mean = np.vstack([np.zeros(len(genes)), self.effects]).astype(np.float32)

    def array(self, name: str) -> np.ndarray:
        return {"mean": self._mean}[name]

    def rows(self, labels: Sequence[str]) -> list[int]:
        place = positions_of(self.labels)
        return [place[label] for label in labels]


def open_signatures(data: Path, wheels: Path, *, known: Embedding | None = None) -> Signatures:
    """Perturbations with MIN_GENES changed genes whose target has a vector in `known` (default: the view text).

    wheels : folder with the wheel of goatools, which names the genes
    """
    sys.path.insert(0, str(TOOLS))
    from build_embedding import find_wheel, read_genes

    table = pd.read_csv(data / FILE, sep="\t")
    symbols = {gene.ncbi: gene.symbol for gene in read_genes(find_wheel(wheels, "goatools"))}
    symbols |= dict(zip(table["entrez_gene_id"], table["symbol"], strict=True))
    known = known or open_embedding("text")
    counts = table.groupby("perturbagen").size()
    kept = [
        ncbi for ncbi in counts[counts >= MIN_GENES].index if ncbi in symbols and known.find(symbols[ncbi]) is not None
    ]
    wide = table.pivot_table("z_score", "perturbagen", "entrez_gene_id").fillna(0).clip(-MAX_Z, MAX_Z)
    return Signatures(
        [symbols[ncbi] for ncbi in kept], [symbols[ncbi] for ncbi in wide.columns], wide.loc[kept].to_numpy()
    )


def cross_validate(
    signatures: Signatures, embedding: str, *, model: str, params: Mapping[str, Any], seed: int = SEED
) -> pd.DataFrame:
    """perturbation, cosine, pds of every perturbation. seed : which ones share a fold"""
    labels, n = signatures.perturbed, len(signatures.perturbed)
    order = np.random.default_rng(seed).permutation(n)
    rows: list[tuple[str, float, float]] = []
    for fold in range(FOLDS):
        test = np.sort(order[fold::FOLDS])
        train = np.setdiff1d(order, test)
        split = split_from_lists(
            name="l1000", dataset="0" * 16, train=[labels[i] for i in train], test=[labels[i] for i in test]
        )
        fitted = make_model(model, {"embedding": embedding, **params}).fit(signatures, split)
        mean = signatures.effects[train].mean(axis=0)
        predicted = fitted.predict([labels[i] for i in test]).astype(float) - mean
        rows += [
            (labels[i], *judge(predicted[k], signatures.effects - mean, i, signatures.own[i]))
            for k, i in enumerate(test)
        ]
    return pd.DataFrame(rows, columns=["perturbation", "cosine", "pds"])


def judge(predicted: np.ndarray, real: np.ndarray, row: int, own: int | None) -> tuple[float, float]:
    """cosine and pds of a predicted deviation (genes,) whose real one is a row of `real`; own : the target's column"""
    squares, products = (real**2).sum(axis=1), real @ predicted
    length = float(predicted @ predicted)
    if own is not None:
        squares, products = squares - real[:, own] ** 2, products - real[:, own] * predicted[own]
        length -= predicted[own] ** 2
    cosine = products / np.maximum(np.sqrt(np.maximum(squares * length, 0)), 1e-12)
    others = np.delete(cosine, row)
    return float(cosine[row]), float(((others < cosine[row]) + 0.5 * (others == cosine[row])).mean())
