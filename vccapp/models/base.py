"""The interface of every model, and the registry that finds them.

    model = MODELS["perturbation_mean"](PerturbationMean.Spec()).fit(index, split)
    deltas = model.predict(["STAT1", "MED12"])          # (2, n_genes) float32, log1p units
    cells = model.cells("STAT1", controls)              # csr like `controls`, one predicted cell per control cell
    model.save(folder); load_model(folder)

A model learns from the controls and from the pseudobulks of `split.train`, never from held-out ones; what else it
reads it names in `sources`, and a source that has seen held-out perturbations is refused. To add one, write
`vccapp/models/<name>.py` with a registered subclass that has `learn`, `predict_deltas`, `state` and `restore`.
What is saved is `model.json` and `state.safetensors`, see `vccapp.models.saving`.
"""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self, Unpack

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict
from scipy.sparse import csr_matrix

import vccapp
from vccapp.data.atomic import write_folder
from vccapp.data.paths import absolute, is_there
from vccapp.data.resources import PROGRAM_BYTES
from vccapp.data.schema import genes_of, is_control
from vccapp.data.splits.split import Split
from vccapp.errors import DataError
from vccapp.models.anchor import anchor_cells
from vccapp.models.saving import ARRAYS, MODEL, RECORD, ModelState, read_model, write_model
from vccapp.neural.fitting.estimate import Estimate
from vccapp.neural.fitting.fitting import Fitting, FittingOptions
from vccapp.parameters import Parameters, Preset, label_of
from vccapp.records import undamaged
from vccapp.registry import Registry, make_spec
from vccapp.stats.index import Index
from vccapp.stats.knowledge import Knowledge, refuse_leaks
from vccapp.stats.per_context import PerContext

MODELS = Registry[type["Model"]]("model", package="vccapp.models")


GUESSED, COVERED, ELSEWHERE, TRAINED = BASES = ("guessed", "covered", "measured elsewhere", "trained on")
"""What a prediction rests on, from the least: the mean of others; what is known of a target, its vector say; its own
effect in another screen; its own effect in these data.
"""


class Made(BaseModel):
    """What made a network's prediction.

    best_step : that of the weights that were kept by their validation; None: the last ones were kept
    share : of what the network adds, how much was taken; baseline : name of the model that it adds to, "" without one
    gave_up : whether the training ended early because nothing that it added helped
    """

    model_config = ConfigDict(frozen=True)

    steps: int
    best_step: int | None = None
    share: float = 1.0
    baseline: str = ""
    gave_up: bool = False

    @property
    def is_baseline(self) -> bool:
        """Whether the network adds nothing: its prediction is that of its baseline."""
        return bool(self.baseline) and (self.best_step == 0 or self.share == 0)


DEPTH = "The depth to which cells are brought, the median of all cells of a context, held-out ones too"
"""What every model takes from all cells of counts: a number a context."""


class ModelSpec(Parameters):
    """Hyperparameters of a model. A field's description is its help text in the form and the command line."""


