"""DEG counts of generated cells against those of real cells of the same number, on held-out perturbations of real sets.

    python benchmarks/degs_of_cells.py [--data ../shared/data] [--labels 12] [--controls 1000]

Each held-out perturbation is tested against the same real controls (Mann-Whitney, Benjamini-Hochberg, FDR < 0.05, on
log1p of cells brought to the controls' median depth): once with its real cells, once with as many generated ones.
`perfect`: the real pseudobulk is the prediction; `ridge`: a run that has not seen them; `none`: no effect at all, whose
DEGs are all false. Half of the controls are what cells are made from, the other half what they are tested against.
Writes results/degs_of_cells.json.
"""

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from kit.measure import describe_machine, write_results
from kit.real_sets import RealSet, open_sets
from scipy.sparse import csr_matrix
from scipy.stats import false_discovery_control, mannwhitneyu

from vccapp.data.reading.opening import open_dataset
from vccapp.data.schema import CONTROL, Columns
from vccapp.data.significance import FDR
from vccapp.data.splits.split import make_split
from vccapp.errors import VccAppError
from vccapp.models.base import make_model
from vccapp.models.parts.counts import Counts, Stream, Thinning, draw_cells, measure_controls, thin_cells

DEVEL = Columns(perturbation="condition", control="control")
METHODS = ("thin", "negative_binomial")


def normalise(cells: csr_matrix, depth: float) -> np.ndarray:
    x = cells.toarray().astype(np.float64)
    return np.log1p(x * (depth / np.maximum(x.sum(axis=1), 1))[:, None])


def count_degs(cells: np.ndarray, controls: np.ndarray) -> np.ndarray:
    """Genes (bool) at FDR < 0.05."""
    with np.errstate(all="ignore"):
        p = np.nan_to_num(mannwhitneyu(cells, controls, axis=0, method="asymptotic").pvalue, nan=1.0)
    return false_discovery_control(p) < FDR


def generate(
    controls: csr_matrix, wanted: np.ndarray | None, n: int, *, target_sum: float, depth: float, method: str, seed: int
) -> csr_matrix:
    """n cells at a median depth from these controls, as a submission makes them.

    wanted : mean log1p of each gene at `target_sum`; None: that of the controls
    """
    profile = measure_controls([controls])
    totals = np.asarray(controls.sum(axis=1), np.float64).ravel()
    mean = normalise(controls, target_sum).mean(axis=0)
    share = profile.shares(mean, 0 if wanted is None else wanted - mean, target_sum=target_sum)
    order = np.random.default_rng(seed).permutation(controls.shape[0])
    rows = np.sort(np.resize(order, n))
    used = np.append(False, rows[1:] == rows[:-1])
    stream = Stream(seed, method, np.arange(n))
    scale = depth / float(np.median(totals[rows]))
    if method == "negative_binomial":
        return draw_cells(totals[rows] * scale, share, profile.dispersion, stream=stream)
    ends = controls.indptr.astype(np.int64)
    counts = Counts(controls.data.astype(np.uint32), controls.indices, ends, totals, rows, used, controls.shape[1])
    return thin_cells(counts, Thinning.plan(profile, share, scale=scale), stream=stream)


def rows_of(one: RealSet, path: Path, choice: argparse.Namespace) -> Iterator[dict]:
    """One row a held-out perturbation."""
    index, rng = one.index, np.random.default_rng(0)
    dataset = open_dataset(path, columns=None if path.stem.count("-") or "counts" in path.stem else DEVEL)
    split = make_split(index.perturbed, name="s", dataset=index.meta["fingerprint"])
    held = [label for label in (*split.test, *split.val) if "+" not in label][: choice.labels]
    labels = index.cells["perturbation"].to_numpy()
    controls = rng.permutation(np.flatnonzero(labels == CONTROL))[: 2 * choice.controls]
    made_from, against = (dataset.read_rows(np.sort(half)) for half in np.array_split(controls, 2))
    target_sum = float(index.meta["target_sums"][0])
    reference = normalise(against, target_sum)
    model = make_model("ridge").fit(index, split, seed=0)
    predicted = {
        "perfect": list(index.means(held).astype(np.float64)),  # of all cells
        "ridge": list(index.mean(CONTROL).astype(np.float64) + model.predict(held)),
        "none": [None] * len(held),
    }
    for place, label in enumerate(held):
        cells = dataset.read_rows(np.sort(rng.permutation(np.flatnonzero(labels == label))[: choice.cells]))
        real = count_degs(normalise(cells, target_sum), reference)
        depth = float(np.median(np.asarray(cells.sum(axis=1))))
        row = {"set": one.title, "perturbation": label, "cells": cells.shape[0], "genes": len(one.genes)}
        row["real"] = int(real.sum())
        for name, means in predicted.items():
            for method in METHODS:
                about = {"target_sum": target_sum, "depth": depth, "method": method, "seed": place}
                made = generate(made_from, means[place], cells.shape[0], **about)
                found = count_degs(normalise(made, target_sum), reference)
                row |= {f"{name}, {method}": int(found.sum()), f"{name}, {method}, shared": int((found & real).sum())}
        yield row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path(__file__).resolve().parents[2] / "shared" / "data")
    parser.add_argument("--labels", type=int, default=12, help="held-out perturbations of each set, at most")
    parser.add_argument("--controls", type=int, default=1000, help="to make cells from, and as many to test against")
    parser.add_argument("--cells", type=int, default=400, help="of a perturbation, at most")
    parser.add_argument("--scratch", type=Path)
    choice = parser.parse_args()
    result = describe_machine(["vccapp", "numpy", "scipy"]) | {"fdr": FDR, "sets": {}, "rows": []}
    with tempfile.TemporaryDirectory(dir=choice.scratch) as name:
        scratch = choice.scratch or Path(name)
        for one in open_sets(choice.data, scratch):
            if one.index is None or one.index.meta["value_space"] != "counts":
                continue
            try:
                rows = list(rows_of(one, find_file(one, choice, scratch), choice))
            except VccAppError as error:
                print(f"{one.title}: {error}")
                continue
            result["rows"] += rows
            result["sets"][one.title] = summed = summarise(rows)
            print(one.title, summed, flush=True)
    write_results("degs_of_cells", result)


def summarise(rows: list[dict]) -> dict:
    """Medians over the perturbations of a set, and how counts go together."""
    keys = [key for key in rows[0] if "," in key and not key.endswith("shared")]
    found = {
        "perturbations": len(rows),
        "genes": rows[0]["genes"],
        "cells": float(np.median([r["cells"] for r in rows])),
    }
    found["real"] = float(np.median([row["real"] for row in rows]))
    for key in keys:
        found[key] = float(np.median([row[key] for row in rows]))
    shared = [row["perfect, thin, shared"] / max(row["real"], 1) for row in rows if row["real"]]
    found["real DEGs found again, perfect, thin"] = round(float(np.mean(shared)), 2) if shared else None
    return found


def find_file(one: RealSet, choice: argparse.Namespace, scratch: Path) -> Path:
    """The file that a set's index is of."""
    for path in [*scratch.glob("*.h5ad"), *choice.data.glob("*/*.h5ad")]:
        if (scratch / f"{path.stem}.index").resolve() == one.index.folder.resolve():
            return path
    raise FileNotFoundError(one.title)


if __name__ == "__main__":
    main()
