"""What is to be submitted: run, targets, numbers of cells, controls, genes, and a source for each context."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st

from vccapp.data.atomic import scratch_folder
from vccapp.data.workspace import Record
from vccapp.seasons.base import Phase, Season
from vccapp.stats.index import Index
from vccapp.submission.budget import read_pert_counts
from vccapp.submission.planning.choice import (
    CellsBy,
    PlanChoice,
    SourceChoice,
    Targets,
    default_targets,
    find_control_data,
)
from vccapp.submission.planning.numbers import SHARINGS
from vccapp.tasks.build import Build
from vccapp.training import RunRecord, list_runs
from vccapp.ui.kit.context import current_context
from vccapp.ui.kit.forms import choose_one
from vccapp.ui.kit.loaders import current_settings, load_datasets
from vccapp.ui.kit.runs import choose_run, pick_run
from vccapp.ui.submission.season import keep_among, typed_path
from vccapp.wording import plain

SOURCES = {
    "season": "The season's",
    "heldout": "Held out by the run",
    "upload": "Upload a table",
    "path": "Path of a table",
}
CELLS_BY: Mapping[CellsBy, str] = {"thin": "Thinning real cells", "negative_binomial": "Drawing"}
SPACES = {"log1p": "log1p", "counts": "Counts"}


@dataclass(frozen=True)
class SubmissionChoice:
    """A choice of a plan. table : of an uploaded file; ready : False until a table that is wanted is given"""

    plan: PlanChoice
    season: Season
    phase: Phase
    table: pd.DataFrame | None
    ready: bool

    def commands(self) -> list[str]:
        """`vccapp submit plan` and `build`."""
        named = self.plan.model_copy(update={"name": self.plan.name or "mine"})
        return [shlex.join(words) for words in (named.command(), Build(plan=named.name).command())]


def choose_submission(record: Record, index: Index, season: Season, phase: Phase) -> SubmissionChoice:
    """Run, targets, cells, controls, genes and name. Where there is no run, say so, and end the page."""
    if len(index.controls) > 1 and not phase.contexts:
        st.info("A submission is of one context: choose it in the sidebar.")
        st.stop()
    first: str = default_targets(season, phase.name, set(index.genes["gene"]))
    other_genes = len(index.genes) != season.n_genes
    _follow((record.fingerprint, season.name, phase.name), source=first, practice=other_genes)
    run = choose_run(record, key="sub_run")
    left, right = st.columns([3, 2])
    space = None
    if len(season.spaces) > 1:
        keep_among("sub_space", season.spaces)
        with right:
            space = choose_one("Values", {space: SPACES[space] for space in season.spaces}, key="sub_space")
    sources = _choose_sources(season, phase, index, run) if phase.contexts else {}
    with left:
        source = choose_one("Targets and cell numbers", SOURCES, key="sub_source", default=first)
    table, path, ready = _choose_table(source)
    sharing, controls = _choose_numbers(season, index)
    left, right = st.columns([3, 2], vertical_alignment="bottom")
    name = left.text_input("Name", key="sub_name", bind="query-params", placeholder="Generated if empty").strip()
    practice = right.toggle(
        "Practice",
        value=other_genes and "sub_practice" not in st.session_state,
        key="sub_practice",
        bind="query-params",
        help=f"Allows another number of genes than the season's {season.n_genes:,}; the package is marked as practice.",
    )
    genes, seed, predicted, cells_by = _choose_more(season, space or season.space)
    choice = PlanChoice(
        run=run.id,
        season=season.name,
        phase=None if phase == season.phase() else phase.name,
        space=None if space == season.space else space,
        targets=_targets_of(source),
        counts=path,
        context=current_context(),
        sources=sources,
        controls=controls,
        sharing=sharing,
        cells_of=parse_cells(st.session_state.get("sub_cells_of") or st.query_params.get("sub_cells_of") or ""),
        predict_controls=predicted,
        cells_by=cells_by,
        genes=typed_path(genes),
        practice=practice,
        seed=seed,
        name=name,
    )
    return SubmissionChoice(choice, season, phase, table, ready)


def _follow(now: tuple[str, ...], *, source: str, practice: bool) -> None:
    """Where season, phase or data were changed, what was the default for them becomes that of the new ones."""
    if st.session_state.get("sub_for", now) != now:
        defaults = {"sub_source": source, "sub_practice": practice, "sub_sharing": "advised", "sub_cells_of": ""}
        st.session_state.update(defaults | {"sub_controls": None})
    st.session_state["sub_for"] = now


def parse_cells(text: str) -> dict[str, int]:
    """'MYC=250, SRC=100' as numbers by target; what is no such pair is left out."""
    pairs = [part.rpartition("=") for part in text.split(",")]
    return {label.strip(): int(n) for label, _, n in pairs if label.strip() and n.strip().isdecimal() and len(n) < 10}


def format_cells(cells: dict[str, int]) -> str:
    return ", ".join(f"{label}={n}" for label, n in cells.items())


def _targets_of(source: str) -> Targets:
    named: dict[str, Targets] = {"season": "season", "heldout": "heldout"}
    return named.get(source, "file")


def _choose_table(source: str) -> tuple[pd.DataFrame | None, Path | None, bool]:
    """The table of cells where it is uploaded or named, its path, and whether there is what the source needs."""
    if source == "upload":
        upload = st.file_uploader("pert_counts.csv", type="csv", key="sub_upload", max_upload_size=5)
        if upload is None:
            return None, None, False
        return _read_upload(upload), Path(upload.name), True
    if source == "path":
        path = typed_path(st.text_input("Path of pert_counts.csv", key="sub_path", bind="query-params"))
        return None, path, path is not None
    return None, None, True


def _choose_numbers(season: Season, index: Index) -> tuple[Any, int | None]:
    """How cells are shared out, and how many controls are copied."""
    left, right = st.columns([3, 2], vertical_alignment="bottom")
    sharing = "advised"
    if season.cells_per_target is None:
        with left:
            sharing = choose_one("Cells per target", SHARINGS, key="sub_sharing")
    if season.controls == "forbidden":
        return sharing, None
    n_known = int(index.perturbations["n_cells"].iloc[0])
    controls = right.number_input(
        "Control cells",
        1 if season.controls == "required" else 0,
        n_known,
        None,
        key="sub_controls",
        bind="query-params",
        placeholder="As many as fit",
        help=f"Copied from the training file, which has {n_known:,}. If empty: all when they fit, else 5 to 10 % of "
        f"the {season.max_cells:,} cells.",
    )
    return sharing, None if controls is None else int(controls)


def _choose_more(season: Season, space: str) -> tuple[str, int, bool, CellsBy]:
    """What is rarely changed: a list of genes, the seed, whether controls are predicted, how counts are made."""
    with st.expander("More settings", icon=":material/tune:"):
        left, right = st.columns([3, 2], vertical_alignment="bottom")
        genes = left.text_input(
            "Gene list",
            key="sub_genes",
            bind="query-params",
            placeholder="Path of a CSV",
            help="If empty, the season's genes where the data have them, else those of the data",
        )
        seed = right.number_input(
            "Seed", 0, 2**31 - 1, 0, key="sub_seed", bind="query-params", help="Of all that is drawn"
        )
        predicted, cells_by = False, next(iter(CELLS_BY))
        if season.controls != "forbidden":
            predicted = left.toggle(
                "Predict the controls",
                key="sub_predict_controls",
                bind="query-params",
                help="Control cells that the model makes instead of copies. This changes the scores: effects are "
                "measured against these cells.",
            )
        if space == "counts":
            with right:
                cells_by = choose_one("Counts are made by", CELLS_BY, key="sub_cells_by")
    return genes, int(seed), predicted, cells_by


def _choose_sources(season: Season, phase: Phase, index: Index, run: RunRecord) -> dict[str, SourceChoice]:
    """Data and run of each context; none where the page's data have the contexts themselves."""
    if set(phase.contexts) <= set(index.contexts):
        return {}
    records = {record.fingerprint: record for record in load_datasets() if record.has_index}
    own = find_control_data(season, phase.name, current_settings())
    runs = {run.id: run for run in list_runs(current_settings()) if run.state == "finished"}
    found = {}
    with st.expander("A source for each context", icon=":material/account_tree:", expanded=True):
        st.caption("The context's control cells come from the data; the run predicts from them.")
        for context in phase.contexts:
            likely = own.get(context) or _like(context, records) or run.spec.dataset
            found[context] = _choose_source(context, records, runs, SourceChoice(dataset=likely, run=run.id))
    return found