class Model(ABC):
    """A predictor of perturbation effects. Fitted models hold `genes`, `control_means` and what they learnt."""

    name: ClassVar[str]
    label: ClassVar[str]
    description: ClassVar[str]
    purpose: ClassVar[str] = ""
    """What people take it for, in one sentence; empty where the description says it."""
    use: ClassVar[str] = "Other"
    """The same in a word or two, shared by models for the same."""
    order: ClassVar[int] = 100
    """Its place in lists, which go from what one begins with to what takes most time."""
    Spec: ClassVar[type[ModelSpec]] = ModelSpec
    presets: ClassVar[Mapping[str, Preset]] = {}
    """Parameters that go together, by the names quick, paper and strong."""
    trainable: ClassVar[bool] = True
    """Whether people choose it to train; predictions made elsewhere are imported instead."""
    shared: ClassVar[bool] = False
    """Whether several processes can share its fit."""
    grid: ClassVar[dict[str, tuple[Any, ...]]] = {}
    """Values of parameters that are worth a try on each data set."""

    keeps_cells: ClassVar[bool] = False
    """Whether cells were made once and are kept with it, as many as there are."""
    is_network: ClassVar[bool] = False
    """Whether it is trained step by step, on cells."""
    known_as: ClassVar[str] = COVERED
    """What the prediction of a perturbation rests on where the model knows a target of it: one of BASES."""
    may_be_baseline: ClassVar[bool] = True
    """Whether a network may be trained on top of it."""
    takes_embedding: ClassVar[bool] = False
    """Whether its parameter `embedding` names a gene embedding, which a model made of it may choose for it."""
    least_squares: ClassVar[Mapping[str, Any]] = {}
    """Parameters that make its predictions those of least squares, where they are not by themselves."""
    paths: ClassVar[Mapping[str, str]] = {}
    """Parameters that may be paths, and what joins several of them; empty: it is one."""

    def __init__(self, spec: ModelSpec | None = None) -> None:
        self.spec = self.Spec() if spec is None else spec
        self.genes: np.ndarray  # (n_genes,) str
        self.control_means: PerContext  # (n_contexts, n_genes) float32, mean log1p of the controls
        self.trained_on: tuple[str, ...]  # perturbations
        self.seen: tuple[Knowledge, ...]  # what it has seen itself, then what its sources have
        self.made: Made | None = None  # of a network, once it is fitted

    def fit(
        self,
        index: Index,
        split: Split,
        **options: Unpack[FittingOptions],
    ) -> Self:
        """Learn from the controls and the training perturbations of `split`; returns the model itself.

        options : fields of `Fitting`: seed, log, progress, ...
        Raises SpecError for a source that has seen what the split holds out.
        """
        self._take_data(index, split)
        self.learn(index, split, Fitting(**options))
        return self

    def check(self, index: Index, split: Split, *, device: str) -> None:
        """Raise what `fit` would for what its parameters name: files, models, parts of the data, a device.

        Called before a run exists, so it reads little and learns nothing.
        """
        self._take_data(index, split)
        self.check_inputs(index, split, device=device)

    def _take_data(self, index: Index, split: Split) -> None:
        self.genes = index.genes["gene"].to_numpy(str)
        self.control_means = PerContext(tuple(index.contexts), index.means(index.controls))
        self.trained_on = tuple(split.train)
        sources = tuple(self.sources(index, split))
        refuse_leaks(sources, index, split)
        dataset = index.meta["fingerprint"]
        own = Knowledge(source=self.label, dataset=dataset, learnt=split.train, tuned=split.val)
        depth = Knowledge(source=DEPTH, dataset=dataset)
        self.seen = (own, *((depth,) if index.meta["value_space"] == "counts" else ()), *sources)

    def sources(self, index: Index, split: Split) -> Sequence[Knowledge]:
        """What it reads beside the controls and the training part of these data, and what each of that has seen.

        Raises SpecError where there is no such source.
        """
        return ()

    def check_inputs(self, index: Index, split: Split, *, device: str) -> None:  # noqa: B027 - optional
        """What `check` does, once `genes` are set; most models name nothing."""

    def estimate(self, index: Index, split: Split, *, memory_bytes: int) -> Estimate:
        """What `fit` with so much memory to plan with will take, told without torch.

        Here: a closed form on the pseudobulks.
        """
        pseudobulks = (len(split.train) + 1) * len(index.genes) * 4
        return Estimate(seconds=1 + pseudobulks / 1e8, memory_bytes=PROGRAM_BYTES + 3 * pseudobulks)

    def predict(self, perturbations: Sequence[str]) -> np.ndarray:
        """(n, n_genes) float32 deltas against the controls, log1p units. The control's own delta is zero."""
        deltas = self.predict_deltas(list(perturbations)).astype(np.float32, copy=False)
        deltas[[is_control(label) for label in perturbations]] = 0
        return deltas

    def coverage(self, perturbations: Sequence[str]) -> pd.DataFrame:
        """What the model knows of each: perturbation, n_targets, n_known (targets among its genes), trained.

        A perturbation whose targets are not all known gets a prediction that does not depend on those targets.
        """
        known = set(self.genes.tolist())
        return pd.DataFrame(
            {
                "perturbation": list(perturbations),
                "n_targets": [len(targets(label)) for label in perturbations],
                "n_known": [sum(gene in known for gene in targets(label)) for label in perturbations],
                "trained": [label in self.trained_on for label in perturbations],
            }
        )

    def describe_basis(self, perturbations: Sequence[str]) -> dict[str, str]:
        """By perturbation what its prediction rests on: one of BASES."""
        frame = self.coverage(perturbations)
        known = np.where(frame["n_known"] > 0, self.known_as, GUESSED)
        return dict(zip(perturbations, np.where(frame["trained"], TRAINED, known).tolist(), strict=True))

    def cells(self, perturbation: str, controls: csr_matrix) -> csr_matrix:
        """Predicted cells (n, n_genes), log1p csr float32, one per control cell given (log1p csr).

        Here: the control cells scaled gene by gene until their mean is the control mean plus the predicted delta.
        """
        return anchor_cells(controls, self.control_means.of([perturbation])[0] + self.predict([perturbation])[0]).cells

    def cell_blocks(
        self, perturbation: str, controls: Iterable[tuple[csr_matrix, np.ndarray]]
    ) -> Iterator[tuple[csr_matrix, np.ndarray]]:
        """Predicted cells of one perturbation for blocks of control cells, one for one.

        A block is (log1p csr (n, n_genes), (n,) counts that one unit of expm1 is worth in each cell).
        """
        for block, scaling in controls:
            yield self.cells(perturbation, block), scaling

    def parts(self) -> Mapping[str, "Model"]:
        """Fitted models that its prediction starts from, by name: their scores stand beside its own."""
        return {}

    @property
    def makes_cells(self) -> bool:
        """Whether its cells are its own, and not control cells that are brought to its predicted means."""
        return False

    def available_cells(self, perturbation: str) -> int | None:
        """Different cells that the model can give of a perturbation: None as many as asked, 0 no prediction."""
        return None

    def save(self, folder: Path) -> None:
        """Write the fitted model to `folder`, atomically."""
        state = self.state() | ModelState({"control_mean": self.control_means.stored()})
        record = {
            "name": self.name,
            "spec": self.spec.model_dump(mode="json"),
            "genes": self.genes.tolist(),
            "genes_hash": hash_genes(self.genes),
            "trained_on": list(self.trained_on),
            "contexts": list(self.control_means.contexts),
            "seen": [known.model_dump(mode="json") for known in self.seen],
            "vccapp": vccapp.__version__,
        }
        with write_folder(folder) as beside:
            write_model(beside, record, state)
            self.write_files(beside)

    def restore_member(self, member: "Model", state: ModelState) -> None:
        """Restore an unfitted model that this one is made of, and that was fitted to the same data."""
        member.genes, member.control_means, member.trained_on = self.genes, self.control_means, self.trained_on
        member.seen = self.seen
        member.restore(state)

    def write_files(self, folder: Path) -> None:  # noqa: B027 - optional
        """Write to a new folder what is too large for `state`; most models have nothing such."""

    def read_files(self, folder: Path) -> None:  # noqa: B027 - optional
        """Open again what `write_files` wrote."""

    @abstractmethod
    def learn(self, index: Index, split: Split, fitting: Fitting) -> None:
        """Learn; `genes`, `control_means` and `trained_on` are set already."""

    @abstractmethod
    def predict_deltas(self, perturbations: list[str]) -> np.ndarray:
        """A new (n, n_genes) array of deltas; labels may be unseen, of two genes, or name no gene of the data."""

    @abstractmethod
    def state(self) -> ModelState:
        """What was learnt: arrays, and what is none apart from them."""

    @abstractmethod
    def restore(self, state: ModelState) -> None:
        """Take back what `state` gave."""


