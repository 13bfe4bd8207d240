"""`vccapp eval compare`: the held-out predictions of a run scored, all or some of them."""

import json
from typing import Annotated, Literal

import typer

from vccapp.cli.names import find_finished_run, mark_about, open_index, open_settings, parse_names
from vccapp.cli.output import Json, format_table, show


def compare(
    run: Annotated[str, typer.Option(help="Id of the run, or 'latest' for the newest finished one.")] = "latest",
    part: Annotated[Literal["val", "test"], typer.Option(help="Held-out part of the split.")] = "test",
    perturbations: Annotated[str | None, typer.Option(help="Only these perturbations, 'A,B,C'.")] = None,
    genes: Annotated[str | None, typer.Option(help="Also compare these genes one by one, 'A,B,C'.")] = None,
    as_json: Json = False,
) -> None:
    """Score the held-out predictions of a run; with --genes, show them gene by gene (log1p units)."""
    import numpy as np

    from vccapp.errors import SpecError
    from vccapp.evaluation.comparison.compare import compute_comparison
    from vccapp.evaluation.profiles import predicted_profiles, real_profiles
    from vccapp.evaluation.scoring.score import compute_metrics, summarise

    settings = open_settings()
    record = find_finished_run(run, settings)
    index = open_index(record.spec.dataset, settings)
    labels, deltas = record.prediction(part)
    chosen = parse_names(perturbations) or labels
    unknown = [label for label in chosen if label not in labels]
    if unknown:
        raise SpecError(
            "not_in_part",
            f"{', '.join(unknown[:5])} are not in the {part} part of '{record.split.name}': {', '.join(labels[:10])}",
        )
    deltas = np.asarray(deltas[[labels.index(label) for label in chosen]])
    scores = compute_metrics(real_profiles(index, chosen), predicted_profiles(index, deltas, chosen))
    value = {
        "run": record.id,
        "part": part,
        **mark_about(index.meta["context_ignored"]),
        "summary": summarise(scores),
        "scores": json.loads(scores.to_json(orient="records", double_precision=15)),
    }
    tables = [format_table(scores.to_dict("records"), list(scores.columns))]
    if genes is not None:
        frame = compute_comparison(index, deltas, perturbations=chosen, genes=parse_names(genes))
        value["genes"] = json.loads(frame.to_json(orient="records", double_precision=15))
        tables.append(format_table(frame.to_dict("records"), list(frame.columns)))
    show(value, lambda: "\n\n".join(tables), as_json=as_json)
