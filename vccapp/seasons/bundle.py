"""The organisers' files of one phase: control cells of each context, genes, targets; opened once and kept.

    bundle = open_bundle(Path("vcc_2026_controls.zip"), settings)     # or the folder
    bundle.phase, bundle.panel_id, bundle.controls["A"]

<home>/seasons/<season>/<phase>/
  bundle.json       what was read and checked
  genes.txt         the official genes, one a line
  gene_names.csv, pert_counts.csv, manifest.json        as they were given
  context_A.h5ad    control cells, where they came in a zip; those of a folder stay where they are

Season, phase and contexts are told from the files. Where these do not agree with each other, nothing is opened.
"""

import hashlib
import os
import shutil
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from vccapp.data.atomic import scratch_folder, write_folder, write_json
from vccapp.data.stores.access import Access
from vccapp.data.stores.files import reading
from vccapp.errors import DataError, SpecError, explain
from vccapp.progress import Progress, part, silent
from vccapp.records import Format, Listing, list_records, read_record
from vccapp.seasons.archive import MANIFEST, Files, open_files
from vccapp.seasons.base import Name, Phase, Season, Target
from vccapp.seasons.gene_list import read_gene_list
from vccapp.seasons.targets import Asked, read_targets
from vccapp.settings import Settings
from vccapp.textfiles import LIMIT, read_bytes, read_json
from vccapp.wording import name_some

BUNDLE = Format("bundle", fix="open the organisers' files again (vccapp season open)")
GENE_NAMES, PERT_COUNTS, GENES, RECORD = "gene_names.csv", "pert_counts.csv", "genes.txt", "bundle.json"
CONTROLS = "context_{}.h5ad"
MANIFEST_BYTES = 256 * 1024
"""What the official tool reads of a manifest."""
FEW_LETTERS = 3
"""Of a phase's name, with which a partition may abbreviate it."""


class Manifest(BaseModel):
    """What manifest.json says, as far as it is known; other keys are of no matter."""

    model_config = ConfigDict(strict=True)

    contexts: list[Name] = Field(min_length=1)
    partition: str | None = None
    panel_id: str | None = None
    season: str | int | None = None
    n_genes: int | None = None
    cells_per_pert: int | None = None
    control_label: str | None = None
    pert_col: str | None = None
    context_col: str | None = None


class ControlFile(BaseModel):
    """Control cells of a context. path : relative where they lie in the bundle's own folder"""

    model_config = ConfigDict(frozen=True)

    path: Path
    n_cells: int
    size: int
    mtime_ns: int


class Bundle(BaseModel):
    """An opened bundle. given : the folder or zip; genes_sha256 : of genes.txt; folder : of the workspace"""

    model_config = ConfigDict(frozen=True)

    season: str
    phase: str
    contexts: tuple[Name, ...] = Field(min_length=1)
    panel_id: str | None
    targets: tuple[Target, ...] = Field(min_length=1)
    n_genes: int = Field(ge=1)
    genes_sha256: str
    files: dict[str, ControlFile]
    given: Path
    opened: datetime
    notes: tuple[str, ...] = ()
    folder: Path = Field(Path(), exclude=True)

    @property
    def gene_file(self) -> Path:
        return self.folder / GENES

    @property
    def controls(self) -> dict[str, Path]:
        """The file of control cells of each context, in the order of contexts."""
        return {context: self.folder / self.files[context].path for context in self.contexts}

    def control_file(self, context: str) -> Path:
        """The file of a context. Raises DataError where it is gone or has changed since the bundle was opened."""
        path, known = self.controls[context], self.files[context]
        try:
            state = path.stat()
        except OSError:
            raise DataError(
                "controls_gone",
                f"The control cells of context {context} are no longer in {path}",
                fix="put them back, or open the bundle in its new place (vccapp season open)",
            ) from None
        if (state.st_size, state.st_mtime_ns) != (known.size, known.mtime_ns):
            raise DataError(
                "controls_changed",
                f"{path} has changed since the bundle was opened",
                fix="open the bundle again (vccapp season open)",
            )
        return path