def _choose_source(
    context: str, records: Mapping[str, Record], runs: Mapping[str, RunRecord], likely: SourceChoice
) -> SourceChoice:
    left, right, more = st.columns(3)
    keep_among(f"sub_data_{context}", records)
    dataset = left.selectbox(
        f"Data of context {plain(context)}",
        list(records),
        key=f"sub_data_{context}",
        bind="query-params",
        index=list(records).index(likely.dataset) if likely.dataset in records else 0,
        format_func=lambda key: records[key].title,
    )
    contexts = [one.name for one in records[dataset].schema.contexts]
    theirs = None
    if contexts:
        keep_among(f"sub_of_{context}", contexts)
        theirs = more.selectbox("Context of the data", contexts, key=f"sub_of_{context}", bind="query-params")
    run = pick_run("Predicted by", runs.values(), key=f"sub_by_{context}", first=likely.run, place=right)
    return SourceChoice(dataset=dataset, data_context=theirs, run=run.id)


def _like(context: str, records: Mapping[str, Record]) -> str | None:
    """The data whose title ends like the context's, as context_A does."""
    ends = (f"_{context.casefold()}", f" {context.casefold()}")
    return next((key for key, record in records.items() if record.title.casefold().endswith(ends)), None)


def _read_upload(upload: Any) -> pd.DataFrame:
    with scratch_folder() as folder:
        copy = Path(folder) / Path(upload.name).name
        copy.write_bytes(upload.getvalue())
        return read_pert_counts(copy)
