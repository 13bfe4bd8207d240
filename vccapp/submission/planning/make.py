"""A plan from what is chosen: season and phase, data and runs, numbers of cells, genes.

    plan = make_plan(index, run_id, season=season, settings=settings)       # the season's targets
    plan = make_plan(index, run_id, read_pert_counts(path), season=season, settings=settings)

Nothing is written. A plan of other targets or genes than the season's, or of simulated data, is practice and says why.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from vccapp.data.schema import label_in, target_of
from vccapp.data.workspace import list_datasets
from vccapp.errors import SpecError, VccAppError
from vccapp.evaluation.quality import Depth, judge_depth
from vccapp.models.saving import RECORD, read_scope
from vccapp.seasons.base import Phase, Season, Space
from vccapp.seasons.gene_list import find_columns, read_gene_list
from vccapp.settings import Settings
from vccapp.stats.index import Index
from vccapp.submission.budget import OPTIONAL_COLUMN, explain_labels, mean_depth, season_depth
from vccapp.submission.plan import Plan, Source, check_id, load_plan, plan_path
from vccapp.submission.planning.numbers import Sharing, advise_controls, edit_cells, share_cells
from vccapp.submission.planning.stored import note_repeats
from vccapp.training.aligned import note_alignment
from vccapp.training.record import load_run
from vccapp.wording import name_some

SIMULATED = "Its data are simulated"


@dataclass(frozen=True)
class Given:
    """Data whose control cells a context is made from, and the run that predicts from them.

    index : of the data, or within the one context that is meant
    """

    index: Index
    run: str


def make_plan(
    index: Index,
    run_id: str,
    counts: pd.DataFrame | None = None,
    *,
    season: Season,
    settings: Settings,
    phase: str | None = None,
    space: Space | None = None,
    sources: Mapping[str, Given] | None = None,
    n_controls: int | None = None,
    controls: Literal["copied", "predicted"] = "copied",
    cells_by: Literal["thin", "negative_binomial"] = "thin",
    sharing: Sharing = "advised",
    effects: Mapping[str, float] | None = None,
    edits: Mapping[str, int] | None = None,
    genes: Path | None = None,
    practice: bool = False,
    seed: int = 0,
    id: str | None = None,
) -> Plan:
    """Decide a submission's cells.

    index, run_id : the source of every context that `sources` does not name. Data that have the season's contexts give
    each its own.
    counts : target_gene, n_cells (`read_pert_counts`, `observed_counts`), in each context; the season's targets if None
    phase : that whose targets `counts` has, or the season's last, if None
    n_controls : control cells copied into each context, drawn by `seed`; as `advise_controls` says if None
    controls, cells_by : see `Plan.controls` and `Plan.counts`
    sharing, effects, edits : see `share_cells`, `edit_cells`
    genes : a list of genes; if None those of the season where all data have them, else those of the data
    practice : lets data with another number of genes than the season's through, and marks the plan as practice

    Raises SpecError for a choice that cannot be met, DataError for a gene list that cannot be read.
    """
    chosen = _find_phase(season, phase, counts)
    given = _find_sources(index, run_id, chosen.contexts, sources or {})
    available = {context: _count_controls(one.index) for context, one in given.items()}
    notes = () if counts is None else tuple(counts.attrs.get("notes", ()))
    wanted, depths = _find_wanted(season, chosen, counts)
    if unknown := [target for target in (edits or {}) if target not in {*wanted, *map(target_of, wanted)}]:
        raise SpecError(
            "unknown_target", f"No target is called {name_some(unknown)}", fix=f"targets: {name_some(wanted)}"
        )
    n_controls = _check_controls(season, n_controls, wanted, available)
    order, n_genes, gene_notes, official = _choose_genes(season, [one.index for one in given.values()], genes)
    if n_genes != season.n_genes and not practice:
        raise SpecError(
            "gene_count",
            f"The prediction would have {n_genes:,} genes, but {season.label} asks for {season.n_genes:,}",
            fix="use the challenge's training file, or mark the plan as practice",
        )
    total_controls = n_controls * len(given)
    cells = share_cells(wanted, season=season, n_controls=total_controls, sharing=sharing, effects=effects)
    cells = edit_cells(cells, edits or {}, season=season, n_controls=total_controls)
    depth = mean_depth(wanted, depths)
    of_phase = _compare_targets(season, chosen, wanted)
    reasons = [
        *(["It is marked as practice."] if practice else []),
        *_compare_genes(season, n_genes, official=official),
        *of_phase,
        *find_simulated(((one.index.meta["fingerprint"], one.run) for one in given.values()), settings),
    ]
    if controls == "predicted" and n_controls:
        notes += ("Controls are predicted, not copied: effects are measured against other cells than the real ones.",)
    notes += (*gene_notes, *_note_labels(given.values(), wanted), *_note_models(given.values(), settings))
    for one in given.values():
        notes += _note_depth(one.index, depth or season_depth(season, n_genes))
    plan = Plan(
        id="",
        season=season.name,
        phase=None if of_phase else chosen.name,
        space=_check_space(season, space, given.values()),
        sources={
            context: Source(
                dataset=one.index.meta["fingerprint"], run=one.run, context=next(iter(one.index.contexts), None)
            )
            for context, one in given.items()
        },
        genes=genes.resolve() if genes is not None else None,
        order=order,
        n_genes=n_genes,
        cells=cells,
        wanted=wanted,
        n_controls=n_controls,
        controls=controls,
        counts=cells_by,
        values_per_cell=float(np.mean([values for _, values in available.values()])),
        seed=seed,
        practice=bool(reasons),
        reasons=tuple(reasons),
        depth=depth and depth.total,
        depths=depths,
        notes=tuple(dict.fromkeys(notes)),
    )
    plan = plan.model_copy(update={"notes": (*plan.notes, *note_repeats(plan, settings))})
    return name_plan(plan, id, settings)


def name_plan(plan: Plan, id: str | None, settings: Settings) -> Plan:
    """The plan under its name; one that is generated says which run and whether it is practice."""
    digest = hashlib.sha256(plan.model_dump_json().encode()).hexdigest()[:8]
    made = f"{'practice-' if plan.practice else ''}{plan.runs[0]}-{digest}"
    plan = plan.model_copy(update={"id": check_id(id or made)})
    if (path := plan_path(plan.id, settings)).exists() and load_plan(plan.id, settings) != plan:
        raise SpecError(
            "plan_exists",
            f"A different submission '{plan.id}' exists in {path.parent}",
            fix="choose another name or delete it",
        )
    return plan


def _find_sources(index: Index, run_id: str, contexts: Sequence[str], sources: Mapping[str, Given]) -> dict[str, Given]:
    """By context of the submission; under "" where it has none."""
    if strange := [context for context in sources if context not in contexts and context]:
        raise SpecError(
            "unknown_context",
            f"The season's phase has no context {name_some(strange)}",
            fix=f"contexts: {name_some(contexts)}",
        )
    own = set(contexts) <= set(index.contexts)
    found = {
        context: sources.get(context) or Given(index.within(context) if own and context else index, run_id)
        for context in contexts or ("",)
    }
    for one in found.values():
        if len(one.index.controls) > 1:
            raise SpecError(
                "needs_context",
                f"The dataset has the contexts {name_some(one.index.contexts)}, and a submission is of one of them",
                fix="choose one (--context)",
            )
    return found


def _count_controls(index: Index) -> tuple[int, float]:
    """Control cells, and the mean of their detected genes."""
    cells = index.cells
    controls = cells["genes"][cells["perturbation"].isin(index.controls)]
    if controls.empty:
        raise SpecError(
            "no_controls",
            "The training data have no control cells to make the submission from",
            fix="use data with control cells",
        )
    return len(controls), float(controls.mean())


def _find_phase(season: Season, phase: str | None, counts: pd.DataFrame | None) -> Phase:
    """The phase that is named, or whose targets a table has; else the season's last."""
    if phase is None and counts is not None:
        targets = set(map(str, counts["target_gene"]))
        for one in season.phases:
            if targets == {target.label for target in one.targets}:
                return one
    return season.phase(phase)


