"""What a season asks of a submission: cells, genes, values, container, metrics and dates. Everything else asks it.

    season = SEASONS["vcc2025"]
    season.phase("validation").targets      # 50, with the cells advised of each
    season.wanted("validation")             # the same by label: {"SH3BP4": 2925, ...}

A season is one file in this package that registers one `Season`, or a TOML of a user. What it declares and nothing can
do is refused where it is made.
"""

from collections.abc import Mapping
from datetime import date
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PositiveInt, model_validator

from vccapp.data.schema import AT, CONTROL, label_in
from vccapp.errors import SpecError
from vccapp.registry import Registry
from vccapp.seasons.containers import Container

SEASONS = Registry["Season"]("season", package="vccapp.seasons")

MetricRules = Literal["2025", "2026"]
"""Whose definitions of the metrics: cell-eval's of 2025 (log1p), or cell-eval2's of 2026 (counts)."""
JUDGED: Mapping[MetricRules, tuple[str, ...]] = MappingProxyType(
    {
        "2025": ("des", "pds", "mae", "overall"),
        "2026": (
            "pds_cosine",
            "mse_capped",
            "direction_fidelity",
            "direction_reach",
            "jaccard",
            "lfc_nmae",
            "overall",
        ),
    }
)
"""What a leaderboard by these rules shows, by the names of our metrics."""
Space = Literal["log1p", "counts"]


MAX_NAME = 100


def check_name(name: str) -> str:
    """A label, context or column as cells can carry it. Raises ValueError."""
    if not name or name != name.strip() or not name.isprintable() or len(name) > MAX_NAME:
        raise ValueError(f"a name has 1 to {MAX_NAME} characters that can be seen, without blanks around it")
    if AT in name:
        raise ValueError(f"a name has no '{AT}', which stands between target and context")
    return name


Name = Annotated[str, AfterValidator(check_name)]


class Target(BaseModel):
    """A perturbation to predict. n_cells : asked or advised; median_umi : of its real cells; None where not known"""

    model_config = ConfigDict(frozen=True)

    label: Name
    n_cells: PositiveInt | None = None
    median_umi: float | None = Field(None, gt=0, allow_inf_nan=False)


class Phase(BaseModel):
    """A part of a season with targets of its own.

    contexts : that each target is predicted in; () where the season tells none apart
    targets : () where they are read from the organisers' bundle
    """

    model_config = ConfigDict(frozen=True)

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    label: str
    contexts: tuple[Name, ...] = ()
    targets: tuple[Target, ...] = ()
    opens: date | None = None
    closes: date | None = None
    note: str = ""
    confirm: str = Field("", description="What who hands in must know before.")


