"""`vccapp submit`: plan, build, check and package a submission, and keep what became of it."""

import typer

from vccapp.cli.submit import built, ledger, plans, reproduce, scored

app = typer.Typer(help="Submissions: plan, build, check, package and keep.", no_args_is_help=True)
for command in (
    plans.plan,
    built.build,
    built.package,
    plans.list_,
    plans.show_,
    plans.compare,
    plans.delete,
    built.check,
    built.official,
    built.mend,
    reproduce.reproduce,
    scored.score,
):
    app.command(command.__name__.rstrip("_"))(command)
app.add_typer(ledger.app, name="ledger")