def targets(perturbation: str) -> tuple[str, ...]:
    """The genes that a label names: none for the control, two for 'A+B'."""
    return () if is_control(perturbation) else genes_of(perturbation)


def hash_genes(genes: Iterable[str]) -> str:
    """16 hex digits that tell gene lists apart, order included."""
    return hashlib.sha256("\n".join(genes).encode()).hexdigest()[:16]


def make_model(name: str, params: dict[str, Any] | None = None) -> Model:
    """An unfitted model. Raises SpecError for an unknown name or a wrong parameter, in one sentence."""
    model = MODELS[name]
    return model(make_spec(model.Spec, params or {}, name=name))


def absolute_paths(name: str, params: Mapping[str, Any], *, folder: Path) -> dict[str, Any]:
    """Parameters of a model with relative paths made absolute: a job works in another folder than its user.

    Only what is there in `folder` is taken for a path; what is not may be a name.
    """
    found = dict(params)
    for field, joint in (MODELS[name].paths if name in MODELS else {}).items():
        if isinstance(text := found.get(field), str):
            parts = text.split(joint) if joint and not is_there(text, folder=folder) else [text]
            places = [absolute(part.strip(), folder=folder) for part in parts]
            if places != [part.strip() for part in parts]:
                found[field] = joint.join(places)
    return found


def list_trainable() -> list[str]:
    """The models that people train, in the order of their use."""
    names = [name for name, model in MODELS.items() if model.trainable]
    return sorted(names, key=lambda name: MODELS[name].order)


def is_trained(name: str) -> bool:
    """Whether runs of a model are trained, as far as this installation knows; others are made of predictions."""
    return name not in MODELS or MODELS[name].trainable


def label_model(name: str) -> str:
    """The label of a model; its name where this installation has none of that name."""
    return MODELS[name].label if name in MODELS else name


def label_parameter(model: str, name: str) -> str:
    """What a parameter of a model is called in forms, tables and charts; also of a model that is not installed."""
    return label_of(MODELS[model].Spec if model in MODELS else ModelSpec, name)


def load_model(folder: Path, *, genes: Sequence[str] | None = None) -> Model:
    """Read a fitted model. Raises DataError when files are missing or damaged, or when its genes are not `genes`."""
    record, state = read_model(folder)
    if record["genes_hash"] != hash_genes(record["genes"]):
        raise MODEL.damaged(folder / RECORD, "its genes do not match their hash")
    if genes is not None and hash_genes(genes) != record["genes_hash"]:
        raise DataError(
            "model_genes",
            f"The model in {folder} predicts {len(record['genes']):,} genes that differ from the "
            f"{len(genes):,} of the dataset or are in another order",
            fix="train a model on this dataset",
        )
    model = make_model(record["name"], record["spec"])
    model.genes = np.array(record["genes"], dtype=str)
    model.trained_on = tuple(record["trained_on"])
    model.seen = tuple(record["seen"])
    with undamaged(folder / ARRAYS, fix=MODEL.fix):
        model.control_means = PerContext(tuple(record["contexts"]), np.atleast_2d(state.arrays["control_mean"]))
        wanted = (max(len(record["contexts"]), 1), len(model.genes))
        if model.control_means.rows.shape != wanted or not np.isfinite(model.control_means.rows).all():
            msg = f"control_mean is no table of {wanted[0]} x {wanted[1]} finite numbers"
            raise ValueError(msg)
        model.restore(state)
    model.read_files(folder)
    return model
