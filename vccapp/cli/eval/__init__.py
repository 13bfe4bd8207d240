"""`vccapp eval`: predicted cells and pseudobulks compared with the real ones, and scored."""

import typer

from vccapp.cli.eval import (
    calibrate,
    closely,
    compare,
    cross_validate,
    diagnose,
    entered,
    files,
    perturbations,
    predictions,
    report,
)

app = typer.Typer(help="Evaluation: compare predicted with real.", no_args_is_help=True)
for command in (
    closely.agreement,
    closely.genes,
    closely.heatmap,
    perturbations.scores,
    perturbations.gallery,
    perturbations.confusion,
    perturbations.overlap,
    perturbations.difference,
    diagnose.diagnose,
    compare.compare,
    cross_validate.cross_validate,
    calibrate.calibrate,
    report.leaderboard,
    report.metric,
    report.report,
    predictions.official,
    predictions.import_,
    files.metrics,
):
    app.command(command.__name__.rstrip("_").replace("_", "-"))(command)
app.add_typer(entered.app, name="entered")
