"""How well every model predicts held-out perturbations: simulated data with predictable effects, and real sets.

    python benchmarks/accuracy.py --data FOLDER [--peers PYTHON] [--seeds 5] [--cases NAME ...] [--models NAME ...]
    python benchmarks/accuracy.py --tables         # results/accuracy.json as Markdown, for docs/models.md

FOLDER holds papalexi2021_thp1 and perturbench_devel; PYTHON is the interpreter of an environment with scouter-learn
0.1.10 and arc-state 0.11.1, whose models are trained as peer_models.py says. Each seed is another split of the
perturbations (64 % training, 16 % validation, 20 % test); all models of a case see the same splits. Rows of the table
are models, columns the means over test perturbations, then over seeds:

des            official definition of 2025, from cells: the model's cells of each test perturbation (as many as there
               are real ones) with the real controls, against the real cells; own computation
pds, mae       of 2025, from pseudobulks
pearson_delta  correlation of predicted and real deltas over genes
r_deviation    the same after the mean effect of the training perturbations is taken off both: what a model knows
               beyond the mean (0 for the mean itself)

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
from scipy.sparse import csr_matrix, vstack

from vccapp.data.reading.dataset import Dataset
from vccapp.data.reading.opening import open_dataset
from vccapp.data.schema import CONTROL, Columns
from vccapp.data.simulation.experiment import SimulationSpec
from vccapp.data.simulation.simulate import simulate
from vccapp.data.splits.split import Split, make_split, split_from_lists
from vccapp.errors import SpecError
from vccapp.evaluation.limits import compute_limits
from vccapp.evaluation.profiles import predicted_profiles, real_profiles
from vccapp.evaluation.scoring.score import compute_metrics
from vccapp.evaluation.scoring.score_files import score_files
from vccapp.models.base import MODELS, make_model
from vccapp.references import LIMITS
from vccapp.stats.index import Index
from vccapp.training.validation import make_validation

METRICS = ("pds", "mae", "pearson_delta")
COLUMNS = ("des", "pds", "mae", "pearson_delta", "r_deviation", "seconds")


@dataclass(frozen=True)
class Case:
    """Data to predict, the gene embedding that fits them, other screens of the same genes, and how they are split."""

    title: str
    index: Index
    path: Path
    columns: Columns | None = None
    embedding: str = "default"
    sources: tuple[Path, ...] = ()
    splitter: Callable[["Case", int], Split] = field(default=lambda case, seed: split_by_chance(case, seed))

    @property
    def labels(self) -> list[str]:
        return [label for label in self.index.labels if label != CONTROL]

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


def split_by_chance(case: Case, seed: int) -> Split:
    return make_split(case.labels, name=f"seed{seed}", dataset="0" * 16, seed=seed)


def split_pairs(case: Case, seed: int) -> Split:
    """Singles train; of the pairs whose two genes are among them, one validates and the rest is tested."""
    singles = [label for label in case.labels if "+" not in label]
    pairs = [label for label in case.labels if "+" in label and set(label.split("+")) <= set(singles)]
    order = np.random.default_rng(seed).permutation(len(pairs))
    val, *test = [pairs[i] for i in order]
    return split_from_lists(name=f"pairs{seed}", dataset="0" * 16, train=singles, val=[val], test=test)


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
        splitter = split_pairs if n_pairs else split_by_chance
        title = "Simulated, pairs" if n_pairs else "Simulated"
        return Case(title, index_file(path, scratch), path, embedding=own, splitter=splitter)

    def papalexi() -> Case:
        path = data / "papalexi2021_thp1" / "papalexi2021_thp1_20729x299_counts.h5ad"
        return Case("Papalexi THP-1", index_file(path, scratch), path)

    def norman(splitter: Callable[[Case, int], Split], title: str) -> Case:
        index = index_part(devel, scratch, name="norman", columns=columns, dataset="norman19")
        return Case(title, index, scratch / "norman.h5ad", columns, splitter=splitter)

    def mcfaline() -> Case:
        lines = ("A172", "T98G", "U87MG")
        first, *_ = [index_part(devel, scratch, name=line, columns=columns, cell_type=line) for line in lines]
        sources = tuple(scratch / f"{line}.index" for line in lines[1:])
        return Case("McFaline A172", first, scratch / "A172.h5ad", columns, sources=sources)

    cases = {"simulated": simulated, "simulated-pairs": partial(simulated, 20)}
    if data is not None:
        cases |= {
            "papalexi": papalexi,
            "norman": lambda: norman(split_by_chance, "Norman K562"),
            "norman-pairs": lambda: norman(split_pairs, "Norman K562, pairs"),
            "mcfaline": mcfaline,
        }
    return cases


def deviation_correlation(real: np.ndarray, predicted: np.ndarray, mean: np.ndarray) -> float:
    """Mean over rows of the correlation of what is left of real and predicted deltas; 0 where nothing is left."""
    pairs = zip(real - mean, predicted - mean, strict=True)
    return float(np.mean([np.corrcoef(a, b)[0, 1] if a.std() > 1e-9 and b.std() > 1e-6 else 0.0 for a, b in pairs]))


def score_cells(case: Case, model: Predictor, labels: Sequence[str], scratch: Path) -> float:
    """DES of the model's cells of each label, as many as there are real ones, with the real controls."""
    import anndata as ad

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
    return float(frame["des"].mean())


