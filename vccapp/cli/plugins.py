"""`vccapp plugins`: what installed packages add to the app."""

from typing import TYPE_CHECKING

import typer

from vccapp.cli.output import Json, format_table, show

if TYPE_CHECKING:
    from vccapp.registry import Registry

app = typer.Typer(help="Plug-ins: what other packages add.", no_args_is_help=True)


@app.command("list")
def list_(as_json: Json = False) -> None:
    """List what plug-ins add, each tried; exit code 1 if one cannot be used."""
    from vccapp.plugins import find_plugins, plugin_faults

    for registry in registries():
        list(registry)
    faults = plugin_faults()
    rows = [
        {"package": plugin.package, "kind": plugin.kind, "name": plugin.name, "module": plugin.module}
        | {"fault": faults.get(plugin, "")}
        for plugin in find_plugins()
    ]
    show(rows, lambda: format_table(rows, ("package", "kind", "name", "module", "fault")), as_json=as_json)
    if any(row["fault"] for row in rows):
        raise typer.Exit(1)


def registries() -> "list[Registry]":
    """Of every kind that plug-ins can add to, but for pages."""
    from vccapp.data.embeddings.readers.base import READERS
    from vccapp.evaluation.metrics import METRICS
    from vccapp.evaluation.scorers.base import SCORERS
    from vccapp.losses.base import LOSSES
    from vccapp.models.base import MODELS
    from vccapp.submission.check import CHECKS
    from vccapp.training.trackers.base import TRACKERS

    return [MODELS, LOSSES, METRICS, CHECKS, SCORERS, READERS, TRACKERS]
