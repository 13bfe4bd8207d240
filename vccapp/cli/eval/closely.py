"""`vccapp eval agreement`, `genes`, `heatmap`: chosen perturbations and genes, predicted beside real."""

from typing import Annotated, Literal

import typer

from vccapp.cli.eval.options import (
    By,
    Context,
    Csv,
    Genes,
    GeneSet,
    Gmt,
    Part,
    Perturbations,
    RunIds,
    Shown,
    Table,
    Top,
    about_comparison,
    choose_genes,
    choose_perturbations,
    find_shown,
    open_runs,
    show_view,
)
from vccapp.cli.names import parse_names
from vccapp.cli.output import Json


def agreement(
    run: RunIds = None,
    part: Part = "test",
    context: Context = None,
    perturbations: Perturbations = None,
    by: By = "delta",
    top: Top = None,
    genes: Genes = None,
    gmt: Gmt = None,
    gene_set: GeneSet = None,
    values: Annotated[Literal["delta", "pseudobulk"], typer.Option(help="What the band shows.")] = "delta",
    csv: Csv = None,
    table: Table = None,
    as_json: Json = False,
) -> None:
    """Show predicted and real values gene by gene, their correlation, and the band of a repeated measurement."""
    from vccapp.evaluation.comparison.agreement import view_agreement

    comparison = open_runs(run, part, context)
    labels = choose_perturbations(comparison, perturbations)
    chosen = choose_genes(comparison, labels, by=by, top=top, genes=genes, gmt=gmt, gene_set=gene_set)
    view = view_agreement(comparison, perturbations=labels, genes=chosen, quantity=values)
    about = about_comparison(comparison, perturbations=labels, n_genes=len(chosen))
    show_view(view, about, as_json=as_json, csv=csv, table=table)


def genes(
    run: RunIds = None,
    part: Part = "test",
    context: Context = None,
    perturbation: Annotated[str | None, typer.Option(help="The prediction to show; default: the first.")] = None,
    perturbations: Perturbations = None,
    by: By = "delta",
    top: Top = None,
    genes: Genes = None,
    gmt: Gmt = None,
    gene_set: GeneSet = None,
    cells_of: Annotated[
        str | None, typer.Option(help="Genes whose cells to show, 'A,B'; default: the first 4.")
    ] = None,
    csv: Csv = None,
    table: Table = None,
    as_json: Json = False,
) -> None:
    """Show control, real and predicted means of genes in one perturbation, and their cells."""
    from vccapp.evaluation.comparison.gene_values import view_genes

    comparison = open_runs(run, part, context)
    labels = choose_perturbations(comparison, perturbations)
    label = comparison.check_perturbations([perturbation])[0] if perturbation else labels[0]
    chosen = choose_genes(comparison, labels, by=by, top=top, genes=genes, gmt=gmt, gene_set=gene_set)
    view = view_genes(comparison, perturbation=label, genes=chosen, cells_of=parse_names(cells_of))
    show_view(view, about_comparison(comparison, perturbation=label), as_json=as_json, csv=csv, table=table)


def heatmap(
    run: RunIds = None,
    part: Part = "test",
    context: Context = None,
    shown: Shown = None,
    every: Annotated[bool, typer.Option("--all", help="All perturbations of the part.")] = False,
    perturbations: Perturbations = None,
    by: By = "delta",
    top: Top = None,
    genes: Genes = None,
    gmt: Gmt = None,
    gene_set: GeneSet = None,
    csv: Csv = None,
    table: Table = None,
    as_json: Json = False,
) -> None:
    """Show the deltas of perturbations and genes, real beside predicted, genes that act alike next to each other."""
    from vccapp.evaluation.comparison.heat_map import view_heat_map

    comparison = open_runs(run, part, context)
    own = find_shown(comparison, shown)
    labels = choose_perturbations(comparison, perturbations)
    chosen = choose_genes(comparison, labels, by=by, top=top, genes=genes, gmt=gmt, gene_set=gene_set)
    view = view_heat_map(comparison, own, perturbations=comparison.labels if every else labels, genes=chosen)
    about = about_comparison(comparison, shown=own.key, perturbations=view.perturbations, gene_order=view.genes)
    show_view(view, about, as_json=as_json, csv=csv, table=table)
