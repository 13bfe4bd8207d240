"""`vccapp targets`: which perturbation would reverse or mimic a signature, gene by gene, and how far to trust it."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from vccapp.cli.eval.options import Csv, Table, show_view
from vccapp.cli.names import find_dataset, find_finished_run, mark_about, open_index, open_settings, parse_names
from vccapp.cli.output import Json, tell
from vccapp.errors import SpecError

if TYPE_CHECKING:
    from vccapp.data.workspace import Record
    from vccapp.evaluation.targets.library import Library
    from vccapp.evaluation.targets.signature import By, Signature
    from vccapp.settings import Settings
    from vccapp.stats.index import Index

app = typer.Typer(help="Targets: from a signature to genes.", no_args_is_help=True)

Dataset = Annotated[
    list[str] | None,
    typer.Option("--dataset", help="Path, fingerprint or title of a library; repeatable. Default: the newest."),
]
One = Annotated[
    str | None, typer.Option("--dataset", help="Path, fingerprint or title of the library. Default: the newest.")
]
Context = Annotated[str | None, typer.Option(help="Only this context of the library. Default: each by itself.")]
Table_ = Annotated[
    Path | None, typer.Option("--signature", help="File of genes and log2 fold changes; or a DE table with a header.")
]
Up = Annotated[str | None, typer.Option(help="Genes that go up, 'A,B', or a file of them.")]
Down = Annotated[str | None, typer.Option(help="Genes that go down, 'A,B', or a file of them.")]
First = Annotated[str | None, typer.Option(help="Groups of cells, 'A,B', whose mean is the signature ...")]
Second = Annotated[str | None, typer.Option(help="... minus that of these groups.")]
Grouped = Annotated[Literal["perturbation", "guide", "batch"], typer.Option(help="What the groups are.")]
CellsOf = Annotated[str | None, typer.Option(help="Dataset of the groups. Default: that of the library.")]
Wished = Annotated[
    Literal["reverse", "mimic"],
    typer.Option("--goal", help="What is sought: what would reverse the signature, or mimic it."),
]
Runs = Annotated[
    list[str] | None, typer.Option("--run", help="Run whose predicted effects are ranked too; repeatable.")
]
Predict = Annotated[
    str | None, typer.Option("--predict", help="Genes to predict, 'A,B'. Default: all that the run knows.")
]


@app.command()
def rank(
    signature: Table_ = None,
    up: Up = None,
    down: Down = None,
    first: First = None,
    second: Second = None,
    by: Grouped = "perturbation",
    cells_of: CellsOf = None,
    dataset: Dataset = None,
    context: Context = None,
    goal: Wished = "reverse",
    run: Runs = None,
    predict: Predict = None,
    known: Annotated[str | None, typer.Option(help="Known regulators, 'A,B', to judge the ranking by.")] = None,
    own_table: Annotated[
        Path | None, typer.Option(help="CSV with a column of gene symbols, joined to the ranking.")
    ] = None,
    csv: Csv = None,
    table: Table = None,
    as_json: Json = False,
) -> None:
    """Rank perturbations by how far they would reverse, or mimic, a signature."""
    from vccapp.evaluation.targets.own_table import join_own, read_own_table
    from vccapp.evaluation.targets.ranking import explain_method, rank_targets
    from vccapp.evaluation.targets.validation import measure_known
    from vccapp.textfiles import read_text
    from vccapp.training.targets import open_measured

    settings = open_settings()
    opened = [_open(name, settings) for name in dataset] if dataset else [_open(None, settings)]
    found = _read_signature(signature, up, down, first, second, by, cells_of, opened[0], settings)
    libraries = [
        library
        for record, index in opened
        for library in open_measured(record, index, context=context, signature=found)
    ]
    for name in run or []:
        libraries += _open_predicted(name, predict, context, settings)
    ranking = rank_targets(found, libraries, goal=goal)
    about: dict[str, Any] = {"signature": found.name, "goal": goal}
    about |= {"method": explain_method(ranking, found, goal=goal), "notes": list(found.notes)}
    if known is not None:
        judged = measure_known(ranking.targets, parse_names(known) or [])
        about |= {"known": judged.by_kind.to_dict("records"), "known_unknown": list(judged.unknown)}
    if own_table is not None:
        joined = join_own(ranking.targets, read_own_table(read_text(own_table)))
        ranking = replace(ranking, targets=joined)
    if not as_json and csv != "-":
        for line in (about["method"], *found.notes):
            tell(line)
        for row in about.get("known", []):
            tell(f"known regulators, {row['kind']}: AUROC {row['auroc']:.3f}, {row['n_known']} of {row['n']}")
    _show(ranking, about, [index for _, index in opened], as_json=as_json, csv=csv, table=table)


@app.command()
def genes(
    perturbation: Annotated[str, typer.Argument(help="The perturbation that is looked at.")],
    signature: Table_ = None,
    up: Up = None,
    down: Down = None,
    first: First = None,
    second: Second = None,
    by: Grouped = "perturbation",
    cells_of: CellsOf = None,
    dataset: One = None,
    context: Context = None,
    goal: Wished = "reverse",
    run: Annotated[str | None, typer.Option("--run", help="Run that predicts it, where it is not measured.")] = None,
    predict: Predict = None,
    csv: Csv = None,
    table: Table = None,
    as_json: Json = False,
) -> None:
    """Show gene by gene what a perturbation reverses of a signature, and what it makes worse."""
    from vccapp.evaluation.targets.gene_by_gene import view_genes
    from vccapp.training.targets import open_measured

    settings = open_settings()
    record, index = _open(dataset, settings)
    found = _read_signature(signature, up, down, first, second, by, cells_of, (record, index), settings)
    if run is None:
        libraries = open_measured(record, index, context=context, signature=found)
    else:
        libraries = _open_predicted(run, predict, context, settings)
    view = view_genes(_find_library(libraries, perturbation), perturbation, found, goal=goal)
    about = {"signature": found.name, "goal": goal, "perturbation": perturbation}
    _show(view, about, [index], as_json=as_json, csv=csv, table=table)


@app.command()
def recovery(
    dataset: One = None, context: Context = None, csv: Csv = None, table: Table = None, as_json: Json = False
) -> None:
    """Measure how often half of a perturbation's cells finds the other half in a library."""
    from vccapp.evaluation.targets.validation import Recovery, measure_recovery
    from vccapp.training.targets import open_measured

    record, index = _open(dataset, open_settings())
    found = [measure_recovery(index, library) for library in open_measured(record, index, context=context)]
    import pandas as pd

    view = Recovery(
        pd.concat([own.perturbations for own in found], ignore_index=True),
        pd.concat([own.summary for own in found], ignore_index=True),
    )
    _show(view, {"dataset": record.fingerprint}, [index], as_json=as_json, csv=csv, table=table)


