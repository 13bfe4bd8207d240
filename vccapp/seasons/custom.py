"""Seasons that users write: a TOML with its list of genes beside it, checked and kept in the workspace.

    season = open_custom(Path("contest.toml"), settings)

<home>/seasons/<name>/
  season.json       what the TOML says, its targets read
  genes.txt         the genes, one a line
  season.toml       the file as it was given

A minimal one (docs/submission.md explains every field):

    name = "contest"
    genes = "genes.txt"
    targets = ["MYC", "TP53"]
    contexts = ["K562", "RPE1"]
    cells_per_target = 50
    max_cells = 1000
    controls = "forbidden"
    spaces = ["counts"]
    container = "h5ad"
    metrics = "2026"
"""

import hashlib
import tomllib
from datetime import date
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from vccapp.data.atomic import write_folder, write_json
from vccapp.errors import DataError, SpecError, explain
from vccapp.records import Format, Listing, list_records, read_record
from vccapp.seasons.base import MetricRules, Phase, Season, Space, Target
from vccapp.seasons.containers import CONTAINERS
from vccapp.seasons.gene_list import read_gene_list
from vccapp.seasons.targets import read_targets
from vccapp.settings import Settings
from vccapp.textfiles import read_bytes, read_text
from vccapp.wording import name_some

SEASON = Format("season", fix="open its TOML again (vccapp season open)")
RECORD, GENES, GIVEN = "season.json", "genes.txt", "season.toml"
TOML_BYTES = 2**20
ONE_PHASE = "main"
"""The phase of a season that names none."""
FIX = "correct the file and open it again"


class _Part(BaseModel):
    """targets : labels, or the name of a pert_counts CSV beside the TOML"""

    model_config = ConfigDict(strict=True, extra="forbid")

    label: str | None = Field(None, min_length=1, max_length=100)
    contexts: list[str] | None = None
    targets: Any = None
    opens: date | None = None
    closes: date | None = None
    note: str = Field("", max_length=500)


class PhaseFile(_Part):
    """A table [[phases]]; what it leaves out is the season's."""

    name: str


class SeasonFile(_Part):
    """What a TOML may say."""

    name: str = Field(max_length=60)
    genes: str
    source: str = Field("", max_length=500)
    phases: list[PhaseFile] | None = Field(None, min_length=1)
    pert_col: str = "target_gene"
    context_col: str | None = None
    control_label: str = "non-targeting"
    controls: Literal["required", "forbidden", "allowed"]
    spaces: list[Space] = Field(min_length=1)
    cells_per_target: int | None = None
    max_cells: int
    max_values: int | None = None
    max_value: float | None = None
    max_cell_total: float | None = None
    depth: float | None = None
    container: str
    metrics: MetricRules


def read_season(path: Path) -> Season:
    """The season that a TOML describes. Raises SpecError or DataError naming the field that is wrong."""
    try:
        content = tomllib.loads(read_text(path, limit=TOML_BYTES))
    except tomllib.TOMLDecodeError as error:
        raise SpecError("not_toml", f"{path.name} is not TOML ({str(error)[:80]})", fix=FIX) from None
    except RecursionError:
        raise SpecError("not_toml", f"{path.name} is nested too deep", fix=FIX) from None
    try:
        said = SeasonFile.model_validate(content)
    except ValidationError as error:
        raise _refuse(path, error) from None
    if said.container not in CONTAINERS:
        raise SpecError(
            "unknown_container",
            f"{path.name}: there is no container '{said.container[:40]}'",
            fix=f"choose one of {', '.join(CONTAINERS)}",
        )
    genes = _beside(path, said.genes, "genes")
    phases = [_read_phase(path, said, phase) for phase in said.phases or [PhaseFile(name=ONE_PHASE)]]
    contexts = any(phase["contexts"] for phase in phases)
    kept = ("name", "pert_col", "control_label", "controls", "cells_per_target", "max_cells", "max_values", "max_value")
    fields = {name: getattr(said, name) for name in (*kept, "max_cell_total", "depth", "metrics")}
    try:
        season = Season(
            **fields,
            label=said.label or said.name,
            spaces=tuple(said.spaces),
            n_genes=len(read_gene_list(genes).genes),
            gene_file=genes,
            context_col=said.context_col or ("context" if contexts else None),
            container=CONTAINERS[said.container],
            phases=tuple(Phase(**phase) for phase in phases),
            source=said.source or f"{path.name}, written by hand",
        )
    except ValidationError as error:
        raise _refuse(path, error) from None
    for phase in season.phases:
        if unnamed := [target.label for target in phase.targets if not (season.cells_per_target or target.n_cells)]:
            raise SpecError(
                "no_cells_wanted",
                f"{path.name}: it gives no number of cells for {name_some(unnamed)} of phase {phase.name}",
                fix="set cells_per_target, or name a CSV with target_gene and n_cells as targets",
            )
    return season


