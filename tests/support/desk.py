"""A workspace with a small submission that was really built: data, index, split, two runs, a plan, cells, package."""

from pathlib import Path

from toy import make_counts

from vccapp.data.reading.opening import open_dataset
from vccapp.data.splits.split import split_from_lists, write_split
from vccapp.data.workspace import register
from vccapp.seasons.base import SEASONS
from vccapp.settings import Settings
from vccapp.stats.building.build import build_index
from vccapp.stats.index import load_index
from vccapp.submission.budget import observed_counts
from vccapp.submission.build import build_submission
from vccapp.submission.plan import Plan, write_plan
from vccapp.submission.planning.make import make_plan
from vccapp.training import RunSpec, train

LABELS = [f"GENE{i}" for i in range(8)]
RUNS = {"one": "perturbation_mean", "two": "knockdown_mean"}


def make_desk(folder: Path, *, name: str = "first") -> Settings:
    """The runs `one` and `two`, and the built practice submission `name` of the first."""
    data = folder / "data"
    data.mkdir(parents=True)
    settings = Settings(home=folder / "home", checkpoints=folder / "runs", data_roots=(data,), device="cpu")
    make_counts(n_perturbations=8).write_h5ad(data / "toy.h5ad")
    dataset = open_dataset(data / "toy.h5ad")
    build_index(dataset, register(dataset, settings, title="toy") / "index")
    parts = {"train": LABELS[:4], "val": LABELS[4:6], "test": LABELS[6:]}
    write_split(split_from_lists(name="s", dataset=dataset.fingerprint, **parts), settings)
    for run_id, model in RUNS.items():
        train(RunSpec(model=model, dataset=dataset.fingerprint, split="s"), settings, run_id=run_id)
    build_submission(plan_of(settings, "one", name=name), settings)
    return settings


def plan_of(settings: Settings, run_id: str, *, name: str, seed: int = 0) -> Plan:
    """A written plan of the run's held-out perturbations, with the toy's genes."""
    [dataset] = [path.name for path in settings.datasets.iterdir()]
    index = load_index(settings.index_of(dataset))
    counts = observed_counts(index.perturbations, LABELS[6:])
    season = SEASONS["vcc2025"]
    plan = make_plan(index, run_id, counts, season=season, settings=settings, practice=True, seed=seed, id=name)
    write_plan(plan, settings)
    return plan
