"""What a person chooses of a submission, as a page and the command line collect it; one choice makes one plan.

choice = PlanChoice(run=run_id, season="vcc2025", phase="validation", controls=5_000)
plan = choice.make(settings)
choice.command()            # vccapp submit plan --run ... of the same choice
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict

from vccapp.commands import options
from vccapp.data.schema import label_in
from vccapp.data.workspace import list_datasets
from vccapp.errors import SpecError, VccAppError
from vccapp.models.base import load_model
from vccapp.seasons.base import Season, Space
from vccapp.seasons.opened import find_bundle, find_season
from vccapp.settings import Settings
from vccapp.stats.index import Index, load_index
from vccapp.submission.budget import observed_counts, read_pert_counts
from vccapp.submission.plan import Plan
from vccapp.submission.planning.make import Given, make_plan
from vccapp.submission.planning.numbers import Sharing
from vccapp.training.record import RunRecord, load_run

Targets = Literal["season", "heldout", "file"]
CellsBy = Literal["thin", "negative_binomial"]
OpenIndex = Callable[[str, Settings], Index]
Measure = Callable[[str, tuple[str, ...], Settings], Mapping[str, float]]


class SourceChoice(BaseModel):
    """Where the cells of a context come from: data (fingerprint), a context of theirs, a run; see `plan.Source`."""

    model_config = ConfigDict(frozen=True)

    dataset: str
    run: str
    data_context: str | None = None

    def text(self, context: str) -> str:
        """As the option --source says it."""
        return f"{context}={self.dataset}{f'@{self.data_context}' if self.data_context else ''}:{self.run}"


def open_index(dataset: str, settings: Settings) -> Index:
    return load_index(settings.index_of(dataset))


def measure_effects(run_id: str, labels: tuple[str, ...], settings: Settings) -> dict[str, float]:
    """Norm of the predicted delta of each label, log1p units. Raises what opening the model raises."""
    model = load_model(settings.checkpoints / run_id / "model")
    return dict(zip(labels, np.linalg.norm(model.predict(labels), axis=1).tolist(), strict=True))


def default_targets(season: Season, phase: str | None, genes: set[str]) -> Targets:
    """The season's own where they are known and the data have the season's genes; else those that a run holds out."""
    try:
        season.wanted(phase)
    except SpecError:
        return "heldout"
    return "season" if season.genes is not None and genes.issuperset(season.genes) else "heldout"


def find_control_data(season: Season, phase: str | None, settings: Settings) -> dict[str, str]:
    """Indexed datasets of the control files of an opened bundle, by context; empty where none was opened."""
    try:
        files = find_bundle(season.name, season.phase(phase).name, settings).controls
    except VccAppError:
        return {}
    known = {record.path: record.fingerprint for record in list_datasets(settings) if record.has_index}
    return {context: known[path.resolve()] for context, path in files.items() if path.resolve() in known}


class PlanChoice(BaseModel):
    """Everything that `vccapp submit plan` takes.

    targets : None as `default_targets` says; counts : the table of cells where they are of a file
    context : of the run's data, where they have several and the season none
    sources : by context of the season, where they are not the run and its data
    predict_controls, cells_by : see `plan.Plan.controls` and `counts`
    """

    model_config = ConfigDict(frozen=True)

    run: str
    season: str
    phase: str | None = None
    space: Space | None = None
    targets: Targets | None = None
    counts: Path | None = None
    context: str | None = None
    sources: dict[str, SourceChoice] = {}
    controls: int | None = None
    predict_controls: bool = False
    cells_by: CellsBy = "thin"
    sharing: Sharing = "advised"
    cells_of: dict[str, int] = {}
    genes: Path | None = None
    practice: bool = False
    seed: int = 0
    name: str = ""

    def make(
        self,
        settings: Settings,
        *,
        table: pd.DataFrame | None = None,
        opener: OpenIndex = open_index,
        measure: Measure = measure_effects,
    ) -> Plan:
        """The plan of this choice. table : that of the file `counts`, where it is read already."""
        season, record = find_season(self.season, settings), load_run(self.run, settings)
        index = opener(record.spec.dataset, settings).within(self.context)
        given = {
            context: Given(opener(one.dataset, settings).within(one.data_context), one.run)
            for context, one in self.sources.items()
        }
        for context, dataset in find_control_data(season, self.phase, settings).items():
            if context not in given and context not in index.contexts:
                given[context] = Given(opener(dataset, settings), self.run)
        first = next(iter(given.values()), Given(index, self.run))
        table = self._read_table(season, first.index, record) if table is None else table
        effects = self._measure(season, first, table, settings, measure) if self.sharing == "effect" else None
        return make_plan(
            index,
            self.run,
            table,
            season=season,
            settings=settings,
            phase=self.phase,
            space=self.space,
            sources=given,
            n_controls=self.controls,
            controls="predicted" if self.predict_controls else "copied",
            cells_by=self.cells_by,
            sharing=self.sharing,
            effects=effects,
            edits=self.cells_of,
            genes=self.genes,
            practice=self.practice,
            seed=self.seed,
            id=self.name or None,
        )

    def command(self) -> list[str]:
        """`vccapp submit plan`, word by word; what is the default is left out."""
        words = [
            "vccapp",
            "submit",
            "plan",
            *options(
                {
                    "--run": self.run,
                    "--season": self.season,
                    "--phase": self.phase,
                    "--space": self.space,
                    "--targets": None if self.counts else self.targets,
                    "--counts": self.counts,
                    "--context": self.context,
                    "--controls": None if self.controls is None else str(self.controls),
                    "--predict-controls": self.predict_controls,
                    "--cells-by": None if self.cells_by == "thin" else self.cells_by,
                    "--sharing": None if self.sharing == "advised" else self.sharing,
                    "--genes": self.genes,
                    "--practice": self.practice,
                    "--seed": self.seed or None,
                    "--name": self.name,
                }
            ),
        ]
        for context, source in self.sources.items():
            words += ["--source", source.text(context)]
        for label, n in self.cells_of.items():
            words += ["--cells-of", f"{label}={n}"]
        return words

    def _read_table(self, season: Season, index: Index, record: RunRecord) -> pd.DataFrame | None:
        """Cells wanted of each target; None for the season's own."""
        if self.counts is not None:
            return read_pert_counts(self.counts)
        targets = self.targets or default_targets(season, self.phase, set(index.genes["gene"]))
        if targets == "season":
            return None
        if len(index.contexts) > 1:
            index = index.within(index.contexts[0])
        held_out = [*record.split.test] or [*record.split.val]
        counts = observed_counts(index.perturbations, held_out)
        if counts.empty:
            raise SpecError(
                "no_held_out",
                "The run holds out no perturbation of this context",
                fix="choose the season's targets, another context, or a table of cells",
            )
        return counts

    def _measure(
        self, season: Season, first: Given, table: pd.DataFrame | None, settings: Settings, measure: Measure
    ) -> dict[str, float]:
        """Expected effects by target, as the first source's run predicts them."""
        phase = season.phase(self.phase)
        targets = [target.label for target in phase.targets] if table is None else table["target_gene"].tolist()
        context = next(iter(first.index.contexts), None)
        labels = {label_in(str(target), context): str(target) for target in targets}
        found = measure(first.run, tuple(labels), settings)
        return {target: found[label] for label, target in labels.items()}
