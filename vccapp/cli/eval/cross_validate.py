"""`vccapp eval cross-validate`: models judged by all perturbations of a dataset, each predicted once."""

from typing import Annotated

import typer

from vccapp.cli.names import find_dataset, mark_about, open_index, open_settings
from vccapp.cli.output import Json, format_table, show, tell

METRICS = ("pearson_delta", "pds", "mae")


def cross_validate(
    models: Annotated[list[str], typer.Argument(help="Names of models; the floors are added.")],
    dataset: Annotated[str, typer.Option(help="Path, fingerprint or title of an indexed dataset.")],
    folds: Annotated[int, typer.Option(min=3, help="Number of folds; each perturbation is tested in one.")] = 5,
    seed: Annotated[int, typer.Option(min=0, help="Random seed of folds and fits.")] = 0,
    embedding: Annotated[str, typer.Option(help="Gene embedding of the models that read one.")] = "default",
    reference: Annotated[str, typer.Option(help="The model that others are tested against.")] = "knockdown_mean",
    metric: Annotated[list[str] | None, typer.Option("--metric", help="A metric; repeatable.")] = None,
    as_json: Json = False,
) -> None:
    """Fit each model on every fold, score all perturbations together, and test the differences. Writes nothing."""
    from vccapp.data.splits.split import make_folds
    from vccapp.evaluation.scoring.score import list_pseudobulk_metrics
    from vccapp.models.base import MODELS, make_model
    from vccapp.training.cross_validation import cross_validate as judge
    from vccapp.training.results.leaderboard import check_metrics

    settings = open_settings()
    fingerprint = find_dataset(dataset, settings).fingerprint
    index = open_index(fingerprint, settings)
    names = list(dict.fromkeys([*models, reference]))
    given = {name: {"embedding": embedding} if MODELS[name].takes_embedding else {} for name in names}
    metrics = check_metrics(list_pseudobulk_metrics(), metric or METRICS)
    found = judge(
        index,
        make_folds(index.perturbed, name="folds", dataset=fingerprint, k=folds, seed=seed),
        {name: make_model(name, params) for name, params in given.items()},
        metrics=metrics,
        reference=reference,
        seed=seed,
        device=settings.device,
        progress=lambda _, message="": tell(message) if message else None,
    )
    value = {
        "dataset": fingerprint,
        **mark_about(index.meta["context_ignored"]),
        "folds": folds,
        "seed": seed,
        "reference": reference,
        "means": found.means.astype(object).where(found.means.notna(), None).to_dict("records"),
        "differences": found.differences.astype(object).where(found.differences.notna(), None).to_dict("records"),
        "scores": found.scores.astype(object).where(found.scores.notna(), None).to_dict("records"),
    }

    def print_tables() -> str:
        means = format_table(value["means"], list(found.means))
        return f"{means}\n\nagainst {reference}:\n{format_table(value['differences'], list(found.differences))}"

    show(value, print_tables, as_json=as_json)