class Chosen(NamedTuple):
    season: Season
    phase: Phase


def open_bundle(
    path: Path | str,
    settings: Settings,
    *,
    seasons: Iterable[Season],
    phase: str | None = None,
    progress: Progress = silent,
) -> Bundle:
    """Read, check and keep a bundle; it replaces an earlier one of its phase.

    seasons : that it may be of; phase : that it must be of. Raises DataError, SpecError or ResourceError, in one
    sentence, and keeps nothing then.
    """
    path = Path(path).expanduser().absolute()
    with open_files(path) as files, scratch_folder(settings.seasons) as name:
        scratch = Path(name)
        _require(files, path, MANIFEST, GENE_NAMES, PERT_COUNTS)
        manifest = _read_manifest(files.fetch(MANIFEST, scratch, limit=MANIFEST_BYTES))
        chosen = _choose(manifest, seasons, phase)
        season, contexts = chosen.season, chosen.phase.contexts
        _check_manifest(manifest, season)
        _check_files(files, path, contexts)
        genes = read_gene_list(files.fetch(GENE_NAMES, scratch, limit=LIMIT))
        if len(genes.genes) != season.n_genes:
            raise DataError(
                "gene_count",
                f"{GENE_NAMES} has {len(genes.genes):,} genes, and {season.label} has {season.n_genes:,}",
                found=len(genes.genes),
                fix="use the organisers' files as they are",
            )
        asked = read_targets(files.fetch(PERT_COUNTS, scratch, limit=LIMIT), control=season.control_label)
        _check_asked(asked, season, contexts)
        folder = settings.seasons / season.name / chosen.phase.name
        text = "\n".join(genes.genes) + "\n"
        digest = hashlib.sha256(text.encode()).hexdigest()
        _check_other_phases(folder, digest)
        found = {
            context: files.fetch(
                CONTROLS.format(context), scratch, progress=part(progress, i / len(contexts), (i + 0.8) / len(contexts))
            )
            for i, context in enumerate(contexts)
        }
        n_cells = {}
        for i, (context, file) in enumerate(found.items()):
            progress((i + 0.9) / len(contexts), f"Checking {file.name}")
            n_cells[context] = check_controls(file, context, genes.genes, season, Access.of(settings))
        unmeasured = sorted({target.label for target in asked.targets}.difference(genes.genes))
        notes = (genes.note, *([f"Targets that are not measured: {name_some(unmeasured)}."] if unmeasured else []))
        with write_folder(folder) as beside:
            (beside / GENES).write_text(text, encoding="utf-8")
            for small in (GENE_NAMES, PERT_COUNTS, MANIFEST):
                shutil.copyfile(files.fetch(small, scratch, limit=LIMIT), beside / small)
            kept = {}
            for context, file in found.items():
                own = file.parent == scratch
                if own:
                    os.replace(file, beside / file.name)
                state = (beside / file.name if own else file).stat()
                kept[context] = ControlFile(
                    path=Path(file.name) if own else file,
                    n_cells=n_cells[context],
                    size=state.st_size,
                    mtime_ns=state.st_mtime_ns,
                )
            bundle = Bundle(
                season=season.name,
                phase=chosen.phase.name,
                contexts=contexts,
                panel_id=manifest.panel_id or None,
                targets=asked.targets,
                n_genes=len(genes.genes),
                genes_sha256=digest,
                files=kept,
                given=path,
                opened=datetime.now(UTC),
                notes=notes,
            )
            write_json(beside / RECORD, BUNDLE.stamp(bundle.model_dump(mode="json")))
    progress(1.0, "The bundle is open")
    return bundle.model_copy(update={"folder": folder})


