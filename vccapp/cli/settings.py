"""`vccapp settings`: what the app is set to and where that comes from, the Ray address of the workspace, the disk."""

from dataclasses import asdict
from typing import Annotated

import typer

from vccapp.cli.names import open_settings
from vccapp.cli.output import Json, format_fields, format_lines, format_table, show

app = typer.Typer(help="Settings: where each comes from, the Ray cluster, the disk.", no_args_is_help=True)


@app.command("show")
def show_(as_json: Json = False) -> None:
    """Show every setting, its variable, and where its value comes from; secrets are not shown."""
    from vccapp.data.installation import describe_version, list_settings

    rows = [asdict(row) for row in list_settings(open_settings())]
    version = describe_version()
    columns = ("label", "value", "source", "variable")
    show(
        {"version": version, "settings": rows},
        lambda: f"{format_fields(version)}\n\n{format_table(rows, columns)}",
        as_json=as_json,
    )


@app.command("set")
def set_(
    ray_address: Annotated[
        str, typer.Option(help="HOST:PORT of the Ray cluster, auto, or none to forget what the workspace keeps.")
    ],
    as_json: Json = False,
) -> None:
    """Keep the Ray address in the workspace, for jobs that are started from now on."""
    from vccapp.data.installation import keep_ray_address

    keep_ray_address("" if ray_address == "none" else ray_address, open_settings())
    now = open_settings().ray_address
    show({"ray_address": now}, lambda: format_lines([f"The Ray address is {now}."]), as_json=as_json)


@app.command()
def check(as_json: Json = False) -> None:
    """Ask the Ray cluster of the settings whether it answers."""
    from vccapp.jobs.cluster.ask import ask_cluster

    answer = ask_cluster(open_settings().ray_address)
    show(asdict(answer), lambda: format_lines([f"{answer.describe()}."]), as_json=as_json)


@app.command()
def disk(as_json: Json = False) -> None:
    """Show what the workspace and the runs take of the disk, and what is free."""
    from vccapp.data.installation import measure_disk
    from vccapp.wording import bytes_text

    rows = [asdict(place) for place in measure_disk(open_settings())]
    sizes = ("used", "free", "total")
    told = [row | {name: "-" if row[name] is None else bytes_text(row[name]) for name in sizes} for row in rows]
    show(rows, lambda: format_table(told, ("label", "path", *sizes)), as_json=as_json)


@app.command()
def packages(as_json: Json = False) -> None:
    """List the packages of this environment with their versions."""
    from vccapp.data.installation import list_packages

    found = list_packages()
    show(found, lambda: format_fields(found), as_json=as_json)
