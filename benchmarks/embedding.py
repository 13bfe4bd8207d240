"""How much a gene embedding says about perturbation effects, on real data.

    python benchmarks/embedding.py --data FOLDER default other.npz ...          # writes results/embedding.json

FOLDER holds papalexi2021_thp1, perturbench_devel and vcc2025_h1_subset (and vcc2025_h1_training_stats, if there).
All embeddings are judged on the genes and perturbations that every one of them knows. Three measures:

de_lift        Of the K nearest genes of a DE gene, the share that is DE for the same perturbation, over the share
               among all genes: 1 says nothing. Mean over perturbations with MIN_DEGS or more DE genes, and its
               standard error over these.
co_response    Correlation, over all pairs of genes, of the cosine of their vectors with the correlation of their
               effects across perturbations (each gene's effects centred); for data sets of MIN_PERTURBATIONS or more.
leave one out  Each perturbation predicted by ridge and by nearest neighbours trained on all others of its data set:
               r_deviation, the correlation of predicted and real deviation from the mean effect; pds, the share of
               other perturbations that are further (L1) from the prediction than the real one. Means over
               perturbations; pds is 0.5 and r_deviation 0 for a model that knows nothing.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from kit.measure import describe_machine, write_results
from kit.real_sets import open_sets

from vccapp.data.embeddings import Embedding, open_embedding
from vccapp.data.embeddings.base import targets_of
from vccapp.data.splits.split import split_from_lists
from vccapp.models.base import make_model
from vccapp.stats.index import Index

K = 20
MIN_DEGS = 10
MIN_PERTURBATIONS = 5
MODELS = {"ridge": {"kernel": "linear", "strength": 1}, "knn": {}}


def restrict(embedding: Embedding, genes: list[str]) -> Embedding:
    """The same for some of its genes, under these names."""
    return Embedding(tuple(genes), embedding.rows(genes), embedding.name, embedding.provenance)


def knows_all(embeddings: dict[str, Embedding], label: str) -> bool:
    return all(embedding.find(gene) is not None for embedding in embeddings.values() for gene in targets_of(label))


def lift(embedding: Embedding, significant: np.ndarray) -> np.ndarray:
    """(n,) of each row of significant (n, genes of the embedding), NaN below MIN_DEGS."""
    vectors = embedding.matrix - embedding.mean
    vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    out = np.full(len(significant), np.nan)
    for row, degs in enumerate(significant):
        at = np.flatnonzero(degs)
        if MIN_DEGS <= len(at) <= len(degs) / 2:
            cosine = vectors[at] @ vectors.T
            cosine[np.arange(len(at)), at] = -np.inf
            nearest = np.argpartition(-cosine, K, axis=1)[:, :K]
            out[row] = degs[nearest].mean() / ((len(at) - 1) / (len(degs) - 1))
    return out


def co_response(embedding: Embedding, deltas: np.ndarray) -> float:
    """Of deltas (perturbations, genes of the embedding)."""
    vectors = embedding.matrix - embedding.mean
    varies = deltas.std(axis=0) > 0
    cosine, effects = np.corrcoef(vectors[varies]), np.corrcoef(deltas[:, varies].T)
    pairs = np.triu_indices(int(varies.sum()), 1)
    return float(np.corrcoef(cosine[pairs], effects[pairs])[0, 1])


def leave_one_out(index: Index, path: Path, labels: list[str], *, model: str) -> pd.DataFrame:
    """perturbation, r_deviation, pds of each label, predicted from all the others."""
    real = index.deltas(labels).astype(float)
    rows = []
    for i, label in enumerate(labels):
        train = [other for other in labels if other != label]
        split = split_from_lists(name="loo", dataset="0", train=train, test=[label])
        fitted = make_model(model, {"embedding": str(path)} | MODELS[model]).fit(index, split)
        predicted = fitted.predict([label])[0].astype(float)
        mean = fitted.mean_effect * len(targets_of(label))
        keep = ~np.isin(fitted.genes, targets_of(label))
        deviation, own = (predicted - mean)[keep], (real[i] - mean)[keep]
        r = np.corrcoef(deviation, own)[0, 1] if deviation.std() > 0 else 0.0
        distance = np.abs(real - predicted)[:, keep].sum(axis=1)
        pds = ((distance > distance[i]).sum() + 0.5 * ((distance == distance[i]).sum() - 1)) / (len(labels) - 1)
        rows.append((label, r, pds))
    return pd.DataFrame(rows, columns=["perturbation", "r_deviation", "pds"])


def mean_and_error(values: pd.Series | np.ndarray) -> dict[str, float]:
    values = np.asarray(values, float)
    values = values[~np.isnan(values)]
    spread = values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else 0.0
    return {"mean": round(float(values.mean()), 4), "se": round(float(spread), 4), "n": len(values)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("embeddings", nargs="+", help="default, or paths")
    parser.add_argument("--data", type=Path, required=True)
    args = parser.parse_args()
    embeddings = {Path(name).stem: open_embedding(name) for name in args.embeddings}
    results = []
    with tempfile.TemporaryDirectory() as scratch:
        for real in open_sets(args.data, Path(scratch)):
            genes = [gene for gene in real.genes if knows_all(embeddings, gene)]
            at = [real.genes.index(gene) for gene in genes]
            labels = [label for label in real.labels if knows_all(embeddings, label)]
            for name, embedding in embeddings.items():
                row = {"embedding": name, "set": real.title, "genes": len(genes), "perturbations": len(labels)}
                row["de_lift"] = mean_and_error(lift(restrict(embedding, genes), real.significant[:, at]))
                if len(real.labels) >= MIN_PERTURBATIONS:
                    deltas = real.index.deltas(real.labels)[:, at]
                    row["co_response"] = round(co_response(restrict(embedding, genes), deltas), 4)
                path = Path(scratch) / "restricted.npz"
                names = sorted({*genes, *(gene for label in labels for gene in targets_of(label))})
                np.savez(path, genes=np.array(names), embedding=embedding.rows(names))
                for model in MODELS if len(labels) >= MIN_PERTURBATIONS else ():
                    frame = leave_one_out(real.index, path, labels, model=model)
                    row |= {f"{model}_{key}": mean_and_error(frame[key]) for key in ("r_deviation", "pds")}
                results.append(row)
                print(row, flush=True)
    write_results("embedding", {"machine": describe_machine(), "records": results})


if __name__ == "__main__":
    main()
