"""The libraries in which targets are sought: the effects of indexed datasets, and those that runs predict.

libraries = open_measured(record, context=None)
libraries += open_predicted(run, settings, genes=["MYC"], context=None)
"""

from collections.abc import Sequence

from vccapp.data.schema import label_in
from vccapp.data.workspace import Record
from vccapp.errors import SpecError
from vccapp.evaluation.confidence import measure_confidence
from vccapp.evaluation.targets.library import Library, measured_libraries, predicted_library
from vccapp.evaluation.targets.signature import Signature
from vccapp.models.base import GUESSED, load_model
from vccapp.settings import Settings
from vccapp.stats.index import Index, load_index
from vccapp.training.record import RunRecord
from vccapp.wording import name_some


def open_measured(
    record: Record, index: Index, *, context: str | None = None, signature: Signature | None = None
) -> list[Library]:
    """Measured effects of a dataset, a library for each context or for one, without the cells of the signature."""
    if context is not None:
        index.within(context)
    own = signature.made_of if signature else frozenset()
    left_out = [label for dataset, label in own if dataset == record.fingerprint]
    return measured_libraries(
        index, title=record.title, dataset=record.fingerprint, context=context, leave_out=left_out
    )


def open_predicted(
    run: RunRecord, settings: Settings, *, title: str, genes: Sequence[str] = (), context: str | None = None
) -> list[Library]:
    """Effects that a finished run predicts, a library for each context of its dataset or for one.

    genes : those to predict; none: all that the dataset measures, nobody silenced there and the model knows something
    of. Raises SpecError for a run that is not finished, a network without named genes, and what is measured already.
    """
    if run.state != "finished":
        raise SpecError("not_finished", f"The run {run.id} is {run.state}", fix="choose a finished run")
    index = load_index(settings.index_of(run.spec.dataset))
    if context is not None:
        index.within(context)
    model = load_model(run.folder / "model")
    if model.is_network and not genes:
        raise SpecError(
            "network_needs_genes",
            f"The run {run.id} is a network, which takes seconds for each gene",
            fix="name the genes that it is to predict",
        )
    libraries = []
    contexts: list[str | None] = [context] if context is not None else [*index.contexts] or [None]
    for own in contexts:
        measured = set(index.perturbed)
        labels = [label_in(gene, own) for gene in dict.fromkeys(genes or index.genes["gene"])]
        if known := [label for label in labels if label in measured] if genes else []:
            raise SpecError(
                "measured_already", f"{name_some(known)} is measured in {title}", fix="leave it out of the genes"
            )
        labels = [label for label in labels if label not in measured]
        basis = model.describe_basis(labels)
        labels = [label for label in labels if genes or basis[label] != GUESSED]
        libraries.append(
            predicted_library(
                index,
                labels,
                model.predict,
                title=title,
                dataset=run.spec.dataset,
                context=own,
                run=run.id,
                basis=basis,
                confidence=measure_confidence(model, index, labels),
            )
        )
    return libraries
