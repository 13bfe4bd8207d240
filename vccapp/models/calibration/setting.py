"""How much a prediction is changed after the fit."""

from pydantic import Field

from vccapp.parameters import Parameters, changed_values, label_of

MAX_COMPONENTS = 10


class Setting(Parameters):
    """Fields in the order in which they act; their defaults change nothing. Own targets follow `target_level` alone."""

    shared: float = Field(
        0.0,
        ge=0,
        le=1,
        title="Shared response removed",
        description="Share of the mean effect of the training perturbations that is taken out of every prediction.",
    )
    components: int = Field(
        0,
        ge=0,
        le=MAX_COMPONENTS,
        title="Control components removed",
        description="Leading principal components of the control cells that are taken out of every prediction.",
    )
    shrinkage: float = Field(
        0.0,
        ge=0,
        le=1,
        title="Shrinkage by reliability",
        description="1 multiplies each gene by its reliability, that of two halves of the training cells; 0 leaves it.",
    )
    amplitude: float = Field(
        1.0, ge=0, le=3, title="Amplitude", description="Factor on all predicted deltas but those of own targets."
    )
    target_level: float | None = Field(
        None,
        ge=0,
        le=2,
        title="Own-target level",
        description="Share of its control expression that a target keeps; as predicted if empty.",
    )

    @property
    def is_neutral(self) -> bool:
        """Whether it changes nothing."""
        return not self.changed

    @property
    def changed(self) -> dict[str, float]:
        """What is not as predicted."""
        return changed_values(type(self), self.model_dump())

    def describe(self) -> str:
        """For titles: 'amplitude 0.8, own-target level 0.2'."""
        return ", ".join(f"{label_of(type(self), name).lower()} {value:g}" for name, value in self.changed.items())