class Season(BaseModel):
    """The rules of one season.

    spaces : of the values that a file may hold; the first is what is written unless another is chosen
    """

    model_config = ConfigDict(frozen=True, ignored_types=(cached_property,))

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")
    label: str
    n_genes: PositiveInt = Field(description="Number of genes, in the order of the official gene list.")
    gene_file: Path | None = Field(None, description="The official gene list, one a line; None: in the bundle.")
    pert_col: Name = Field("target_gene", description="Column of obs that names the perturbation of each cell.")
    context_col: Name | None = Field(None, description="Column of obs that names the context; None: there is none.")
    control_label: Name = Field(CONTROL, description="Label of control cells in the perturbation column.")
    controls: Literal["required", "forbidden", "allowed"]
    spaces: tuple[Space, ...] = Field(min_length=1)
    cells_per_target: PositiveInt | None = Field(None, description="Exactly as many in each context; None: advice.")
    max_cells: PositiveInt = Field(description="Maximum number of cells, controls included.")
    max_values: PositiveInt | None = Field(None, description="Maximum number of stored values of X.")
    max_value: float | None = Field(
        None, gt=0, allow_inf_nan=False, description="Upper limit of log1p values (exclusive)."
    )
    max_cell_total: float | None = Field(
        None, gt=0, allow_inf_nan=False, description="Upper limit of the counts of one cell (inclusive)."
    )
    container: Container
    metrics: MetricRules
    depth: float | None = Field(
        None, gt=0, allow_inf_nan=False, description="What real cells sum to, typically (UMIs)."
    )
    phases: tuple[Phase, ...] = Field(min_length=1)
    hand_in: str = Field("", description="Command that hands in {file} under {name}, or the address of the page.")
    source: str = Field(description="Source of these rules.")

    @property
    def space(self) -> Space:
        """What is written unless another is chosen."""
        return self.spaces[0]

    @property
    def judged(self) -> tuple[str, ...]:
        """The scores that its leaderboard shows."""
        return JUDGED[self.metrics]

    @property
    def needs_bundle(self) -> bool:
        """Whether genes or targets are known from the organisers' files alone."""
        return self.gene_file is None or any(not phase.targets for phase in self.phases)

    def is_known(self, phase: str | None = None) -> bool:
        """Whether genes and targets of a phase are known: without their bundle being opened, or since it was."""
        return self.gene_file is not None and bool(self.phase(phase).targets)

    @cached_property
    def genes(self) -> tuple[str, ...] | None:
        """The official genes in order; None where they are read from the bundle."""
        if self.gene_file is None:
            return None
        return tuple(self.gene_file.read_text(encoding="utf-8").split("\n")[: self.n_genes])

    def phase(self, name: str | None = None) -> Phase:
        """By name; the last one without. Raises SpecError for a name that the season does not have."""
        if name is None:
            return self.phases[-1]
        for phase in self.phases:
            if phase.name == name:
                return phase
        names = ", ".join(phase.name for phase in self.phases)
        raise SpecError("unknown_phase", f"{self.label} has no phase '{name}'", fix=f"choose one of {names}")

    def wanted(self, phase: str | None = None) -> dict[str, int]:
        """Cells asked or advised of each label (`TARGET`, or `TARGET@CONTEXT`), context by context.

        Raises SpecError where the targets or the numbers are known from the organisers' files alone.
        """
        chosen = self.phase(phase)
        numbers = {target.label: self.cells_per_target or target.n_cells for target in chosen.targets}
        if not numbers or None in numbers.values():
            raise SpecError(
                "needs_bundle",
                f"The targets of {self.label} ({chosen.label}) are in the organisers' files",
                fix="open them: vccapp season open FOLDER",
            )
        return {
            label_in(label, context): n
            for context in chosen.contexts or (None,)
            for label, n in numbers.items()
            if n is not None
        }

    @model_validator(mode="after")
    def _can_be_done(self) -> Self:
        for phase in self.phases:
            if bool(phase.contexts) != bool(self.context_col):
                raise ValueError(f"phase {phase.name}: contexts and context_col are given together or not at all")
            if len(set(phase.contexts)) < len(phase.contexts):
                raise ValueError(f"phase {phase.name}: a context is named twice")
            if len({target.label for target in phase.targets}) < len(phase.targets):
                raise ValueError(f"phase {phase.name}: a target is named twice")
            if self.control_label in {target.label for target in phase.targets}:
                raise ValueError(f"phase {phase.name}: the control {self.control_label} is no target")
            asked = (self.cells_per_target or 0) * len(phase.targets) * max(len(phase.contexts), 1)
            if asked + (self.controls == "required") > self.max_cells:
                controls = " beside the controls" if self.controls == "required" else ""
                raise ValueError(
                    f"phase {phase.name} asks for {asked:,} cells{controls}, and {self.max_cells:,} are allowed"
                )
            if phase.opens and phase.closes and phase.opens > phase.closes:
                raise ValueError(f"phase {phase.name} closes before it opens")
        if len({phase.name for phase in self.phases}) < len(self.phases):
            raise ValueError("two phases have one name")
        if self.pert_col == self.context_col:
            raise ValueError("pert_col and context_col are one column")
        if len(set(self.spaces)) < len(self.spaces):
            raise ValueError("a space is named twice")
        if self.max_value is not None and "log1p" not in self.spaces:
            raise ValueError("max_value is of log1p values, and the season takes counts")
        if self.max_cell_total is not None and "counts" not in self.spaces:
            raise ValueError("max_cell_total is of counts, and the season takes log1p values")
        if self.container.name == "vcc2026" and self.context_col is None:
            raise ValueError("the container vcc2026 records contexts, and the season has none")
        if self.metrics == "2026" and "counts" not in self.spaces:
            raise ValueError("the metrics of 2026 are of counts, and the season takes log1p values")
        return self
