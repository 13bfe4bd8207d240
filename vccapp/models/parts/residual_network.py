"""A network on top of a closed-form model: what every such model shares, whatever its network is.

    prediction = baseline + share * network            over the genes that the network models
    the other genes                                    follow from those, see `vccapp.neural.fitting.full_genes`

A subclass makes the network, its batches and its loss (`learn`, `make_network`) and says how much work they are
(`count_work`). Baseline and its cross-fit, the controls that are kept, the share, the estimate, and what is saved of
all that are here. A subclass whose network stands alone has no baseline.
"""

from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from vccapp.data.splits.split import Split
from vccapp.errors import DataError
from vccapp.models.base import PROGRAM_BYTES, Estimate, Fitting, Made, Model
from vccapp.models.parts.residual import cross_fit, fit_share, measure_gain
from vccapp.models.saving import ModelState
from vccapp.neural.fitting.estimate import BYTES_A_WEIGHT, TORCH_BYTES, Precision, training_speed
from vccapp.neural.fitting.full_genes import FullGenes
from vccapp.neural.fitting.sampler import Cells
from vccapp.progress import part
from vccapp.stats.cells.matrix import CellMatrix, cells_memory, matrix_bytes, open_cell_matrix
from vccapp.stats.index import Index
from vccapp.stats.knowledge import Knowledge

if TYPE_CHECKING:
    from vccapp.neural.fitting.loop import LoopResult
    from vccapp.neural.scouter.net import ScouterNet
    from vccapp.neural.state.net import StateNet

METRIC_LABELS = {"val_pearson_delta": "Pearson of deltas", "val_pds": "PDS", "val_mae": "MAE"}
PAIRING_LABELS = {"random": "Any control", "batch": "Controls of the same batch"}
PRECISION_LABELS = {"auto": "Automatic", "float32": "float32"}
PREPARING = 0.1
"""Of a fit's progress, before its loop."""
TRIAL = 10
"""A network that does not help is given up after this part of its steps: a tenth."""
LEAST_TRIAL = 100
"""Steps below which a trial says nothing: networks that helped in the end did not yet, and it is over soon anyhow."""
GIVE_UP = Field(
    True,
    title="Stop if it does not help",
    description="End after a tenth of the steps if nothing that the network adds to its baseline has helped on the "
    "validation part; the run then is its baseline, and says so.",
)


@dataclass(frozen=True)
class Work:
    """What a training computes: weights of the network, operations of all steps, bytes that a step keeps, in words."""

    n_genes: int
    weights: int
    operations: float
    step_bytes: int
    precision: Precision
    text: str