def _find_wanted(season: Season, phase: Phase, counts: pd.DataFrame | None) -> tuple[dict[str, int], dict[str, float]]:
    """Cells asked or advised of each label, and what they should sum to where that is known."""
    if counts is None:
        known = {target.label: target.median_umi for target in phase.targets}
        official = season.wanted(phase.name)
        return official, {label: depth for label in official if (depth := known[target_of(label)])}
    table = counts[[c for c in ("target_gene", "n_cells", OPTIONAL_COLUMN) if c in counts]]
    wanted: dict[str, int] = {}
    depths: dict[str, float] = {}
    for context in phase.contexts or (None,):
        for target, n, *median in table.to_numpy(object):
            label = label_in(str(target), context)
            wanted[label] = int(n)
            if median and np.isfinite(median[0]) and median[0] > 0:
                depths[label] = float(median[0])
    return wanted, depths


def _check_controls(
    season: Season, n_controls: int | None, wanted: Mapping[str, int], available: Mapping[str, tuple[int, float]]
) -> int:
    least = min(n for n, _ in available.values())
    if season.controls == "forbidden":
        if n_controls:
            raise SpecError(
                "controls_forbidden",
                f"{n_controls:,} controls were requested, but {season.label} takes none",
                fix="choose 0",
            )
        return 0
    if n_controls is None:
        return advise_controls(wanted, n_available=least, n_contexts=len(available), season=season)
    if not (season.controls == "required") <= n_controls <= least:
        raise SpecError(
            "bad_control_count",
            f"{n_controls:,} controls were requested, but the training data have {least:,}",
            fix="choose 1 to that many" if season.controls == "required" else "choose 0 to that many",
        )
    return n_controls


