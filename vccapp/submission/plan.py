"""A submission before work starts: which runs, how many cells of what, and what building it will take.

    plan = load_plan("mine", settings)
    plan.estimate.vcc_bytes

`planning.make.make_plan` decides and writes nothing; `write_plan` keeps it as submissions/<id>/plan.json.
"""

import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveInt

from vccapp.data.atomic import write_json
from vccapp.data.h5ad import CHUNK, WIDE
from vccapp.data.schema import CONTROL, context_of, label_in, target_of
from vccapp.errors import DataError, SpecError
from vccapp.records import Format, Listing, list_records, read_record
from vccapp.seasons.base import Space
from vccapp.seasons.opened import find_season
from vccapp.settings import Settings
from vccapp.submission.packing.package import estimate_package
from vccapp.training.cells import BLOCK_VALUES

PLAN = Format(
    "plan",
    version=4,
    migrations={
        1: lambda fields: {"depth": None} | fields,
        2: lambda fields: {"context": None} | fields,
        3: lambda fields: name_sources(fields),
    },
    fix="delete it and create the plan again",
)
BLOCK_BYTES = 26
POOL_BYTES = 900_000_000
"""What counts take besides: control cells (600 MB at most), blocks that wait, compiled code."""
VALUE_BYTES, WIDE_BYTES = 8, 12  # float32 value, int32 or int64 column
CELL_BYTES = 60  # row pointer, label code, name in the HDF5 heap
GENE_BYTES = 40
FRAME_BYTES = 100_000  # groups, attributes and what HDF5 keeps of its chunks


class Estimate(BaseModel):
    """What building takes, in cells and bytes. `disk_bytes` is what must be free before it starts."""

    model_config = ConfigDict(frozen=True)

    n_cells: int
    n_values: int
    h5ad_bytes: int
    vcc_bytes: int
    disk_bytes: int
    memory_bytes: int


class Source(BaseModel):
    """Where the cells of one context of a submission come from.

    dataset : fingerprint of the data that give control cells; context : of theirs, None where they tell none apart
    run : whose model predicts the others from them
    """

    model_config = ConfigDict(frozen=True)

    dataset: str
    run: str
    context: str | None = None


@dataclass(frozen=True)
class Part:
    """The cells of one context. context : of the submission, None without; cells : by target, the controls first"""

    context: str | None
    source: Source
    cells: dict[str, int]

    @property
    def labels(self) -> dict[str, int]:
        """Cells by the labels of the source's data, which name its context."""
        return {label_in(target, self.source.context): n for target, n in self.cells.items()}