def open_custom(path: Path, settings: Settings, *, taken: frozenset[str], replace: bool = False) -> Season:
    """Check a TOML and keep it. taken : names of other seasons

    Raises what `read_season` does, and SpecError for a name that is taken, by a season that says something else too
    unless `replace`.
    """
    path = path.expanduser().absolute()
    season = read_season(path)
    if season.name in taken:
        raise SpecError(
            "name_taken", f"{path.name}: there is a season {season.name} already", fix="choose another name"
        )
    genes = read_gene_list(_gene_file(season)).genes
    text = "\n".join(genes) + "\n"
    fields = season.model_dump(mode="json", exclude={"gene_file", "container"}) | {
        "container": season.container.name,
        "genes_sha256": hashlib.sha256(text.encode()).hexdigest(),
    }
    folder = settings.seasons / season.name
    if not replace and (folder / RECORD).exists():
        if read_record(folder / RECORD, SEASON) != fields:
            raise SpecError(
                "season_exists",
                f"A season {season.name} that says something else was opened before",
                fix="choose another name, or open it with --replace: what was planned by it is then judged anew",
            )
        return load_custom(folder)
    with write_folder(folder) as beside:
        (beside / GENES).write_text(text, encoding="utf-8")
        (beside / GIVEN).write_bytes(read_bytes(path, limit=TOML_BYTES))
        write_json(beside / RECORD, SEASON.stamp(fields))
    return load_custom(folder)


def load_custom(folder: Path) -> Season:
    """The season that is kept in a folder. Raises DataError where it is damaged."""

    def parse(saved: dict[str, Any]) -> Season:
        fields = {name: value for name, value in saved.items() if name != "genes_sha256"}
        season = Season.model_validate(
            fields | {"gene_file": folder / GENES, "container": CONTAINERS[fields["container"]]}
        )
        if season.name != folder.name:
            raise ValueError(f"it is of the season {season.name}")
        if hashlib.sha256(read_bytes(folder / GENES)).hexdigest() != saved["genes_sha256"]:
            raise ValueError(f"{GENES} is not the one that was read")
        return season

    try:
        return read_record(folder / RECORD, SEASON, parse)
    except DataError as error:
        if error.code in ("file_missing", "file_unreadable"):
            raise SEASON.damaged(folder / RECORD, error.problem) from None
        raise


def list_custom(settings: Settings) -> Listing[Season]:
    return list_records(settings.seasons.glob(f"*/{RECORD}"), lambda path: load_custom(path.parent))


def _read_phase(path: Path, season: SeasonFile, phase: PhaseFile) -> dict[str, Any]:
    """Fields of a Phase."""
    contexts = phase.contexts if phase.contexts is not None else season.contexts or []
    said = phase.targets if phase.targets is not None else season.targets
    where = f"targets of phase {phase.name}"
    if isinstance(said, list) and said and all(isinstance(label, str) for label in said):
        targets = tuple(_target(path, label, where) for label in said)
    elif isinstance(said, str):
        asked = read_targets(_beside(path, said, "targets"), control=season.control_label)
        if asked.contexts and set(asked.contexts) != set(contexts):
            raise SpecError(
                "context_mismatch",
                f"{said} is of the contexts {name_some(asked.contexts)}, and phase {phase.name} of "
                f"{name_some(contexts)}",
                fix=FIX,
            )
        targets = asked.targets
    else:
        raise SpecError(
            "bad_season", f"{path.name}: {where} are neither a list of labels nor the name of a CSV", fix=FIX
        )
    return {
        "name": phase.name,
        "label": phase.label or phase.name.capitalize(),
        "contexts": tuple(contexts),
        "targets": targets,
        "opens": phase.opens or season.opens,
        "closes": phase.closes or season.closes,
        "note": phase.note or season.note,
    }


def _target(path: Path, label: str, where: str) -> Target:
    try:
        return Target(label=label)
    except ValidationError as error:
        raise SpecError("bad_season", f"{path.name}: {where}: {explain(error)}", fix=FIX) from None


def _beside(path: Path, name: str, field: str) -> Path:
    """A file in the folder of the TOML. Raises SpecError for a path that leads elsewhere."""
    if not name or name != Path(name).name:
        raise SpecError(
            "bad_season",
            f"{path.name}: {field} is '{name[:40]}', not the name of a file beside it",
            fix="put the file into the same folder and give its name alone",
        )
    return path.parent / name


def _gene_file(season: Season) -> Path:
    if season.gene_file is None:
        raise SpecError("bad_season", f"{season.name} has no genes", fix=FIX)
    return season.gene_file


def _refuse(path: Path, error: ValidationError) -> SpecError:
    """What a TOML says wrongly, in a sentence that names the field."""
    first = error.errors(include_url=False)[0]
    name = ".".join(map(str, first["loc"]))
    if first["type"] == "extra_forbidden":
        known = PhaseFile if name.startswith("phases.") else SeasonFile
        near = get_close_matches(name.rpartition(".")[2], known.model_fields, n=1)
        fix = f"did you mean {near[0]}" if near else "docs/submission.md lists the fields. Delete it"
        return SpecError("unknown_field", f"{path.name}: there is no field '{name[:60]}'", fix=fix)
    return SpecError("bad_season", f"{path.name}: {explain(error)}", found=name, fix=FIX)