def _choose_genes(
    season: Season, indexes: Sequence[Index], path: Path | None
) -> tuple[Literal["season", "data"], int, tuple[str, ...], bool]:
    """Whose order the genes have, how many they are, notes, and whether they are the season's own."""
    own = [index.genes["gene"].tolist() for index in indexes]
    official = None if season.genes is None else list(season.genes)
    if path is not None:
        gene_list = read_gene_list(path)
        for names in own:
            find_columns(gene_list.genes, names)
        return "data", len(gene_list.genes), (gene_list.note,), list(gene_list.genes) == official
    if official is not None and all(set(official) <= set(names) for names in own):
        return "season", len(official), (), True
    if any(names != own[0] for names in own):
        raise SpecError(
            "genes_differ", "The sources do not have the same genes in the same order", fix="give a list of genes"
        )
    return "data", len(own[0]), (), own[0] == official


def _compare_genes(season: Season, n_genes: int, *, official: bool) -> list[str]:
    if official:
        return []
    if n_genes != season.n_genes:
        return [f"It has {n_genes:,} genes, and {season.label} {season.n_genes:,}."]
    if season.genes is None:
        return [f"The genes of {season.label} are known from the organisers' files alone, which are not opened."]
    return [f"Its genes are not those of {season.label}."]


def _compare_targets(season: Season, phase: Phase, wanted: Mapping[str, int]) -> list[str]:
    """Why the labels are not the targets of the phase."""
    try:
        official = season.wanted(phase.name)
    except SpecError:
        return [f"The targets of {season.label} are known from the organisers' files alone, which are not opened."]
    other = [label for label in wanted if label not in official]
    missing = [label for label in official if label not in wanted]
    if not other and not missing:
        return []
    told = [f"{len(other):,} are none of them ({name_some(other, 2)})"] if other else []
    told += [f"{len(missing):,} are missing"] if missing else []
    return [f"Of the {len(official):,} targets of {season.label}, {phase.label}: {' and '.join(told)}."]


def find_simulated(sources: Iterable[tuple[str, str]], settings: Settings) -> list[str]:
    """Whether control cells, or what a run has learned from, are simulated. sources : data and run"""
    origins = set()
    for dataset, run in sources:
        origins.add(dataset)
        try:
            origins.add(load_run(run, settings).spec.dataset)
        except VccAppError:  # whoever builds will say it
            continue
    known = {record.fingerprint: record for record in list_datasets(settings)}
    titles = [known[origin].title for origin in sorted(origins) if origin in known and known[origin].simulated]
    return [f"{SIMULATED} ({name_some(titles)})."] if titles else []


def _check_space(season: Season, space: Space | None, given: Iterable[Given]) -> Space:
    space = space or season.space
    if space not in season.spaces:
        raise SpecError("unknown_space", f"{season.label} takes no {space}", fix=f"choose {' or '.join(season.spaces)}")
    if space == "counts" and any(one.index.meta.get("value_space", "counts") != "counts" for one in given):
        raise SpecError(
            "needs_counts",
            "The control cells hold log1p values, so there are no counts to make cells from",
            fix="use data of raw counts",
        )
    return space


def _note_models(given: Iterable[Given], settings: Settings) -> tuple[str, ...]:
    """What the models lack of the data whose control cells they are used on."""
    notes: list[str] = []
    for one in given:
        folder = settings.checkpoints / one.run / "model"
        if (folder / RECORD).is_file():  # else whoever builds will say it
            notes += note_alignment(*read_scope(folder), one.index)
    return tuple(notes)


def _note_labels(given: Iterable[Given], wanted: Mapping[str, int]) -> tuple[str, ...]:
    """What the targets look like that are neither genes nor perturbations of the data."""
    known: set[str] = set()
    genes: list[str] = []
    for one in given:
        for label in one.index.cells["perturbation"].unique():
            known |= {label, target_of(label)}
        genes = genes or one.index.genes["gene"].tolist()
    if strange := explain_labels(dict.fromkeys(target_of(label) for label in wanted), genes, known):
        return (f"Neither genes of the training data nor their perturbations: {strange}. Compare the spelling.",)
    return ()


def _note_depth(index: Index, depth: Depth | None) -> tuple[str, ...]:
    """Where the training cells, of which predictions are made, are not on the scale that the season has."""
    if depth is None:
        return ()
    verdict, found = judge_depth(np.array(index.meta["target_sums"], float)[:, None], depth)
    if verdict == "ok":
        return ()
    return (f"Training {found}. Predictions will be on that scale: train on raw counts of the challenge's depth.",)