class Plan(BaseModel):
    """Everything that decides the content of a submission. `cells` are in the order of the file's rows.

    phase : of the season, None for cells of no phase; space : of the values written
    sources : by context of the submission; under "" where the season has none
    genes : the list that gives their order; None: `order` says whose, the season's or the data's
    practice, reasons : whether it is no submission of the season, and why
    cells, wanted : by label of the submission, `TARGET` or `TARGET@CONTEXT`; n_controls : copied into each context
    depth : what cells should sum to (expm1) by pert_counts; None where it does not say
    depths : the same by label, where it is known of each
    counts : how cells of counts are made, see `vccapp.models.parts.counts`
    controls : those of the data, or cells that the model makes of them, which changes the scores
    """

    model_config = ConfigDict(frozen=True)

    id: str
    season: str
    phase: str | None = None
    space: Space = "log1p"
    sources: dict[str, Source] = Field(min_length=1)
    genes: Path | None
    order: Literal["season", "data"] = "data"
    n_genes: int = Field(ge=1)
    cells: dict[str, NonNegativeInt] = Field(min_length=1)
    wanted: dict[str, PositiveInt] = Field(min_length=1)
    n_controls: int = Field(ge=0)
    values_per_cell: float = Field(ge=0, allow_inf_nan=False)
    seed: int = Field(ge=0)
    practice: bool
    reasons: tuple[str, ...] = ()
    depth: float | None = Field(None, gt=0, allow_inf_nan=False)
    depths: dict[str, float] = {}
    counts: Literal["thin", "negative_binomial"] = "thin"
    controls: Literal["copied", "predicted"] = "copied"
    notes: tuple[str, ...] = ()

    @property
    def datasets(self) -> tuple[str, ...]:
        """Fingerprints of all data that give control cells."""
        return tuple(dict.fromkeys(source.dataset for source in self.sources.values()))

    @property
    def runs(self) -> tuple[str, ...]:
        """Ids of all runs that predict."""
        return tuple(dict.fromkeys(source.run for source in self.sources.values()))

    @property
    def parts(self) -> tuple[Part, ...]:
        """Context by context, in the order of the file's rows."""
        return tuple(
            Part(
                context=context or None,
                source=source,
                cells=({CONTROL: self.n_controls} if self.n_controls else {})
                | {target_of(label): n for label, n in self.cells.items() if (context_of(label) or "") == context},
            )
            for context, source in self.sources.items()
        )

    @property
    def alpha(self) -> float:
        """The share of the wanted cells that fits."""
        return sum(self.cells.values()) / sum(self.wanted.values())

    @property
    def estimate(self) -> Estimate:
        """Predicted cells are taken to have as many non-zero genes as the controls they are made from."""
        n_cells = sum(self.cells_in_order.values())
        n_values = round(n_cells * self.values_per_cell)
        stored = -(-n_values // CHUNK) * CHUNK * (VALUE_BYTES if n_values < WIDE else WIDE_BYTES)
        h5ad = stored + n_cells * CELL_BYTES + self.n_genes * GENE_BYTES + FRAME_BYTES
        largest = min(BLOCK_VALUES, max(self.cells.values()) * self.values_per_cell)
        return Estimate(
            n_cells=n_cells,
            n_values=n_values,
            h5ad_bytes=h5ad,
            vcc_bytes=estimate_package(h5ad),
            disk_bytes=h5ad + estimate_package(h5ad),
            memory_bytes=round(250e6 + BLOCK_BYTES * largest + (POOL_BYTES if self.space == "counts" else 0)),
        )

    @property
    def cells_in_order(self) -> dict[str, int]:
        """Cells per label as the file has them: in each context the controls first."""
        return {label_in(target, part.context): n for part in self.parts for target, n in part.cells.items()}


def check_id(id: str) -> str:
    """A submission's id is also its folder's name. Raises SpecError when it cannot be one."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", id):
        raise SpecError(
            "bad_name",
            f"'{id[:100]}' is not a valid name of a submission",
            fix="use letters, digits, '-', '_' and '.', at most 100",
        )
    return id


def plan_path(id: str, settings: Settings) -> Path:
    return settings.submissions / check_id(id) / "plan.json"


def write_plan(plan: Plan, settings: Settings) -> Path:
    """Keep the plan where `load_plan` finds it."""
    path = plan_path(plan.id, settings)
    write_json(path, PLAN.stamp(plan.model_dump(mode="json")))
    return path


def delete_submission(id: str, settings: Settings) -> int:
    """Delete a submission with its plan, cells and package; returns the bytes that are free again.

    Raises DataError when there is none.
    """
    folder = plan_path(id, settings).parent
    if folder.is_symlink() or not folder.is_dir():
        raise DataError("unknown_submission", f"There is no submission '{id}'", fix="see `vccapp submit list`")
    size = sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file())
    shutil.rmtree(folder)
    return size


def load_plan(id: str, settings: Settings) -> Plan:
    """Raises DataError when there is no such plan, or it is damaged or names an unknown season or phase."""
    return _read(plan_path(id, settings), settings)


def list_plans(settings: Settings) -> Listing[Plan]:
    """Of all submissions, built or not, by id."""
    return list_records(settings.submissions.glob("*/plan.json"), lambda path: _read(path, settings))


def name_sources(fields: dict[str, Any]) -> dict[str, Any]:
    """A plan of one source, as version 3 had it."""
    moved = {"challenge", "dataset", "run", "context"}
    source = {name: fields.get(name) for name in ("dataset", "run", "context")}
    kept = {name: value for name, value in fields.items() if name not in moved}
    return kept | {"season": fields.get("challenge"), "sources": {"": source}}


def _read(path: Path, settings: Settings) -> Plan:
    def parse(saved: dict[str, Any]) -> Plan:
        plan = Plan.model_validate(saved)
        season = find_season(plan.season, settings)
        if plan.phase is not None:
            season.phase(plan.phase)
        return plan

    return read_record(path, PLAN, parse)
