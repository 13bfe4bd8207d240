"""`vccapp data`: look at a data file, register and index it, export from it, simulate one."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from vccapp.cli.columns import (
    BatchColumn,
    ContextColumn,
    ControlLabel,
    GeneColumn,
    GuideColumn,
    Guides,
    KeepLabel,
    LeaveOut,
    Matrix,
    PairSeparator,
    PerturbationColumn,
    RepeatedGenes,
    make_columns,
)
from vccapp.cli.following import After, Background, On, end_progress, run_job, show_progress
from vccapp.cli.names import find_dataset, ignored_context, open_index, open_settings, warn_ignored
from vccapp.cli.output import Json, format_fields, format_lines, format_table, show, show_list
from vccapp.commands import parse_assignments
from vccapp.data.significance import FDR

app = typer.Typer(help="Data: describe, index, export and simulate files.", no_args_is_help=True)

DataPaths = Annotated[
    list[Path],
    typer.Argument(help="An .h5ad file or a zarr store; several with the same genes are joined.", show_default=False),
]
DatasetName = Annotated[
    str, typer.Argument(help="Path, fingerprint or title of an indexed dataset.", show_default=False)
]


@app.command()
def describe(
    paths: DataPaths,
    perturbation_column: PerturbationColumn = None,
    guide_column: GuideColumn = None,
    batch_column: BatchColumn = None,
    context_column: ContextColumn = None,
    control_label: ControlLabel = None,
    matrix: Matrix = None,
    gene_column: GeneColumn = None,
    repeated_genes: RepeatedGenes = None,
    pair_separator: PairSeparator = None,
    guides: Guides = None,
    keep_label: KeepLabel = None,
    leave_out: LeaveOut = None,
    as_json: Json = False,
) -> None:
    """Show what a data file contains and how this was detected. Reads little and writes nothing."""
    from vccapp.data.reading.opening import open_dataset
    from vccapp.data.stores.access import Access
    from vccapp.data.stores.bounded import memory_bounded

    columns = make_columns(
        perturbation=perturbation_column,
        guide=guide_column,
        batch=batch_column,
        context=context_column,
        control=control_label,
        matrix=matrix,
        genes=gene_column,
        repeated=repeated_genes,
        pairs=pair_separator,
        guides=guides,
        keep=keep_label,
        leave_out=leave_out,
    )
    access = Access.of(open_settings())
    with memory_bounded(access.memory_bytes):
        dataset = open_dataset(paths, columns=columns, access=access)
    found = {"fingerprint": dataset.fingerprint} | dataset.schema.model_dump(mode="json")

    if dataset.schema.context_ignored:
        warn_ignored(dataset.schema.context_ignored)

    def text() -> str:
        fields = {name: value for name, value in found.items() if name not in ("notes", "candidates")}
        lines = [f"candidate: {one.column}, {one}" for one in dataset.schema.candidates]
        lines += [f"note: {note}" for note in dataset.schema.notes]
        return "\n".join([format_fields(fields), format_lines(lines)])

    show(found, text, as_json=as_json)


@app.command()
def index(
    paths: DataPaths,
    perturbation_column: PerturbationColumn = None,
    guide_column: GuideColumn = None,
    batch_column: BatchColumn = None,
    context_column: ContextColumn = None,
    control_label: ControlLabel = None,
    matrix: Matrix = None,
    gene_column: GeneColumn = None,
    repeated_genes: RepeatedGenes = None,
    pair_separator: PairSeparator = None,
    guides: Guides = None,
    keep_label: KeepLabel = None,
    leave_out: LeaveOut = None,
    executor: Annotated[
        Literal["local", "ray"], typer.Option(help="Where to work: local (this machine) or ray (a cluster).")
    ] = "local",
    ray_address: Annotated[str | None, typer.Option(help="HOST:PORT of the cluster, or auto.")] = None,
    on: On = "here",
    background: Background = False,
    after: After = None,
    as_json: Json = False,
) -> None:
    """Register a data file and compute its statistics."""
    from vccapp.errors import SpecError
    from vccapp.tasks.index import Index

    if ray_address is not None and executor != "ray":
        raise SpecError(
            "ray_address_unused",
            f"--ray-address {ray_address} has no effect on this machine",
            fix="add --executor ray",
        )

    settings = open_settings()
    columns = make_columns(
        perturbation=perturbation_column,
        guide=guide_column,
        batch=batch_column,
        context=context_column,
        control=control_label,
        matrix=matrix,
        genes=gene_column,
        repeated=repeated_genes,
        pairs=pair_separator,
        guides=guides,
        keep=keep_label,
        leave_out=leave_out,
    )
    task = Index(paths=paths, columns=columns, executor=executor, ray_address=ray_address)
    task.check(settings)
    result = run_job(settings, task, on=on, background=background, after=after, as_json=as_json)
    ignored_context(result.dataset, settings)
    names = ", ".join(path.name for path in task.paths)
    show(result.model_dump(), lambda: format_lines([f"{names}: indexed as dataset {result.dataset}."]), as_json=as_json)


@app.command()
def demo(on: On = "here", background: Background = False, after: After = None, as_json: Json = False) -> None:
    """Make the built-in simulated demo and its index."""
    from vccapp.tasks.demo import Demo

    result = run_job(open_settings(), Demo(), on=on, background=background, after=after, as_json=as_json)
    show(result.model_dump(), lambda: f"The demo is ready as dataset {result.dataset}.", as_json=as_json)


@app.command("list")
def list_(as_json: Json = False) -> None:
    """List the registered datasets."""
    from vccapp.data.workspace import list_datasets

    records = list_datasets(open_settings())
    rows = [
        {
            "fingerprint": record.fingerprint,
            "title": record.title,
            "cells": record.schema.n_cells,
            "genes": record.schema.n_genes,
            "perturbations": record.schema.n_perturbations,
            "indexed": record.has_index,
            "simulated": record.simulated,
            "path": record.path,
            "context_ignored": record.schema.context_ignored,
        }
        for record in records
    ]
    any_ignored = any(row["context_ignored"] for row in rows)
    columns = [name for name in rows[0] if any_ignored or name != "context_ignored"] if rows else []
    show_list("datasets", rows, records.unreadable, lambda: format_table(rows, columns), as_json=as_json)


@app.command()
def preprocess(
    dataset: DatasetName,
    out: Annotated[Path, typer.Argument(help="The .h5ad file to write.", show_default=False)],
    n_hvg: Annotated[int, typer.Option(min=1, help="Number of highly variable genes.")] = 2000,
    as_json: Json = False,
) -> None:
    """Write depth-normalised log1p cells with their highly variable genes (obsm X_hvg), as for training."""
    from vccapp.data.workspace import open_registered
    from vccapp.stats.cells.preprocess import write_preprocessed

    settings = open_settings()
    record = find_dataset(dataset, settings)
    index = open_index(record.fingerprint, settings)
    data = open_registered(record.fingerprint, settings)
    chosen = write_preprocessed(data, index, out, n_hvg=n_hvg, progress=show_progress)
    end_progress()
    found = {
        "path": str(out),
        "n_cells": data.n_cells,
        "n_genes": data.n_genes,
        "n_hvg": chosen,
        "target_sums": index.meta["target_sums"],
    }
    show(found, lambda: format_fields(found), as_json=as_json)


@app.command()
def export(
    dataset: DatasetName,
    folder: Annotated[Path, typer.Argument(help="Folder for the CSVs.", show_default=False, file_okay=False)],
    fdr: Annotated[float, typer.Option(min=0, max=1, help="Maximum false discovery rate of DEGs.")] = FDR,
    min_abs_lfc: Annotated[float, typer.Option(min=0, help="Minimum absolute log2 fold change of DEGs.")] = 0.0,
    context: Annotated[str | None, typer.Option(help="Only this context of the data.")] = None,
    as_json: Json = False,
) -> None:
    """Write the tables of genes and DEG counts as CSVs."""
    from vccapp.stats.export import write_exports

    settings = open_settings()
    index = open_index(find_dataset(dataset, settings).fingerprint, settings).within(context)
    paths = [str(path) for path in write_exports(index, folder, fdr=fdr, min_abs_lfc=min_abs_lfc)]
    show({"paths": paths}, lambda: format_lines(paths), as_json=as_json)


@app.command()
def simulate(
    out: Annotated[Path, typer.Argument(help="The .h5ad file to write.", show_default=False)],
    cells: Annotated[int | None, typer.Option(help="Total number of cells.")] = None,
    genes: Annotated[Path | None, typer.Option(help="File of gene names, one per line.")] = None,
    n_genes: Annotated[int | None, typer.Option(help="Number of genes, if no file names them.")] = None,
    perturbations: Annotated[int | None, typer.Option(help="Number of single-gene perturbations.")] = None,
    pairs: Annotated[int | None, typer.Option(help="Number of two-gene perturbations.")] = None,
    counts: Annotated[
        Path | None, typer.Option(help="CSV with target_gene and n_cells: the cells to simulate.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Random seed; the same seed gives the same cells.")] = 0,
    set_: Annotated[list[str] | None, typer.Option("--set", help="Another setting as NAME=VALUE; repeatable.")] = None,
    as_json: Json = False,
) -> None:
    """Simulate perturb-seq counts with known truth."""
    from vccapp.data.simulation.experiment import SimulationSpec
    from vccapp.data.simulation.simulate import simulate as write_simulation
    from vccapp.errors import SpecError
    from vccapp.seasons.gene_list import read_gene_list

    if counts is not None and (cells, perturbations, pairs) != (None, None, None):
        raise SpecError(
            "cells_given_twice",
            f"{counts} already gives perturbations and cell numbers",
            fix="leave out --cells, --perturbations and --pairs",
        )
    chosen = {
        "seed": seed,
        "n_cells": cells,
        "n_genes": n_genes,
        "n_perturbations": perturbations,
        "n_pairs": pairs,
        "perturbations": None if counts is None else _read_counts(counts),
    }
    spec = SimulationSpec(
        **{name: value for name, value in chosen.items() if value is not None} | parse_assignments(set_ or [])
    )
    write_simulation(
        spec,
        out,
        genes=None if genes is None else read_gene_list(genes).genes,
        memory_bytes=open_settings().memory_bytes,
        progress=show_progress,
    )
    end_progress()
    found = {"path": str(out), "spec": spec.model_dump(mode="json")}
    show(
        found,
        lambda: format_lines([f"Wrote simulated cells to {out} and their truth to {out.with_suffix('.truth')}."]),
        as_json=as_json,
    )


def _read_counts(path: Path) -> dict[str, int]:
    """Cells of each perturbation from a CSV with the columns target_gene and n_cells."""
    import csv
    import io

    from vccapp.errors import DataError
    from vccapp.textfiles import read_text

    try:
        lines = csv.DictReader(io.StringIO(read_text(path), newline=""))
        return {row["target_gene"]: int(row["n_cells"]) for row in lines}
    except (KeyError, TypeError, ValueError, csv.Error):
        raise DataError(
            "not_pert_counts",
            f"{path} is not a table of cells per perturbation",
            fix="it needs columns target_gene and n_cells",
        ) from None