def load_bundle(folder: Path) -> Bundle:
    """The bundle that is kept in a folder. Raises DataError where it is damaged."""

    def parse(saved: dict[str, Any]) -> Bundle:
        bundle = Bundle.model_validate(saved | {"folder": folder})
        if (bundle.season, bundle.phase) != (folder.parent.name, folder.name) or set(bundle.files) != set(
            bundle.contexts
        ):
            raise ValueError("its season, phase or contexts are not those of its folder")
        if hashlib.sha256(read_bytes(bundle.gene_file)).hexdigest() != bundle.genes_sha256:
            raise ValueError(f"{GENES} is not the one that was read")
        return bundle

    try:
        return read_record(folder / RECORD, BUNDLE, parse)
    except DataError as error:
        if error.code in ("file_missing", "file_unreadable"):
            raise BUNDLE.damaged(folder / RECORD, error.problem) from None
        raise


def list_bundles(settings: Settings, season: str | None = None) -> Listing[Bundle]:
    """Opened bundles, of one season or of all."""
    found = settings.seasons.glob(f"{season or '*'}/*/{RECORD}")
    return list_records((path for path in found), lambda path: load_bundle(path.parent))


def check_controls(path: Path, context: str, genes: tuple[str, ...], season: Season, access: Access) -> int:
    """The number of cells in a file of controls: raw counts of one context, nothing but controls, the genes in order.

    The values of a sample are looked at. Raises DataError.
    """
    from vccapp.data.reading.matrix import open_rows
    from vccapp.data.reading.tables import check_shape, read_tables

    with reading(path):
        obs, var, _ = read_tables(path, access)
        expected: Mapping[str | None, str] = {season.context_col: context, season.pert_col: season.control_label}
        for column, wanted in expected.items():
            if column is None:
                continue
            if column not in obs:
                raise DataError("no_column", f"obs has no column '{column}'", fix=_AGAIN)
            labels = sorted({str(value) for value in obs[column].unique()})
            if labels != [wanted]:
                raise DataError(
                    "context_mismatch" if column == season.context_col else "not_only_controls",
                    f"its column '{column}' holds {name_some(labels)}, not {wanted} alone",
                    found=labels,
                    fix=_AGAIN,
                )
        names = tuple(map(str, var.index))
        if names != genes:
            at = next((i for i, pair in enumerate(zip(names, genes, strict=False)) if pair[0] != pair[1]), 0)
            differ = (
                f"gene {at + 1} is {names[at]}, not {genes[at]}" if len(names) == len(genes) else "of another number"
            )
            raise DataError("genes_differ", f"its {len(names):,} genes are not the list's ({differ})", fix=_AGAIN)
        rows = open_rows(path, access=access)
        check_shape(rows, obs, var)
        for _, _, block in rows.sample():
            values = block.data
            if not (np.isfinite(values).all() and (values >= 0).all() and (values == np.rint(values)).all()):
                raise DataError("not_counts", "its values are not raw counts", fix=_AGAIN)
    return len(obs)


_AGAIN = "use the organisers' files as they are"


def _require(files: Files, path: Path, *names: str) -> None:
    if missing := [name for name in names if name not in files.sizes]:
        raise DataError(
            "bundle_incomplete",
            f"{path.name} lacks {name_some(missing)}",
            found=missing,
            fix="download the controls again",
        )


def _read_manifest(path: Path) -> Manifest:
    try:
        return Manifest.model_validate(read_json(path, limit=MANIFEST_BYTES))
    except ValidationError as error:
        raise DataError("manifest", f"{MANIFEST}: {explain(error)}", fix="download the controls again") from None


