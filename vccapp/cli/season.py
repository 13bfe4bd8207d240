"""`vccapp season`: what each season of a challenge asks, and opening what is not known without its files."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vccapp.cli.following import end_progress, show_progress
from vccapp.cli.names import open_settings
from vccapp.cli.output import Json, format_fields, format_table, show, show_list

if TYPE_CHECKING:
    from vccapp.seasons.base import Phase, Season
    from vccapp.seasons.bundle import Bundle
    from vccapp.settings import Settings

app = typer.Typer(help="Seasons of challenges: rules, phases and targets.", no_args_is_help=True)


@app.command("list")
def list_(as_json: Json = False) -> None:
    """List the seasons that are known."""
    from vccapp.seasons.opened import list_seasons

    settings = open_settings()
    seasons = list_seasons(settings)
    rows = [
        {
            "name": season.name,
            "label": season.label,
            "phases": ", ".join(phase.name for phase in season.phases),
            "genes": season.n_genes,
            "values": " or ".join(season.spaces),
            "controls": season.controls,
            "container": season.container.name,
            "files": ", ".join(phase.name for phase in season.phases if not season.is_known(phase.name)) or "known",
        }
        for season in seasons
    ]
    columns = ("name", "label", "phases", "genes", "values", "controls", "container", "to open")
    table = [{key if key != "files" else "to open": value for key, value in row.items()} for row in rows]
    value = [_describe(season, settings) for season in seasons]
    show_list("seasons", value, seasons.unreadable, lambda: format_table(table, columns), as_json=as_json)


@app.command("show")
def show_(
    season: Annotated[str, typer.Argument(help="Name of the season.", show_default=False)],
    phase: Annotated[str | None, typer.Option(help="List the targets of this phase.")] = None,
    as_json: Json = False,
) -> None:
    """Show the rules of a season, its phases with their dates, and where its files lie."""
    from vccapp.seasons.opened import find_season

    settings = open_settings()
    found = find_season(season, settings)
    chosen = None if phase is None else found.phase(phase)
    value = _describe(found, settings) | ({} if chosen is None else {"targets": _targets(chosen)})
    show(value, lambda: _format_season(value, chosen), as_json=as_json)


@app.command("open")
def open_(
    path: Annotated[
        Path, typer.Argument(help="The organisers' folder or zip of controls, or a season's TOML.", show_default=False)
    ],
    phase: Annotated[str | None, typer.Option(help="The phase that the files must be of.")] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Replace a season of the same name.")] = False,
    as_json: Json = False,
) -> None:
    """Open the organisers' files of a phase, or a season of your own, once; the workspace keeps what was read."""
    from vccapp.errors import SpecError
    from vccapp.seasons.opened import find_bundle, find_season
    from vccapp.tasks.open_season import OpenSeason

    settings = open_settings()
    if path.suffix.lower() == ".toml" and phase is not None:
        raise SpecError("phase_given", "A season's TOML names its phases itself", fix="leave out --phase")
    opened = OpenSeason(path=path, phase=phase, replace=replace).run(settings, show_progress)
    if not opened.phase:
        value = _describe(find_season(opened.season, settings), settings)
        show(value, lambda: _format_season(value, None), as_json=as_json)
        return
    end_progress()
    bundle = find_bundle(opened.season, opened.phase, settings)
    found = _describe_bundle(bundle)
    fields = {key: value for key, value in found.items() if key not in ("controls", "notes")}
    rows = [{"context": c} | file for c, file in found["controls"].items()]
    text = "\n\n".join(
        [format_fields(fields), format_table(rows, ("context", "cells", "path")), *(f"- {n}" for n in bundle.notes)]
    )
    show(found, lambda: text, as_json=as_json)


def _describe(season: "Season", settings: "Settings") -> dict[str, Any]:
    """For JSON: the rules, and of each phase what is known."""
    fields = season.model_dump(mode="json", exclude={"phases", "container"})
    return fields | {
        "container": season.container.name,
        "needs_bundle": season.needs_bundle,
        "phases": [_describe_phase(season, phase, settings) for phase in season.phases],
    }


def _describe_phase(season: "Season", phase: "Phase", settings: "Settings") -> dict[str, Any]:
    from vccapp.errors import VccAppError
    from vccapp.seasons.opened import find_bundle

    try:
        bundle = _describe_bundle(find_bundle(season.name, phase.name, settings))
    except VccAppError:  # not opened, or damaged, which the list says
        bundle = None
    numbers = [season.cells_per_target or target.n_cells or 0 for target in phase.targets]
    return phase.model_dump(mode="json", exclude={"targets"}) | {
        "n_targets": len(phase.targets) or None,
        "n_cells": sum(numbers) * max(len(phase.contexts), 1) or None,
        "known": season.is_known(phase.name),
        "bundle": bundle,
    }


def _describe_bundle(bundle: "Bundle") -> dict[str, Any]:
    return {
        "season": bundle.season,
        "phase": bundle.phase,
        "panel_id": bundle.panel_id,
        "n_targets": len(bundle.targets),
        "n_genes": bundle.n_genes,
        "given": str(bundle.given),
        "folder": str(bundle.folder),
        "opened": bundle.opened.isoformat(timespec="seconds"),
        "controls": {
            context: {"path": str(path), "cells": bundle.files[context].n_cells}
            for context, path in bundle.controls.items()
        },
        "notes": list(bundle.notes),
    }


def _targets(phase: "Phase") -> list[dict[str, Any]]:
    return [target.model_dump(mode="json") for target in phase.targets]


def _format_season(value: dict[str, Any], chosen: "Phase | None") -> str:
    rules = {name: rule for name, rule in value.items() if name not in ("phases", "spaces", "targets")}
    parts = [format_fields(rules | {"spaces": " or ".join(value["spaces"])})]
    columns = ("phase", "contexts", "targets", "cells", "opens", "closes", "known", "note")
    rows = [
        {
            "phase": phase["name"],
            "contexts": ", ".join(phase["contexts"]) or None,
            "targets": phase["n_targets"],
            "cells": phase["n_cells"],
            "opens": phase["opens"],
            "closes": phase["closes"],
            "known": phase["known"],
            "note": phase["note"] or None,
        }
        for phase in value["phases"]
    ]
    parts.append(format_table(rows, columns))
    parts += [f"Files of {phase['name']}: {phase['bundle']['folder']}" for phase in value["phases"] if phase["bundle"]]
    if chosen is not None:
        parts.append(format_table(_targets(chosen), ("label", "n_cells", "median_umi")))
    return "\n\n".join(parts)
