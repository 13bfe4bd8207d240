"""`vccapp submit`: plan, build, check and package a submission."""

import typer

from vccapp.cli.submit import built, plans

app = typer.Typer(help="Submissions: plan, build, check and package.", no_args_is_help=True)
for command in (
    plans.plan,
    built.build,
    built.package,
    plans.list_,
    plans.show_,
    plans.compare,
    plans.delete,
    built.check,
):
    app.command(command.__name__.rstrip("_"))(command)