def _choose(manifest: Manifest, seasons: Iterable[Season], wanted: str | None) -> Chosen:
    """The season and phase of the manifest's contexts. Raises where there is none, or something else says another."""
    contexts, offered = set(manifest.contexts), []
    if len(contexts) < len(manifest.contexts):
        raise DataError("manifest", f"{MANIFEST} names a context twice", fix="download the controls again")
    for season in seasons:
        for phase in season.phases:
            offered.append(f"{season.name} {phase.name} ({', '.join(phase.contexts)})")
            if set(phase.contexts) != contexts:
                continue
            named = _named_phase(manifest.partition, season)
            for by, other in ((f"{MANIFEST} says {manifest.partition}", named), ("you chose", wanted)):
                if other is not None and other != phase.name:
                    raise DataError(
                        "phase_mismatch",
                        f"The contexts {', '.join(manifest.contexts)} are those of the phase {phase.name}, but {by}"
                        + (f" {other}" if by == "you chose" else ""),
                        found=phase.name,
                        fix="open the bundle of the phase that you mean",
                    )
            return Chosen(season, phase)
    raise DataError(
        "bundle_contexts",
        f"{MANIFEST} is of the contexts {name_some(manifest.contexts)}, which no phase of a season has",
        found=manifest.contexts,
        fix=f"there are {'; '.join(offered)}" if offered else "choose another bundle",
    )


def _named_phase(partition: str | None, season: Season) -> str | None:
    """The phase that a partition such as 'val' or 'final' names."""
    said = (partition or "").strip().lower()
    if len(said) < FEW_LETTERS:
        return None
    return next((p.name for p in season.phases if p.name.startswith(said) or p.name in said), None)


def _check_manifest(manifest: Manifest, season: Season) -> None:
    """Hold what else the manifest says against the season."""
    said = {
        "n_genes": season.n_genes,
        "cells_per_pert": season.cells_per_target,
        "control_label": season.control_label,
        "pert_col": season.pert_col,
        "context_col": season.context_col,
    }
    for key, expected in said.items():
        found = getattr(manifest, key)
        if found is not None and expected is not None and found != expected:
            raise DataError(
                "manifest_mismatch",
                f"{MANIFEST} has {key} {found}, and {season.label} {expected}",
                found=found,
                fix="use the organisers' files as they are, or update the app",
            )


def _check_files(files: Files, path: Path, contexts: tuple[str, ...]) -> None:
    """A file of controls for each context, and for no other."""
    wanted = {CONTROLS.format(context) for context in contexts}
    head, tail = CONTROLS.split("{}")
    there = {name for name in files.sizes if name.startswith(head) and name.endswith(tail)}
    _require(files, path, *sorted(wanted - there))
    if extra := sorted(there - wanted):
        raise DataError(
            "context_mismatch",
            f"{path.name} holds {name_some(extra)}, and {MANIFEST} names the contexts {', '.join(contexts)}",
            found=extra,
            fix="open the bundle of one phase, as the organisers give it",
        )


def _check_asked(asked: Asked, season: Season, contexts: tuple[str, ...]) -> None:
    if asked.contexts and set(asked.contexts) != set(contexts):
        raise DataError(
            "context_mismatch",
            f"{PERT_COUNTS} is of the contexts {name_some(asked.contexts)}, and {MANIFEST} of {', '.join(contexts)}",
            found=asked.contexts,
            fix="open the bundle of one phase, as the organisers give it",
        )
    exact = season.cells_per_target
    odd = [t for t in asked.targets if exact is not None and t.n_cells not in (None, exact)]
    if odd:
        raise DataError(
            "manifest_mismatch",
            f"{PERT_COUNTS} asks for {odd[0].n_cells:,} cells of {odd[0].label}, and {season.label} for {exact:,}",
            found=odd[0].n_cells,
            fix="use the organisers' files as they are, or update the app",
        )
    if exact is None and any(target.n_cells is None for target in asked.targets):
        raise DataError("no_column", f"{PERT_COUNTS} gives no n_cells", fix="use the organisers' files as they are")


def _check_other_phases(folder: Path, digest: str) -> None:
    """The genes of a season are the same in all of its phases."""
    for path in folder.parent.glob(f"*/{RECORD}"):
        if path.parent == folder:
            continue
        try:
            other = load_bundle(path.parent)
        except DataError:  # shown by `vccapp season list`
            continue
        if other.genes_sha256 != digest:
            raise SpecError(
                "genes_differ",
                f"The genes are not those of the phase {other.phase}, which was opened before",
                fix=f"check which is right, and delete {path.parent} if that one is not",
            )
