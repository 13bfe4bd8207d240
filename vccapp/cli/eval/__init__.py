"""`vccapp eval`: predicted cells and pseudobulks compared with the real ones, and scored."""

import typer

from vccapp.cli.eval import compare, entered, files, predictions, report

app = typer.Typer(help="Evaluation: predicted against real.", no_args_is_help=True)
for command in (
    report.leaderboard,
    report.report,
    predictions.official,
    predictions.import_,
    predictions.diagnose,
    files.metrics,
    compare.compare,
):
    app.command(command.__name__.rstrip("_"))(command)
app.add_typer(entered.app, name="entered")