@app.command("next")
def next_(
    run: Annotated[list[str], typer.Option("--run", help="Run that predicts; several tell how far they disagree.")],
    signature: Table_ = None,
    up: Up = None,
    down: Down = None,
    first: First = None,
    second: Second = None,
    by: Grouped = "perturbation",
    cells_of: CellsOf = None,
    context: Context = None,
    goal: Wished = "reverse",
    predict: Predict = None,
    csv: Csv = None,
    table: Table = None,
    as_json: Json = False,
) -> None:
    """Rank genes that nobody silenced by predicted effect and how far runs disagree, or by a signature."""
    from vccapp.evaluation.targets.unmeasured import rank_unmeasured

    settings = open_settings()
    given = [own for own in (signature, up, down, first, second) if own is not None]
    found = _read_signature(signature, up, down, first, second, by, cells_of, None, settings) if given else None
    libraries = []
    for name in run:
        opened = _open_predicted(name, predict, context, settings)
        if len(opened) > 1:
            problem = f"{opened[0].title} has several contexts"
            raise SpecError("several_contexts", problem, fix="choose one with --context")
        libraries += opened
    view = rank_unmeasured(libraries, signature=found, goal=goal)
    _show(view, {"runs": [own.run for own in libraries], "goal": goal}, [], as_json=as_json, csv=csv, table=table)


def _open(name: str | None, settings: "Settings") -> tuple["Record", "Index"]:
    """A dataset, the newest that is indexed where none is named, and its index."""
    from vccapp.data.workspace import list_datasets

    if name is None:
        indexed = [record.fingerprint for record in list_datasets(settings) if record.has_index]
        if not indexed:
            raise SpecError("no_index", "No dataset has an index yet", fix="build one with `vccapp data index PATH`")
        name = indexed[0]
    record = find_dataset(name, settings)
    return record, open_index(record.fingerprint, settings)


def _open_predicted(run: str, predict: str | None, context: str | None, settings: "Settings") -> list["Library"]:
    """The effects that a run predicts, under the title of its dataset."""
    from vccapp.training.targets import open_predicted

    record = find_finished_run(run, settings)
    title = find_dataset(record.spec.dataset, settings).title
    return open_predicted(record, settings, title=title, genes=parse_names(predict) or (), context=context)


def _read_signature(
    path: Path | None,
    up: str | None,
    down: str | None,
    first: str | None,
    second: str | None,
    by: "By",
    cells_of: str | None,
    library: tuple["Record", "Index"] | None,
    settings: "Settings",
) -> "Signature":
    """The signature that is given in one of the three ways. Raises SpecError for none, or several."""
    from vccapp.evaluation.targets.signature import compare_groups, read_lists, read_table
    from vccapp.textfiles import read_text

    ways = [path is not None, up is not None or down is not None, first is not None or second is not None]
    if sum(ways) != 1:
        fix = "give --signature FILE, or --up and --down, or --first and --second"
        raise SpecError("one_signature", f"{sum(ways)} signatures are given", fix=fix)
    if path is not None:
        return read_table(read_text(path), name=path.stem)
    if ways[1]:
        return read_lists(*(_read_names(text) for text in (up, down)))
    record, index = _open(cells_of, settings) if cells_of is not None or library is None else library
    groups = [parse_names(text) or [] for text in (first, second)]
    return compare_groups(index, *groups, fingerprint=record.fingerprint, by=by)


def _read_names(text: str | None) -> str:
    """Names as they are typed, or those of a file."""
    from vccapp.textfiles import read_text

    return read_text(Path(text)) if text and len(text) < 4096 and Path(text).is_file() else text or ""


def _find_library(libraries: list["Library"], perturbation: str) -> "Library":
    for library in libraries:
        if perturbation in library.labels:
            return library
    from vccapp.wording import name_some

    names = name_some(label for library in libraries for label in library.labels)
    raise SpecError("unknown_perturbation", f"The library has no perturbation {perturbation}", fix=f"there are {names}")


def _show(
    view: Any, about: dict[str, Any], indexes: list["Index"], *, as_json: bool, csv: str | None, table: str | None
) -> None:
    for index in indexes:
        about |= mark_about(index.meta["context_ignored"])
    show_view(view, about, as_json=as_json, csv=csv, table=table)
