"""How much a gene embedding says about perturbation effects, on real data.

    python benchmarks/embedding.py --data FOLDER --wheels WHEELS text default other.npz  # writes results/embedding.json

The first embedding is the one that the others are compared with, perturbation by perturbation (paired t-test).

L1000 decides: the effects of some 900 over-expressed genes (FOLDER/l1000_overexpression), each predicted once in five
folds, by models as they come but for a strength of 1; a target without a vector counts, as the mean effect
(`benchmarks/kit/signatures.py` has cosine and pds). Several joined by + are judged by L1000 alone. WHEELS holds the
wheel of goatools (tools/requirements.txt).

The small sets (papalexi2021_thp1, perturbench_devel, vcc2025_h1_subset and, if there, vcc2025_h1_training_stats) only
tell whether something is worse: 5 to 33 perturbations rank no embeddings. Here all embeddings are judged on the genes
and perturbations that every one of them knows. Three measures:

de_lift        Of the K nearest genes of a DE gene, the share that is DE for the same perturbation, over the share
               among all genes: 1 says nothing. Mean over perturbations with MIN_DEGS or more DE genes, and its
               standard error over these.
co_response    Correlation, over all pairs of genes, of the cosine of their vectors with the correlation of their
               effects across perturbations (each gene's effects centred); for data sets of MIN_PERTURBATIONS or more.
leave one out  Each perturbation predicted by ridge and by nearest neighbours trained on all others of its data set:
               r_deviation, the correlation of predicted and real deviation from the mean effect; pds, the share of
               other perturbations that are further (L1) from the prediction than the real one. Means over
               perturbations; pds is 0.5 and r_deviation 0 for a model that knows nothing. `all sets` pools them.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from kit.measure import describe_machine, write_results
from kit.real_sets import open_sets
from kit.signatures import cross_validate, open_signatures

from vccapp.data.embeddings import Embedding, open_embedding
from vccapp.data.embeddings.base import targets_of
from vccapp.data.splits.split import split_from_lists
from vccapp.models.base import make_model
from vccapp.stats.index import Index

K = 20
MIN_DEGS = 10
MIN_PERTURBATIONS = 5
MODELS = {"ridge": {"strength": 1}, "knn": {}}


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
    varies = deltas.std(axis=0) > 1e-6
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
        mean = fitted.mean_effects([label])[0].astype(float)
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


def compare(frame: pd.DataFrame, base: pd.DataFrame) -> dict[str, dict[str, float]]:
    """Mean, standard error and n of each measure, and of its gain over `base` with the p of a paired t-test."""
    from scipy.stats import ttest_rel

    assert frame["perturbation"].tolist() == base["perturbation"].tolist()
    out = {}
    for name in frame.columns.drop("perturbation"):
        out[name] = mean_and_error(frame[name])
        if frame is not base:
            p = float(ttest_rel(frame[name], base[name]).pvalue)
            out[f"{name}_gain"] = mean_and_error(frame[name] - base[name]) | {"p": float(f"{p:.2g}")}
    return out


def judge_signatures(names: list[str], data: Path, wheels: Path) -> list[dict[str, object]]:
    signatures = open_signatures(data, wheels)
    records = []
    for model, params in MODELS.items():
        frames = {name: cross_validate(signatures, name, model=model, params=params) for name in names}
        for name, frame in frames.items():
            row = {"embedding": Path(name).stem, "set": "L1000", "model": model}
            records.append(row | compare(frame, frames[names[0]]))
            print(records[-1], flush=True)
    return records


def judge_small_sets(names: list[str], data: Path, scratch: Path) -> list[dict[str, object]]:
    embeddings = {Path(name).stem: open_embedding(name) for name in names}
    records = []
    pooled: dict[tuple[str, str], list[pd.DataFrame]] = {}
    for real in open_sets(data, scratch):
        genes = [gene for gene in real.genes if knows_all(embeddings, gene)]
        at = [real.genes.index(gene) for gene in genes]
        labels = [label for label in real.labels if knows_all(embeddings, label)]
        for name, embedding in embeddings.items():
            row = {"embedding": name, "set": real.title, "genes": len(genes), "perturbations": len(labels)}
            lifts = lift(restrict(embedding, genes), real.significant[:, at])
            row |= {"de_lift": mean_and_error(lifts)} if np.isfinite(lifts).any() else {}
            if len(real.labels) >= MIN_PERTURBATIONS:
                deltas = real.index.deltas(real.labels)[:, at]
                row["co_response"] = round(co_response(restrict(embedding, genes), deltas), 4)
            path = scratch / "restricted.npz"
            known = sorted({*genes, *(gene for label in labels for gene in targets_of(label))})
            np.savez(path, genes=np.array(known), embedding=embedding.rows(known))
            for model in MODELS if len(labels) >= MIN_PERTURBATIONS else ():
                frame = leave_one_out(real.index, path, labels, model=model)
                row |= {f"{model}_{key}": mean_and_error(frame[key]) for key in ("r_deviation", "pds")}
                pooled.setdefault((model, name), []).append(frame)
            records.append(row)
            print(row, flush=True)
    for model in MODELS:
        frames = {name: pd.concat(pooled[model, name], ignore_index=True) for name in embeddings}
        base = frames[next(iter(frames))]
        records += [
            {"embedding": name, "set": "all sets", "model": model} | compare(frame, base)
            for name, frame in frames.items()
        ]
    return records


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("embeddings", nargs="+", help="names or paths; the first is what others are compared with")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--wheels", type=Path, required=True)
    args = parser.parse_args()
    records = judge_signatures(args.embeddings, args.data, args.wheels)
    with tempfile.TemporaryDirectory() as scratch:
        alone = [name for name in args.embeddings if " + " not in name]
        records += judge_small_sets(alone, args.data, Path(scratch))
    write_results("embedding", {"machine": describe_machine(), "records": records})


if __name__ == "__main__":
    main()
