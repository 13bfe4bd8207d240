"""A model used on control cells of other data than it was trained on: genes by name, contexts as far as it knows them.

    predictor = align_model(model, index)              # the model itself where the data are its own
    predictor.predict(["STAT1@A"])                     # (1, genes of the index) deltas

A gene that the model does not know keeps its value in the controls (delta 0). A perturbation in a context that it does
not know gets the mean of the predictions in those that it knows.
"""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from scipy.sparse import csr_matrix

from vccapp.data.schema import context_of, control_of, label_in, positions_of, target_of
from vccapp.errors import DataError
from vccapp.models.anchor import anchor_cells
from vccapp.models.base import Model
from vccapp.stats.index import Index
from vccapp.training.cells import Predictor
from vccapp.wording import name_some


def align_model(model: Model, index: Index) -> Predictor:
    """What makes cells of the control cells of `index`: the model itself where it knows their genes and contexts.

    Raises DataError where the model and the data have no gene in common.
    """
    if not note_alignment(model.genes.tolist(), model.control_means.contexts, index) and len(model.genes) == len(
        index.genes
    ):
        return model
    return AlignedModel(model, index)


def note_alignment(genes: Sequence[str], contexts: Sequence[str], index: Index) -> tuple[str, ...]:
    """What a model of these genes and contexts lacks of the data, in sentences; none where it has the same."""
    own, notes = index.genes["gene"].tolist(), []
    if unknown := len(set(own) - set(genes)):
        notes.append(
            f"{unknown:,} of the {len(own):,} genes are unknown to the model: they keep their values in the controls."
        )
    elif list(genes) != own:
        notes.append("The model has the genes in another order, or more of them: they are matched by name.")
    strange = [context for context in index.contexts or [""] if context not in contexts]
    if contexts and strange:
        told = f"The contexts {name_some(strange)} are" if index.contexts else "The context of the controls is"
        notes.append(f"{told} unknown to the model: predictions are the means of those in {name_some(contexts)}.")
    return tuple(notes)


class AlignedModel:
    """See the module. places : (genes of the index,) int64 among the model's genes, -1 for those that it lacks"""

    def __init__(self, model: Model, index: Index) -> None:
        self.model, self.index = model, index
        genes, position = index.genes["gene"].tolist(), positions_of(model.genes.tolist())
        self.places = np.array([position.get(gene, -1) for gene in genes], np.int64)
        self._here = np.flatnonzero(self.places >= 0)
        if not len(self._here):
            raise DataError(
                "model_genes",
                f"None of the {len(genes):,} genes of the dataset is known to the model, which has {len(position):,}",
                fix="use a run that was trained on data with the same gene names",
            )

    @property
    def makes_cells(self) -> bool:
        return self.model.makes_cells

    def predict(self, perturbations: Sequence[str]) -> np.ndarray:
        """(n, genes of the index) float32 deltas; 0 for genes that the model does not know."""
        deltas = np.zeros((len(perturbations), len(self.places)), np.float32)
        for row, label in enumerate(perturbations):
            own = self.model.predict(self._labels(label)).mean(axis=0, dtype=np.float32)
            deltas[row, self._here] = own[self.places[self._here]]
        return deltas

    def cell_blocks(
        self, perturbation: str, controls: Iterable[tuple[csr_matrix, np.ndarray]]
    ) -> Iterator[tuple[csr_matrix, np.ndarray]]:
        """Controls of the index brought to their mean plus the delta; or the model's own cells, for genes it knows."""
        if not self.makes_cells:
            wanted = self.index.means([control_of(perturbation)])[0] + self.predict([perturbation])[0]
            for block, scaling in controls:
                yield anchor_cells(block, wanted).cells, scaling
            return
        kept: list[csr_matrix] = []

        def given() -> Iterator[tuple[csr_matrix, np.ndarray]]:
            for block, scaling in controls:
                kept.append(block)
                yield _move(block, self._here, self.places[self._here], len(self.model.genes)), scaling

        for cells, scaling in self.model.cell_blocks(self._labels(perturbation)[0], given()):
            block = kept.pop(0)
            others = _move(block, *(np.flatnonzero(self.places < 0),) * 2, block.shape[1])
            own = _move(cells, self.places[self._here], self._here, block.shape[1])
            yield (own + others).tocsr(), scaling

    def _labels(self, label: str) -> list[str]:
        """The model's own labels that stand for one of the index."""
        contexts, target = self.model.control_means.contexts, target_of(label)
        if not contexts or context_of(label) in contexts:
            return [label_in(target, context_of(label) if contexts else None)]
        return [label_in(target, context) for context in contexts]


def _move(block: csr_matrix, sources: np.ndarray, targets: np.ndarray, n_genes: int) -> csr_matrix:
    """(n, n_genes) csr: the columns `sources` of the block as the columns `targets`, the rest empty."""
    places = np.full(block.shape[1], -1, np.int64)
    places[sources] = targets
    moved = places[block.indices]
    keep = moved >= 0
    ends = np.concatenate([[0], np.cumsum(keep)])[block.indptr]
    out = csr_matrix((block.data[keep], moved[keep].astype(np.int32), ends), shape=(block.shape[0], n_genes))
    out.sort_indices()
    return out