def run_case(case: Case, *, seeds: int, models: Sequence[str], peers: Path | None, scratch: Path) -> list[dict]:
    """A record a seed and model, the limits among them."""
    records = []
    for seed in range(seeds):
        split = case.splitter(case, seed)
        labels = sorted(split.test)
        real, mean = real_profiles(case.index, labels), case.index.deltas(list(split.train)).mean(axis=0)

        def scores(truth, guess, mean=mean) -> dict[str, float]:
            frame = compute_metrics(truth, guess, METRICS)
            return frame[list(METRICS)].mean().to_dict() | {
                "r_deviation": deviation_correlation(truth.deltas, guess.deltas, mean)
            }

        about = {"case": case.title, "seed": seed, "train": len(split.train), "test": len(split.test)}
        for limit, table in compute_limits(case.index, labels, METRICS).items():
            records.append(about | {"model": limit} | table[list(METRICS)].mean().to_dict())
        for name in models:
            start = time.perf_counter()
            try:
                model = CONTENDERS[name](case, split, seed, peers)
            except SpecError as error:
                records.append(about | {"model": name, "skipped": str(error)})
                continue
            seconds = time.perf_counter() - start
            record = scores(real, predicted_profiles(case.index, model.predict(labels), labels))
            record |= {"des": score_cells(case, model, labels, scratch), "seconds": seconds}
            records.append(about | {"model": name} | record)
    return records


def summarise(records: Sequence[dict]) -> pd.DataFrame:
    """Mean over seeds, and its standard error, of every case and model."""
    frame = pd.DataFrame(records).reindex(columns=["case", "model", *COLUMNS])
    groups = frame.groupby(["case", "model"], sort=False)[list(COLUMNS)]
    return groups.mean().join(groups.sem(), rsuffix="_se")


def print_markdown(records: Sequence[dict]) -> None:
    """A table a case: mean and standard error over seeds. A model that could not learn in any seed is left out."""
    found, shown = summarise(records), COLUMNS[:-1]
    for case in found.index.unique("case"):
        first = next(record for record in records if record["case"] == case)
        print(f"\n**{case}**, {first['train']} training and {first['test']} test perturbations\n")
        print(f"| model | {' | '.join(shown)} |\n|---|{'---|' * len(shown)}")
        rows = found.loc[case].dropna(how="all")
        for model, row in rows.loc[[name for name in (*CONTENDERS, *LIMITS) if name in rows.index]].iterrows():
            cells = ["" if np.isnan(row[name]) else f"{row[name]:.3f} ± {row[name + '_se']:.3f}" for name in shown]
            print(f"| {model} | {' | '.join(cells)} |")


def print_differences(records: Sequence[dict]) -> None:
    """Ours less the original on the same splits: mean over seeds, standard error. Of mae alone less is better."""
    frame, shown = pd.DataFrame(records).set_index(["case", "model", "seed"]).sort_index(), COLUMNS[:-1]
    print(f"\n| case | model less its original | {' | '.join(shown)} |\n|---|---|{'---|' * len(shown)}")
    for case in dict.fromkeys(record["case"] for record in records):
        for model in ("Scouter", "STATE"):
            differences = frame.loc[case, model][list(shown)] - frame.loc[case, f"{model}, original"][list(shown)]
            mean, error = differences.mean(), differences.sem()
            cells = [f"{mean[name]:+.3f} ± {error[name]:.3f}" for name in shown]
            print(f"| {case} | {model} | {' | '.join(cells)} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path)
    parser.add_argument("--peers", type=Path, help="python of the environment of the originals")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--cases", nargs="*")
    parser.add_argument("--models", nargs="*", choices=CONTENDERS, default=list(CONTENDERS))
    parser.add_argument("--tables", action="store_true", help="only print results/accuracy.json as Markdown")
    choice = parser.parse_args()
    if choice.tables:
        records = json.loads((RESULTS / "accuracy.json").read_text())["records"]
        print_markdown(records)
        print_differences(records)
        return
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        cases = open_cases(choice.data, scratch)
        records = []
        for name in choice.cases or cases:
            case = cases[name]()
            options = {"seeds": choice.seeds, "models": choice.models, "peers": choice.peers, "scratch": scratch}
            records += run_case(case, **options)
            found = summarise([record for record in records if record["case"] == records[-1]["case"]])
            print(found[list(COLUMNS)].round(3).to_string(), flush=True)
    skipped = {(r["case"], r["model"]): r["skipped"] for r in records if "skipped" in r}
    for (case, model), reason in skipped.items():
        print(f"{case}: {model} is left out. {reason}")
    merge_results(records, seeds=choice.seeds)


def merge_results(records: Sequence[dict], *, seeds: int) -> None:
    """Write what was run into results/accuracy.json, in place of earlier records of the same case and model."""
    path = RESULTS / "accuracy.json"
    earlier = json.loads(path.read_text())["records"] if path.exists() else []
    again = {(record["case"], record["model"]) for record in records}
    kept = [record for record in earlier if (record["case"], record["model"]) not in again]
    rounded = [{k: round(v, 5) if isinstance(v, float) else v for k, v in record.items()} for record in records]
    write_results("accuracy", {"machine": describe_machine(), "seeds": seeds, "records": kept + rounded})


if __name__ == "__main__":
    main()
