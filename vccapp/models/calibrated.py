"""The prediction of a finished run, changed after its fit by a `Setting`, which is part of it and of its record.

Made by `vccapp.tasks.calibrate`. The fitted model is kept within it, so the run that it came from may be deleted. Its
cells are control cells brought to the changed means, also where the run's cells were its own.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from pydantic import Field

from vccapp.data.splits.split import Split
from vccapp.errors import SpecError
from vccapp.models.base import DEPTH, MODELS, Fitting, Model, ModelSpec, load_model, make_model
from vccapp.models.calibration.basis import Basis, measure_basis
from vccapp.models.calibration.prepared import Prepared
from vccapp.models.calibration.setting import Setting
from vccapp.models.saving import ModelState, read_seen
from vccapp.stats.index import Index
from vccapp.stats.knowledge import Knowledge
from vccapp.stats.per_context import PerContext


@MODELS.register("calibrated")
class Calibrated(Model):
    name = "calibrated"
    label = "Calibrated"
    description = "The prediction of a finished run, changed after its fit: its amplitude, say."
    trainable = False
    may_be_baseline = False
    paths = {"run": ""}

    class Spec(ModelSpec):
        run: str = Field(title="Calibrated run", description="Folder of the finished run.")
        setting: Setting = Field(title="Setting", description="What is changed.")
        chosen_on: tuple[str, ...] = Field(
            (), title="Chosen on", description="Perturbations whose cells the setting was chosen by."
        )

    spec: Spec
    base: Model  # fitted
    basis: Basis

    def sources(self, index: Index, split: Split) -> list[Knowledge]:
        chosen = Knowledge(
            source="The choice of the calibration",
            dataset=index.meta["fingerprint"],
            tuned=self.spec.chosen_on,
            fix="choose it by perturbations outside the test part",
        )
        return [*(known for known in read_seen(self._folder) if known.source != DEPTH), chosen]

    def check_inputs(self, index: Index, split: Split, *, device: str) -> None:
        if self.spec.setting.is_neutral:
            raise SpecError(
                "nothing_calibrated", "The setting changes nothing", fix="change the amplitude or another value"
            )
        base = self._open_base()
        if isinstance(base, Calibrated):
            raise SpecError(
                "calibrated_twice",
                "The run is a calibrated one",
                fix=f"calibrate the run that it was made from, {Path(base.spec.run).name}",
            )
        if set(base.trained_on) != set(split.train):
            raise SpecError(
                "other_split",
                f"The split '{split.name}' is not the one that the run was trained on",
                fix="use the run's own split",
            )

    def learn(self, index: Index, split: Split, fitting: Fitting) -> None:
        self.base = self._open_base()
        self.basis = measure_basis(index, split.train, n_components=self.spec.setting.components)

    def predict_deltas(self, perturbations: list[str]) -> np.ndarray:
        deltas, control = self.base.predict(perturbations), self.control_means.of(perturbations)
        return Prepared.of(perturbations, deltas, self.basis, control=control, genes=self.genes).apply(
            self.spec.setting
        )

    def available_cells(self, perturbation: str) -> int | None:
        return 0 if self.base.available_cells(perturbation) == 0 else None

    def coverage(self, perturbations: Sequence[str]) -> pd.DataFrame:
        return self.base.coverage(perturbations)

    def describe_basis(self, perturbations: Sequence[str]) -> dict[str, str]:
        return self.base.describe_basis(perturbations)

    def parts(self) -> dict[str, Model]:
        return {self.base.name: self.base}

    def state(self) -> ModelState:
        basis = {
            "shared": self.basis.shared.stored(),
            "reliability": self.basis.reliability,
            "components": self.basis.components,
        }
        about = {"base_name": self.base.name, "base_spec": self.base.spec.model_dump(mode="json")}
        return ModelState(basis, about) | ModelState.of({"base": self.base.state()})

    def restore(self, state: ModelState) -> None:
        shared = PerContext(self.control_means.contexts, np.atleast_2d(state.arrays["shared"]))
        self.basis = Basis(shared, state.arrays["reliability"], state.arrays["components"])
        self.base = make_model(state.meta["base_name"], state.meta["base_spec"])
        self.restore_member(self.base, state.part("base"))

    @property
    def _folder(self) -> Path:
        return Path(self.spec.run) / "model"

    def _open_base(self) -> Model:
        return load_model(self._folder, genes=self.genes.tolist())
