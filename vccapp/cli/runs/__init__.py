"""`vccapp runs`: see, steer, name, compare, delete and bring back runs."""

import typer

from vccapp.cli.runs import binned, listing, saying, steering

app = typer.Typer(help="Runs: see, steer, name, compare, delete and bring back.", no_args_is_help=True)
for command in (
    listing.list_,
    listing.show_,
    listing.logs,
    listing.compare,
    listing.export,
    steering.stop,
    steering.resume,
    steering.clone,
    saying.rename,
    saying.note,
    saying.tag,
    saying.pin,
    binned.delete,
    binned.restore,
    binned.empty,
):
    app.command(command.__name__.rstrip("_"))(command)
