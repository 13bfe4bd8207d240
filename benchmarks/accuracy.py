"""How well every model predicts perturbations that it has not seen: simulated data with predictable effects, real sets.

    python benchmarks/accuracy.py --data FOLDER [--peers PYTHON] [--folds 5] [--cases NAME ...] [--models NAME ...]
    python benchmarks/accuracy.py --report         # results/accuracy.json -> docs/results.md

FOLDER holds papalexi2021_thp1 and perturbench_devel; PYTHON is the interpreter of an environment with scouter-learn
0.1.10 and arc-state 0.11.1, whose models are trained as peer_models.py says. Each perturbation is predicted once, by
the fit of the fold that tests it (3 folds train, 1 validates, 1 is tested); all models of a case see the same folds.
Scores are of all perturbations together:

des            official definition of 2025, from cells: the model's cells of each perturbation (as many as there are
               real ones) with the real controls, against the real cells; own computation
pds, mae       of 2025, from pseudobulks; PDS ranks among all perturbations of the case
pearson_delta  correlation of predicted and real deltas over genes
r_deviation    the same after the mean effect of the fold's training perturbations is taken off both: what a model
               knows beyond the mean (0 for the mean itself)

`confidence` of each perturbation (`vccapp.evaluation.confidence`) is by the training part of the fold that tests it.
`repeat` is what a second experiment would get, `perfect` what the true means would (`vccapp.evaluation.limits`).
To add a model, add a line to CONTENDERS: a function (case, split, seed, peers) -> Predictor.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np
import pandas as pd
from kit.measure import RESULTS, describe_machine, write_results
from kit.peer_models import LEARNING_RATE, SET_SIZE, SETS, STATE_STEPS, predict_with
from kit.real_sets import index_file, index_part
from kit.report import write_report
from scipy.sparse import csr_matrix, vstack

from vccapp.data.reading.dataset import Dataset
from vccapp.data.reading.opening import open_dataset
from vccapp.data.schema import CONTROL, Columns
from vccapp.data.simulation.experiment import SimulationSpec
from vccapp.data.simulation.simulate import simulate
from vccapp.data.splits.split import Split, make_folds, split_from_lists
from vccapp.errors import SpecError
from vccapp.evaluation.confidence import Confidence
from vccapp.evaluation.limits import compute_limits
from vccapp.evaluation.profiles import predicted_profiles, real_profiles
from vccapp.evaluation.scoring.score import compute_metrics
from vccapp.evaluation.scoring.score_files import score_files
from vccapp.models.base import MODELS, make_model
from vccapp.stats.index import Index
from vccapp.training.validation import make_validation

METRICS = ("pds", "mae", "pearson_delta")
COLUMNS = ("des", "pds", "mae", "pearson_delta", "r_deviation")
SEED = 0


@dataclass(frozen=True)
class Case:
    """Data to predict, the gene embedding that fits them, other screens of the same genes, and how they are split."""

    title: str
    index: Index
    path: Path
    columns: Columns | None = None
    embedding: str = "default"
    sources: tuple[Path, ...] = ()
    splitter: Callable[["Case", int], list[Split]] = field(default=lambda case, k: fold_by_chance(case, k))

    @property
    def labels(self) -> list[str]:
        return self.index.perturbed

    def open(self) -> Dataset:
        return open_dataset(self.path, columns=self.columns)


class Predictor(Protocol):
    """A fitted model."""

    def predict(self, perturbations: Sequence[str]) -> np.ndarray: ...
    def cells(self, perturbation: str, controls: csr_matrix) -> csr_matrix: ...


def ours(case: Case, split: Split, seed: int, peers: Path | None, *, model: str, **params: object) -> Predictor:
    """One of our models with its defaults, and the embedding of the case where it takes one."""
    given = {"embedding": case.embedding} if MODELS[model].takes_embedding else {}
    validate = make_validation(case.index, split)
    return make_model(model, given | params).fit(case.index, split, seed=seed, validate=validate)


def transfer(case: Case, split: Split, seed: int, peers: Path | None) -> Predictor:
    return ours(case, split, seed, peers, model="transfer", sources=",".join(map(str, case.sources)))


class PeerCells:
    """Cells that a peer predicted, as a Predictor. Its values below zero become zero, as every scorer needs them."""

    def __init__(self, cells: dict[str, np.ndarray], control_mean: np.ndarray) -> None:
        self._cells, self._control_mean = cells, control_mean

    def predict(self, perturbations: Sequence[str]) -> np.ndarray:
        return np.array([self._cells[label].mean(axis=0) for label in perturbations]) - self._control_mean

    def cells(self, perturbation: str, controls: csr_matrix) -> csr_matrix:
        return csr_matrix(np.resize(self._cells[perturbation].clip(0), controls.shape))


def peer(case: Case, split: Split, seed: int, peers: Path | None, *, model: str) -> Predictor:
    if peers is None:
        raise SpecError("no_peers", "name the environment of the originals with --peers")
    return PeerCells(predict_with(model, peers, case, split, seed=seed), case.index.control_mean)


STEPS = {"sets": SETS, "set_size": SET_SIZE, "steps": STATE_STEPS, "learning_rate": LEARNING_RATE}
CONTENDERS: dict[str, Callable[[Case, Split, int, Path | None], Predictor]] = {
    "control mean": partial(ours, model="control_mean"),
    "perturbation mean": partial(ours, model="perturbation_mean"),
    "knock-down mean": partial(ours, model="knockdown_mean"),
    "additive": partial(ours, model="additive"),
    "bilinear": partial(ours, model="bilinear"),
    "ridge": partial(ours, model="ridge", kernel="linear"),
    "kernel ridge": partial(ours, model="ridge"),
    "kernel ridge, strength 1": partial(ours, model="ridge", strength=1),
    "nearest genes": partial(ours, model="knn"),
    "transfer": transfer,
    "ensemble": partial(ours, model="ensemble"),
    "Scouter": partial(ours, model="scouter"),
    "Scouter, original": partial(peer, model="scouter"),
    "STATE": partial(ours, model="state", **STEPS),
    "STATE, original": partial(peer, model="state"),
}


def fold_by_chance(case: Case, k: int) -> list[Split]:
    return make_folds(case.labels, name="fold", dataset="0" * 16, k=k, seed=SEED)


def fold_pairs(case: Case, k: int) -> list[Split]:
    """Singles train in every fold; of the pairs whose genes are among them one part is tested, the next validates."""
    singles = [label for label in case.labels if "+" not in label]
    pairs = [label for label in case.labels if "+" in label and set(label.split("+")) <= set(singles)]
    parts = np.array_split(np.random.default_rng(SEED).permutation(pairs), k)
    return [
        split_from_lists(
            name=f"pairs{i + 1}", dataset="0" * 16, train=singles, val=list(parts[(i + 1) % k]), test=list(parts[i])
        )
        for i in range(k)
    ]


def open_cases(data: Path | None, scratch: Path) -> dict[str, Callable[[], Case]]:
    """Each case by name, made when it is asked for."""
    devel = None if data is None else data / "perturbench_devel" / "devel.h5ad"
    columns = Columns(perturbation="condition", control="control")

    def simulated(n_pairs: int = 0) -> Case:
        path = scratch / f"simulated{n_pairs}.h5ad"
        if not path.exists():
            spec = SimulationSpec(seed=1, n_cells=9000, n_genes=1500, n_perturbations=80 - n_pairs, n_pairs=n_pairs)
            simulate(spec, path)
        own = str(scratch / f"{path.stem}.truth" / "gene_embedding.npz")
        splitter = fold_pairs if n_pairs else fold_by_chance
        title = "Simulated, pairs" if n_pairs else "Simulated"
        return Case(title, index_file(path, scratch), path, embedding=own, splitter=splitter)

    def papalexi() -> Case:
        path = data / "papalexi2021_thp1" / "papalexi2021_thp1_20729x299_counts.h5ad"
        return Case("Papalexi THP-1", index_file(path, scratch), path)

    def norman(splitter: Callable[[Case, int], list[Split]], title: str) -> Case:
        index = index_part(devel, scratch, name="norman", columns=columns, dataset="norman19")
        return Case(title, index, scratch / "norman.h5ad", columns, splitter=splitter)

    def mcfaline() -> Case:
        lines = ("A172", "T98G", "U87MG")
        first, *_ = [index_part(devel, scratch, name=line, columns=columns, cell_type=line) for line in lines]
        sources = tuple(scratch / f"{line}.index" for line in lines[1:])
        return Case("McFaline A172", first, scratch / "A172.h5ad", columns, sources=sources)

    def states() -> Case:
        path = scratch / "states.h5ad"
        if not path.exists():
            spec = SimulationSpec(seed=1, n_cells=9000, n_genes=400, n_perturbations=80, n_states=2)
            simulate(spec.model_copy(update={"weakest": 0.3, "n_programmes": 4}), path)
        own, columns = str(scratch / "states.truth" / "gene_embedding.npz"), Columns(context="state")
        return Case("Simulated, two states", index_file(path, scratch, columns=columns), path, columns, embedding=own)

    cases = {"simulated": simulated, "simulated-pairs": partial(simulated, 20), "simulated-states": states}
    if data is not None:
        cases |= {
            "papalexi": papalexi,
            "norman": lambda: norman(fold_by_chance, "Norman K562"),
            "norman-pairs": lambda: norman(fold_pairs, "Norman K562, pairs"),
            "mcfaline": mcfaline,
        }
    return cases


def correlate_deviations(real: np.ndarray, predicted: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """Of each row, the correlation of what is left of real and predicted deltas; 0 where nothing is left."""
    pairs = zip(real - mean, predicted - mean, strict=True)
    return np.array([np.corrcoef(a, b)[0, 1] if a.std() > 1e-9 and b.std() > 1e-6 else 0.0 for a, b in pairs])


def score_cells(case: Case, model: Predictor, labels: Sequence[str], scratch: Path) -> pd.Series:
    """DES by label, of the model's cells of each label, as many as there are real ones, with the real controls.

    NaN in data of several contexts, each of which has controls of its own.
    """
    import anndata as ad

    if case.index.contexts:
        return pd.Series(np.nan, index=list(labels))
    dataset = case.open()
    perturbation = dataset.cells["perturbation"].to_numpy(str)
    own = np.flatnonzero(perturbation == CONTROL)
    controls = case.index.normalise(dataset.read_rows(own), own)
    rng = np.random.default_rng(0)
    parts, names = {"real": [controls], "predicted": [controls]}, [CONTROL] * controls.shape[0]
    for label in labels:
        rows = np.flatnonzero(perturbation == label)
        parts["real"].append(case.index.normalise(dataset.read_rows(rows), rows))
        drawn = controls[np.sort(rng.integers(controls.shape[0], size=len(rows)))]
        parts["predicted"].append(model.cells(label, drawn))
        names += [label] * len(rows)
    files = {}
    for side, blocks in parts.items():
        obs = pd.DataFrame({"target_gene": names}, index=[f"c{i}" for i in range(len(names))])
        var = pd.DataFrame(index=case.index.genes["gene"].to_numpy(str))
        files[side] = scratch / f"{side}.h5ad"
        ad.AnnData(vstack(blocks).tocsr().astype(np.float32), obs=obs, var=var).write_h5ad(files[side])
    frame = score_files(open_dataset(files["real"]), open_dataset(files["predicted"]), season="2025")
    return frame.set_index("perturbation")["des"]


def run_case(case: Case, *, k: int, models: Sequence[str], peers: Path | None, scratch: Path) -> dict:
    """case, train, labels, confidence; by model its seconds, scores in the order of the labels, or why it has none."""
    folds = case.splitter(case, k)
    labels = sorted(label for fold in folds for label in fold.test)
    real = real_profiles(case.index, labels)
    record = {"case": case.title, "folds": k, "train": len(folds[0].train), "labels": labels}
    scores: dict[str, dict[str, list]] = {}
    for limit, table in compute_limits(case.index, labels, METRICS).items():
        own = table.set_index("perturbation").reindex(labels)
        scores[limit] = {name: round_all(own[name]) for name in METRICS}
    record["confidence"] = round_all(measure_folds(case, folds).loc[labels])
    seconds, skipped = {}, {}
    for name in models:
        try:
            deltas, by_cells, beyond, seconds[name] = predict_folds(case, folds, labels, name, peers, scratch)
        except SpecError as error:
            skipped[name] = str(error)
            continue
        table = compute_metrics(real, predicted_profiles(case.index, deltas, labels), METRICS)
        table = table.set_index("perturbation").loc[labels].assign(des=by_cells, r_deviation=beyond)
        scores[name] = {column: round_all(table[column]) for column in COLUMNS}
        print(f"{case.title}: {name}, {table[list(COLUMNS)].mean().round(3).to_dict()}", flush=True)
    return record | {"seconds": seconds, "skipped": skipped, "scores": scores}


def measure_folds(case: Case, folds: Sequence[Split]) -> pd.Series:
    """The confidence of each label, from the training part of the fold that tests it."""
    found = [
        pd.Series(Confidence.of(case.index, fold.train, embedding=case.embedding).measure(fold.test), fold.test)
        for fold in folds
    ]
    return pd.concat(found)


def predict_folds(
    case: Case, folds: Sequence[Split], labels: Sequence[str], name: str, peers: Path | None, scratch: Path
) -> tuple[np.ndarray, pd.Series, pd.Series, float]:
    """Deltas, DES and r_deviation of each label, from the fit of the fold that tests it; seconds of all fits."""
    row = {label: i for i, label in enumerate(labels)}
    deltas, seconds = np.empty((len(labels), len(case.index.genes)), np.float32), 0.0
    by_cells, beyond = [], pd.Series(0.0, index=list(labels))
    for fold in folds:
        start = time.perf_counter()
        model = CONTENDERS[name](case, fold, SEED, peers)
        tested = sorted(fold.test)
        found = model.predict(tested)
        seconds += time.perf_counter() - start
        mean = case.index.deltas(list(fold.train)).mean(axis=0)
        deltas[[row[label] for label in tested]] = found
        beyond[tested] = correlate_deviations(case.index.deltas(tested), found, mean)
        by_cells.append(score_cells(case, model, tested, scratch))
    return deltas, pd.concat(by_cells), beyond, seconds


def round_all(values: pd.Series) -> list[float | None]:
    return [None if np.isnan(value) else round(float(value), 5) for value in values]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path)
    parser.add_argument("--peers", type=Path, help="python of the environment of the originals")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--cases", nargs="*")
    parser.add_argument("--models", nargs="*", choices=CONTENDERS, default=list(CONTENDERS))
    parser.add_argument("--report", action="store_true", help="only write docs/results.md")
    choice = parser.parse_args()
    if not choice.report:
        with tempfile.TemporaryDirectory() as folder:
            scratch = Path(folder)
            cases = open_cases(choice.data, scratch)
            for name in choice.cases or cases:
                options = {"k": choice.folds, "models": choice.models, "peers": choice.peers, "scratch": scratch}
                merge_results(run_case(cases[name](), **options))
    write_report(json.loads((RESULTS / "accuracy.json").read_text()))


def merge_results(record: dict) -> None:
    """Write a case into results/accuracy.json, in place of what earlier runs of the same models and folds gave."""
    path = RESULTS / "accuracy.json"
    cases = json.loads(path.read_text())["cases"] if path.exists() else []
    for earlier in cases:
        if all(earlier[key] == record[key] for key in ("case", "folds", "labels")):
            for part in ("seconds", "skipped", "scores"):
                record[part] = earlier[part] | record[part]
            for name in record["scores"]:
                record["skipped"].pop(name, None)
    others = [earlier for earlier in cases if earlier["case"] != record["case"]]
    write_results("accuracy", {"machine": describe_machine(), "cases": [*others, record]})


if __name__ == "__main__":
    main()
