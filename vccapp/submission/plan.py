"""A submission before work starts: which run, how many cells of what, and what building it will take.

    plan = make_plan(index, run_id, read_pert_counts(path), season=SEASONS["vcc2025"], settings=settings)
    plan.estimate.vcc_bytes

`make_plan` decides and writes nothing; `write_plan` keeps it as submissions/<id>/plan.json.
"""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveInt

from vccapp.commands import options
from vccapp.data.atomic import write_json
from vccapp.data.h5ad import CHUNK
from vccapp.data.schema import CONTROL, context_of, label_in, target_of
from vccapp.errors import SpecError
from vccapp.evaluation.quality import Depth, judge_depth
from vccapp.records import Format, Listing, list_records, read_record
from vccapp.seasons.base import SEASONS, Season, Space
from vccapp.settings import Settings
from vccapp.stats.index import Index
from vccapp.submission.budget import advised_depth, explain_labels, scale_cells, season_depth
from vccapp.submission.gene_list import find_columns, read_gene_list
from vccapp.submission.package import estimate_package
from vccapp.training.cells import BLOCK_VALUES
from vccapp.wording import name_some

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
VALUE_BYTES = 8  # float32 value, int32 column
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
    cells, wanted : by label of the submission, `TARGET` or `TARGET@CONTEXT`; n_controls : copied into each context
    depth : what cells should sum to (expm1) by pert_counts; None where it does not say
    depths : the same by label, where it is known of each
    """

    model_config = ConfigDict(frozen=True)

    id: str
    season: str
    phase: str | None = None
    space: Space = "log1p"
    sources: dict[str, Source] = Field(min_length=1)
    genes: Path | None
    n_genes: int = Field(ge=1)
    cells: dict[str, NonNegativeInt] = Field(min_length=1)
    wanted: dict[str, PositiveInt] = Field(min_length=1)
    n_controls: int = Field(ge=0)
    values_per_cell: float = Field(ge=0, allow_inf_nan=False)
    seed: int = Field(ge=0)
    practice: bool
    depth: float | None = Field(None, gt=0, allow_inf_nan=False)
    depths: dict[str, float] = {}
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
                cells={CONTROL: self.n_controls}
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
        stored = -(-n_values // CHUNK) * CHUNK * VALUE_BYTES
        h5ad = stored + n_cells * CELL_BYTES + self.n_genes * GENE_BYTES + FRAME_BYTES
        largest = min(BLOCK_VALUES, max(self.cells.values()) * self.values_per_cell)
        return Estimate(
            n_cells=n_cells,
            n_values=n_values,
            h5ad_bytes=h5ad,
            vcc_bytes=estimate_package(h5ad),
            disk_bytes=h5ad + estimate_package(h5ad),
            memory_bytes=round(250e6 + BLOCK_BYTES * largest),
        )

    @property
    def cells_in_order(self) -> dict[str, int]:
        """Cells per label as the file has them: in each context the controls first."""
        return {label_in(target, part.context): n for part in self.parts for target, n in part.cells.items()}


def make_plan(
    index: Index,
    run_id: str,
    counts: pd.DataFrame,
    *,
    season: Season,
    settings: Settings,
    n_controls: int | None = None,
    genes: Path | None = None,
    practice: bool = False,
    seed: int = 0,
    id: str | None = None,
) -> Plan:
    """Decide a submission's cells.

    index : of the data, or within the context that the submission is of
    counts : target_gene, n_cells (`read_pert_counts`, `observed_counts`)
    n_controls : control cells copied from the training data, drawn by `seed`; all of them when None
    genes : the official gene list; the training file's genes in order when None
    practice : let data with other genes than the challenge's through; the result is marked as practice

    Raises SpecError for a choice that cannot be met, DataError for a gene list that cannot be read.
    """
    if len(index.controls) > 1:
        raise SpecError(
            "needs_context",
            f"The dataset has the contexts {name_some(index.contexts)}, and a submission is of one of them",
            fix="choose one (--context)",
        )
    cells = index.cells
    controls = cells["genes"][cells["perturbation"].isin(index.controls)]
    if controls.empty:
        raise SpecError(
            "no_controls",
            "The training data have no control cells to copy into the submission",
            fix="use data with control cells",
        )
    if n_controls is not None and not 1 <= n_controls <= len(controls):
        raise SpecError(
            "bad_control_count",
            f"{n_controls:,} controls were requested, but the training data have {len(controls):,}",
            fix="choose 1 to that many",
        )
    notes = tuple(counts.attrs.get("notes", ()))
    depth = advised_depth(counts)
    n_genes = len(index.genes)
    if genes is not None:
        gene_list = read_gene_list(genes)
        find_columns(gene_list.genes, index.genes["gene"].tolist())
        n_genes, notes = len(gene_list.genes), (*notes, gene_list.note)
    if n_genes != season.n_genes and not practice:
        raise SpecError(
            "gene_count",
            f"The prediction would have {n_genes:,} genes, but {season.label} asks for {season.n_genes:,}",
            fix="use the challenge's training file, or mark the plan as practice",
        )
    trained = [own for label in cells["perturbation"].unique() for own in (label, target_of(label))]
    if strange := explain_labels(map(str, counts["target_gene"]), index.genes["gene"].tolist(), trained):
        notes += (f"Neither genes of the training data nor their perturbations: {strange}. Compare the spelling.",)
    notes += _note_depth(index, depth or season_depth(season, n_genes))
    wanted = {str(label): int(n) for label, n in zip(counts["target_gene"], counts["n_cells"], strict=True)}
    n_controls = len(controls) if n_controls is None else n_controls
    plan = Plan(
        id="",
        season=season.name,
        sources={"": Source(dataset=index.meta["fingerprint"], run=run_id, context=next(iter(index.contexts), None))},
        genes=genes.resolve() if genes is not None else None,
        n_genes=n_genes,
        cells=scale_cells(wanted, n_controls=n_controls, max_cells=season.max_cells),
        wanted=wanted,
        n_controls=n_controls,
        values_per_cell=float(controls.mean()),
        seed=seed,
        practice=practice,
        depth=None if depth is None else depth.total,
        notes=notes,
    )
    digest = hashlib.sha256(plan.model_dump_json().encode()).hexdigest()[:8]
    plan = plan.model_copy(update={"id": check_id(id or f"{run_id}-{digest}")})
    if (path := plan_path(plan.id, settings)).exists() and load_plan(plan.id, settings) != plan:
        raise SpecError(
            "plan_exists",
            f"A different submission '{plan.id}' exists in {path.parent}",
            fix="choose another name or delete it",
        )
    return plan


def _note_depth(index: Index, depth: Depth | None) -> tuple[str, ...]:
    """Where the training cells, of which predictions are made, are not on the scale that the challenge has."""
    if depth is None:
        return ()
    verdict, found = judge_depth(np.array(index.meta["target_sums"], float)[:, None], depth)
    if verdict == "ok":
        return ()
    return (f"Training {found}. Predictions will be on that scale: train on raw counts of the challenge's depth.",)


def plan_command(
    run_id: str,
    *,
    season: str,
    counts: str | None = None,
    n_controls: int | None = None,
    genes: str = "",
    practice: bool = False,
    context: str | None = None,
    name: str = "",
) -> list[str]:
    """`vccapp submit plan` of such a submission, word by word; counts, genes : paths."""
    choices = {
        "--run": run_id,
        "--counts": counts,
        "--season": season,
        "--controls": n_controls,
        "--genes": genes,
        "--practice": practice,
        "--context": context,
        "--name": name,
    }
    return ["vccapp", "submit", "plan", *options(choices)]


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


def load_plan(id: str, settings: Settings) -> Plan:
    """Raises DataError when there is no such plan, or it is damaged or names an unknown season."""
    return read_record(plan_path(id, settings), PLAN, _parse)


def list_plans(settings: Settings) -> Listing[Plan]:
    """Of all submissions, built or not, by id."""
    return list_records(settings.submissions.glob("*/plan.json"), lambda path: read_record(path, PLAN, _parse))


def name_sources(fields: dict[str, Any]) -> dict[str, Any]:
    """A plan of one source, as version 3 had it."""
    moved = {"challenge", "dataset", "run", "context"}
    source = {name: fields.get(name) for name in ("dataset", "run", "context")}
    kept = {name: value for name, value in fields.items() if name not in moved}
    return kept | {"season": fields.get("challenge"), "sources": {"": source}}


def _parse(saved: dict[str, Any]) -> Plan:
    plan = Plan.model_validate(saved)
    SEASONS[plan.season]
    return plan
