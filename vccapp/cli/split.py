"""`vccapp split`: which perturbations a model trains on, and which it is judged by."""

from pathlib import Path
from typing import Annotated

import typer

from vccapp.cli.names import find_dataset, open_index, open_settings, parse_names
from vccapp.cli.output import Json, format_fields, format_lines, format_table, show, show_list

app = typer.Typer(help="Splits: what to train on and what to be judged on.", no_args_is_help=True)
SplitName = Annotated[str, typer.Argument(help="Name or path of the split.", show_default=False)]
PARTS = ("train", "val", "test")


@app.command()
def make(
    dataset: Annotated[str, typer.Argument(help="Path, fingerprint or title of an indexed dataset.")],
    name: Annotated[str, typer.Option(help="Name of the split.")],
    ratio: Annotated[
        tuple[float, float, float], typer.Option(help="Shares of training, validation and test perturbations.")
    ] = (0.64, 0.16, 0.20),
    folds: Annotated[int | None, typer.Option(min=3, help="Make this many splits, each testing another fold.")] = None,
    val: Annotated[str | None, typer.Option(help="Validation perturbations, 'A,B,C'.")] = None,
    test: Annotated[str | None, typer.Option(help="Test perturbations; all others are for training.")] = None,
    context: Annotated[str | None, typer.Option(help="Only perturbations of these contexts, 'K562,RPE1'.")] = None,
    test_context: Annotated[str | None, typer.Option(help="Contexts to test on as a whole.")] = None,
    val_context: Annotated[
        str | None, typer.Option(help="Contexts to validate on. Default: a fifth of the other perturbations.")
    ] = None,
    seed: Annotated[
        int, typer.Option(min=0, max=2**63 - 1, help="Random seed; the same seed gives the same split.")
    ] = 0,
    as_json: Json = False,
) -> None:
    """Split the perturbations of an indexed dataset: by ratio, into folds, by lists, or by contexts."""
    from vccapp.data.splits.split import (
        check_split,
        hold_out_contexts,
        keep_contexts,
        make_folds,
        make_split,
        split_from_lists,
        write_split,
    )
    from vccapp.errors import SpecError

    settings = open_settings()
    fingerprint = find_dataset(dataset, settings).fingerprint
    labels = keep_contexts(open_index(fingerprint, settings).perturbed, parse_names(context))
    listed = [*(parse_names(val) or []), *(parse_names(test) or [])]
    if listed and folds is not None:
        raise SpecError(
            "folds_and_lists",
            "Folds and lists cannot be combined",
            fix="use --folds, or --val and --test",
        )
    if test_context is not None or val_context is not None:
        if listed or folds is not None:
            raise SpecError(
                "contexts_and_lists", "Contexts cannot be combined with folds or lists", fix="use --test-context alone"
            )
        held = {"test": parse_names(test_context) or [], "val": parse_names(val_context) or []}
        splits = [hold_out_contexts(labels, name=name, dataset=fingerprint, seed=seed, **held)]
    elif folds is not None:
        splits = make_folds(labels, name=name, dataset=fingerprint, k=folds, seed=seed)
    elif listed:
        train = [label for label in labels if label not in listed]
        splits = [
            split_from_lists(
                name=name,
                dataset=fingerprint,
                train=train,
                val=parse_names(val) or [],
                test=parse_names(test) or [],
            )
        ]
    else:
        splits = [make_split(labels, name=name, dataset=fingerprint, ratio=ratio, seed=seed)]
    for split in splits:
        check_split(split, labels)
    for split in splits:
        write_split(split, settings)
    show([s.model_dump(mode="json") for s in splits], lambda: _format_splits(splits), as_json=as_json)


@app.command("list")
def list_(
    dataset: Annotated[str | None, typer.Option(help="Only splits of this dataset.")] = None,
    as_json: Json = False,
) -> None:
    """List the splits."""
    from vccapp.data.splits.split import list_splits

    settings = open_settings()
    splits = list_splits(settings, dataset=None if dataset is None else find_dataset(dataset, settings).fingerprint)
    value = [s.model_dump(mode="json") for s in splits]
    show_list("splits", value, splits.unreadable, lambda: _format_splits(splits), as_json=as_json)


@app.command("show")
def show_(name: SplitName, as_json: Json = False) -> None:
    """Show the perturbations of each part of a split."""
    from vccapp.data.splits.split import load_split

    split = load_split(name, open_settings())
    fields = split.model_dump(mode="json")
    text = {key: ", ".join(value) if key in PARTS else value for key, value in fields.items()}
    show(fields, lambda: format_fields(text), as_json=as_json)


@app.command()
def export(
    name: SplitName,
    out: Annotated[Path, typer.Argument(help="The TOML file to write.", show_default=False)],
    context: Annotated[str, typer.Option(help="Name of the cell line or condition of the cells.")] = "all",
    as_json: Json = False,
) -> None:
    """Write a split as the TOML that STATE and cell-load read."""
    from vccapp.data.atomic import write_file
    from vccapp.data.splits.split import load_split
    from vccapp.data.splits.toml import to_toml

    settings = open_settings()
    split = load_split(name, settings)
    record = find_dataset(split.dataset, settings)
    ignored = record.schema.context_ignored
    text = to_toml(split, dataset_name=record.title, path=record.path, context=context, context_ignored=ignored)
    with write_file(out) as beside:
        beside.write_text(text)
    show({"path": str(out)}, lambda: format_lines([f"Wrote {out}."]), as_json=as_json)


def _format_splits(splits: list) -> str:
    rows = [
        {"name": s.name, "dataset": s.dataset, "method": s.method, "seed": s.seed}
        | {part: len(getattr(s, part)) for part in PARTS}
        for s in splits
    ]
    return format_table(rows, ("name", "dataset", "method", "seed", *PARTS))