class ResidualNetwork(Model):
    """See the module's text."""

    is_network = True
    may_be_baseline = False

    network: "ScouterNet | StateNet"  # in eval mode, on the CPU
    controls: np.ndarray  # (cells, inputs) float16: what the network starts from
    control_contexts: np.ndarray  # (cells,) int64 number of the context of each of them
    other_genes: FullGenes
    baseline: Model | None  # fitted

    @abstractmethod
    def baseline_maker(self) -> Callable[[], Model] | None:
        """What makes an unfitted one; None where the network's output stands alone."""

    @abstractmethod
    def make_network(self, state: ModelState) -> "ScouterNet | StateNet":
        """One of the shape that a state tells, its weights not yet those; `controls` and `other_genes` are there."""

    @abstractmethod
    def count_work(self, index: Index, split: Split) -> Work:
        """Told without torch."""

    def sources(self, index: Index, split: Split) -> list[Knowledge]:
        """Those of its baseline; a subclass adds what else it reads."""
        make = self.baseline_maker()
        return [] if make is None else list(make().sources(index, split))

    def check_inputs(self, index: Index, split: Split, *, device: str) -> None:
        """The device, and the baseline; a subclass adds what else it names."""
        if device.startswith("cuda"):
            from vccapp.neural.fitting.device import choose_device

            choose_device(device)
        if make := self.baseline_maker():
            make().check(index, split, device=device)

    @property
    def modelled(self) -> np.ndarray:
        """Positions of the genes that the network predicts."""
        return self.other_genes.modelled

    def estimate(self, index: Index, split: Split, *, memory_bytes: int) -> Estimate:
        """Time of all steps, without validations and an early end; memory at the peak.

        That is what is resident, libraries included, but for pages of the data's files: those are a cache that the
        system takes back. So cells that are mapped from a file do not count. Measured: benchmarks/estimates.py.
        """
        work = self.count_work(index, split)
        cells = matrix_bytes(index, work.n_genes)
        memory = PROGRAM_BYTES + TORCH_BYTES + BYTES_A_WEIGHT * work.weights + work.step_bytes
        memory += cells if cells <= cells_memory(memory_bytes) else 0
        memory += 6 * (len(split.train) + len(split.val) + 1) * len(index.genes) * 4
        seconds = work.operations / training_speed(work.precision) + cells / 1e8
        return Estimate(seconds=seconds, memory_bytes=int(memory), text=work.text)

    def open_cells(self, index: Index, split: Split, genes: np.ndarray, fitting: Fitting) -> CellMatrix:
        """The cells over the genes (positions) that the network will model; the others will follow from those."""
        self.other_genes = FullGenes.fit(index, split.train, genes)
        progress, limit = part(fitting.progress, 0.0, PREPARING), cells_memory(fitting.memory_bytes)
        return open_cell_matrix(index, genes, memory_bytes=limit, progress=progress)

    def state(self) -> ModelState:
        weights = {name: value.cpu().numpy() for name, value in self.network.state_dict().items()}
        parts = {"network": ModelState(weights), "rest": ModelState(self.other_genes.arrays())}
        parts |= {} if self.baseline is None else {"baseline": self.baseline.state()}
        kept = {"controls": self.controls}
        if self.control_means.contexts:
            kept["control_contexts"] = self.control_contexts
        made = {} if self.made is None else {"made": self.made.model_dump(mode="json")}
        return ModelState(kept, made) | ModelState.of(parts)

    def restore(self, state: ModelState) -> None:
        import torch

        self.controls = state.arrays["controls"]
        self.control_contexts = state.arrays.get("control_contexts", np.zeros(len(self.controls), np.int64))
        self.made = Made.model_validate(state.meta["made"]) if "made" in state.meta else None
        self.other_genes = FullGenes.restore(state.part("rest").arrays)
        self.network = self.make_network(state).eval()
        weights = state.part("network").arrays
        self.network.load_state_dict({name: torch.from_numpy(value) for name, value in weights.items()})
        make = self.baseline_maker()
        self.baseline = make() if make else None
        if self.baseline is not None:
            self.restore_member(self.baseline, state.part("baseline"))

    def draw_controls(self, cells: Cells, n: int, *, seed: int) -> np.ndarray:
        """Rows of up to `n` control cells of each context, which are those that the model starts from."""
        drawn = [draw_controls(cells.of(context), n, seed=seed) for context in range(cells.n_contexts)]
        self.control_contexts = np.repeat(np.arange(len(drawn)), [len(rows) for rows in drawn])
        return np.concatenate(drawn)

    def by_context(self, perturbations: Sequence[str], n_controls: int) -> Iterator[tuple[list[int], np.ndarray]]:
        """Places of the perturbations of a context, and the places of its first `n_controls` control cells."""
        places = self.control_means.places(perturbations)
        for context in sorted(set(places)):
            own = [i for i, place in enumerate(places) if place == context]
            yield own, np.flatnonzero(self.control_contexts == context)[:n_controls]

    def fit_baseline(self, index: Index, split: Split, labels: Sequence[str], *, seed: int) -> np.ndarray | None:
        """Fit it, and return the deltas (labels, modelled) that the network adds to; None without a baseline.

        labels : the controls, the training perturbations, which are cross-fitted, and maybe others
        """
        make = self.baseline_maker()
        self.baseline = make().fit(index, split, seed=seed) if make else None
        if make is None or self.baseline is None:
            return None
        deltas = np.zeros((len(labels), len(self.genes)), np.float32)
        first = len(index.controls)
        known = first + len(split.train)
        deltas[first:known] = cross_fit(make, index, split, seed=seed)
        if len(labels) > known:
            deltas[known:] = self.baseline.predict(labels[known:])
        return np.ascontiguousarray(deltas[:, self.modelled])

    def predict_baseline(self, perturbations: Sequence[str]) -> np.ndarray | None:
        """(n, n_genes) deltas that the network's come on top of; None: nothing."""
        return None if self.baseline is None else self.baseline.predict(perturbations)

    def parts(self) -> dict[str, Model]:
        return {} if self.baseline is None else {self.baseline.name: self.baseline}

    def judge(self, index: Index, split: Split, fitting: Fitting) -> Callable[[np.ndarray], dict[str, float]] | None:
        """`fitting.validate` and, on top of a baseline, whether a share of what the network adds helps."""
        from vccapp.neural.fitting.loop import GAIN

        validate = fitting.validate
        if validate is None or self.baseline is None:
            return validate
        base = self.baseline.predict(split.val)
        return lambda deltas: validate(deltas) | {GAIN: measure_gain(index, split.val, base, deltas)}

    def trial_step(self, steps: int, fitting: Fitting) -> int:
        """The step at which a network that does not help is given up; 0: never, as it cannot be told."""
        if self.baseline is None or fitting.validate is None or steps // TRIAL < LEAST_TRIAL:
            return 0
        return steps // TRIAL

    def end_training(self, index: Index, split: Split, fitting: Fitting, result: "LoopResult") -> None:
        """Bring the network to the CPU, keep as much of what it adds as held-out effects say is right, and note it."""
        self.network.cpu()
        share = 1.0
        if self.baseline is not None and fitting.validate is not None:
            base, predicted = self.baseline.predict(split.val), self.predict(split.val)
            share = fit_share(index, split.val, base, predicted)
            self.network.scale_output(share)
        baseline = "" if self.baseline is None else self.baseline.name
        self.made = Made(
            steps=result.steps,
            best_step=result.kept_step,
            share=share,
            baseline=baseline,
            gave_up=result.hopeless,
        )


def draw_controls(rows: np.ndarray, n: int, *, seed: int) -> np.ndarray:
    """Up to `n` of the rows of control cells, without replacement: those that are kept with a model.

    Raises DataError when there are none.
    """
    if not len(rows):
        raise DataError(
            "no_controls",
            "The dataset has no control cells to start from",
            fix="use a dataset with control cells",
        )
    return np.random.default_rng((seed, 5)).permutation(rows)[:n]
