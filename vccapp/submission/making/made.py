"""What cells were made with: all that decides the bytes of a submission beside its plan, kept with them.

    made = describe_made(plan, sources, genes=genes, season=season, settings=settings)
    write_made(made, folder)                      # submissions/<id>/made.json, once the cells are there

A record says more than the folders it names: it still tells what made a submission when a run or its data are gone.
"""

import hashlib
import platform
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from pydantic import BaseModel, ConfigDict

from vccapp.data.atomic import write_json
from vccapp.data.workspace import list_datasets
from vccapp.errors import VccAppError
from vccapp.records import Format, read_record
from vccapp.seasons.base import Season
from vccapp.seasons.opened import find_bundle
from vccapp.settings import Settings
from vccapp.stats.index import INDEX, Index
from vccapp.submission.plan import Plan, Source
from vccapp.training.record import RunRecord, RunSpec, load_run

MADE = Format("made", fix="build the submission again, or delete it to package the cells without it")
MADE_FILE = "made.json"
PACKAGES = ("vccapp", "numpy", "scipy", "pandas", "numba", "torch", "h5py", "anndata", "zstandard")
"""On whose versions the bytes of a submission may depend."""
RULES = ("pert_col", "context_col", "control_label", "container")
"""Fields of a season that its files are written by."""


class Origin(BaseModel):
    """One source of cells. index : digest of what cells are made from; spec : of the run; model : digest of its files

    split : its name; parts : perturbations in each of its parts; "" and None: it could not be read
    """

    model_config = ConfigDict(frozen=True)

    title: str
    data: tuple[Path, ...]
    index: str
    index_version: int
    spec: RunSpec | None
    split: str
    parts: dict[str, int]
    trained_with: str
    model: str


class Made(BaseModel):
    """versions : of packages and libraries; genes, rules : digests of the ordered genes and of the season's RULES

    panel : id in the organisers' bundle, which the container of some seasons records
    """

    model_config = ConfigDict(frozen=True)

    python: str
    platform: str
    versions: dict[str, str]
    season: str
    rules: str
    genes: str
    panel: str | None
    sources: dict[str, Origin]


class IsOpened(Protocol):
    """What is needed of an opened source (`generate.Opened`)."""

    @property
    def index(self) -> Index: ...


def describe_made(
    plan: Plan,
    sources: Mapping[str, IsOpened],
    *,
    genes: Sequence[str],
    season: Season,
    settings: Settings,
) -> Made:
    """What a build of the plan is about to use. sources : by context, opened"""
    return Made(
        python=platform.python_version(),
        platform=platform.platform(),
        versions=find_versions(),
        season=season.name,
        rules=digest_rules(season),
        genes=digest_texts(genes),
        panel=_find_panel(plan, settings),
        sources={
            context: _describe_origin(source, sources[context].index, settings)
            for context, source in plan.sources.items()
        },
    )


def write_made(made: Made, folder: Path) -> None:
    write_json(folder / MADE_FILE, MADE.stamp(made.model_dump(mode="json")))


def find_made(folder: Path) -> Made | None:
    """What the cells in a submission's folder were made with; None where that is not known.

    Raises DataError for a record that is damaged.
    """
    path = folder / MADE_FILE
    return read_record(path, MADE, Made.model_validate) if path.is_file() else None


def find_versions() -> dict[str, str]:
    """Of PACKAGES that are installed, and of the libraries that write HDF5 and zstd."""
    import h5py
    import zstandard

    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    zstd = ".".join(map(str, zstandard.ZSTD_VERSION))
    return found | {"HDF5": h5py.version.hdf5_version, "zstd": zstd}


def digest_index(index: Index) -> str:
    """Of what cells are made from: genes, each cell's perturbation, batch and detected genes, and the scaling."""
    cells = index.cells
    digest = hashlib.sha256(digest_texts(index.genes["gene"]).encode())
    for column in ("perturbation", "batch"):
        digest.update(digest_texts(cells[column].cat.categories).encode())
        digest.update(np.ascontiguousarray(cells[column].cat.codes.to_numpy(np.int32)).data)
    digest.update(np.ascontiguousarray(cells["genes"].to_numpy(np.int64)).data)
    digest.update(np.ascontiguousarray(index.array("scaling"), dtype=np.float32).data)
    return digest.hexdigest()


def digest_model(folder: Path) -> str:
    """Of all files of a saved model; empty where there is none."""
    digest = hashlib.sha256()
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    for path in paths:
        digest.update(f"{path.relative_to(folder)}\0".encode())
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest() if paths else ""


def digest_rules(season: Season) -> str:
    return digest_texts([season.model_dump_json(include=set(RULES))])


def digest_texts(texts: Iterable[Any]) -> str:
    return hashlib.sha256("\n".join(map(str, texts)).encode()).hexdigest()


def _describe_origin(source: Source, index: Index, settings: Settings) -> Origin:
    known = {record.fingerprint: record for record in list_datasets(settings)}
    record, run = known.get(source.dataset), _find_run(source.run, settings)
    parts = ("train", "val", "test")
    return Origin(
        title="" if record is None else record.title,
        data=() if record is None else record.paths,
        index=digest_index(index),
        index_version=INDEX.version,
        spec=None if run is None else run.spec,
        split="" if run is None else run.split.name,
        parts={} if run is None else {part: len(getattr(run.split, part)) for part in parts},
        trained_with="" if run is None else run.vccapp,
        model=digest_model(settings.checkpoints / source.run / "model"),
    )


def _find_panel(plan: Plan, settings: Settings) -> str | None:
    """None where no bundle of the plan's phase was opened, or it names none."""
    if plan.phase is None:
        return None
    try:
        return find_bundle(plan.season, plan.phase, settings).panel_id
    except VccAppError:
        return None


def _find_run(run_id: str, settings: Settings) -> RunRecord | None:
    try:
        return load_run(run_id, settings)
    except VccAppError:
        return None
