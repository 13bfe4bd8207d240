"""Seasons by name, with what was opened in the workspace: bundles of the organisers, and seasons that users wrote.

season = find_season("vcc2026", settings)
season.phase("final").targets                  # of the bundle, where it was opened; else ()
open_bundle(path, settings)
"""

from pathlib import Path

from vccapp.errors import SpecError
from vccapp.progress import Progress, silent
from vccapp.records import Listing
from vccapp.seasons import bundle as bundles
from vccapp.seasons import custom
from vccapp.seasons.base import SEASONS, Season
from vccapp.seasons.bundle import Bundle
from vccapp.settings import Settings

ALIASES = {"2025": "vcc2025", "2026": "vcc2026"}
"""What version 0.1.0 called seasons, in commands and in files."""
DEFAULT = "vcc2025"
"""The season of a command that names none."""


def find_season(name: str, settings: Settings) -> Season:
    """By its name, genes and targets filled in where they are known. Raises SpecError where there is none.

    A bundle that cannot be read counts as not opened; `list_seasons` tells of it.
    """
    name = renamed(name)
    if name in set(SEASONS):
        return _fill(SEASONS[name], bundles.list_bundles(settings, name))
    folder = settings.seasons / name
    if folder.parent == settings.seasons and (folder / custom.RECORD).exists():
        return custom.load_custom(folder)
    raise SpecError(
        "unknown_name",
        f"There is no season called '{name[:60]}'",
        fix=f"choose one of {', '.join(list_names(settings))}, or open one of your own: vccapp season open FILE.toml",
    )


def renamed(name: str) -> str:
    """A season's name of today, of one that version 0.1.0 wrote too."""
    return ALIASES.get(name, name)


def list_names(settings: Settings) -> list[str]:
    """Names of all seasons, those of users last; nothing of them is read."""
    own = (path.parent.name for path in settings.seasons.glob(f"*/{custom.RECORD}"))
    return [*SEASONS, *sorted(name for name in own if name not in set(SEASONS))]


def list_seasons(settings: Settings) -> Listing[Season]:
    """All, those of users last, with what could not be read of bundles and of seasons."""
    opened, own = bundles.list_bundles(settings), custom.list_custom(settings)
    known = [_fill(season, opened) for _, season in SEASONS.items()]
    return Listing([*known, *own], [*opened.unreadable, *own.unreadable])


def open_season(path: Path | str, settings: Settings, *, replace: bool = False) -> Season:
    """Check and keep a season that a user wrote; see `vccapp.seasons.custom.open_custom`."""
    return custom.open_custom(Path(path), settings, taken=frozenset((*SEASONS, *ALIASES)), replace=replace)


def find_bundle(season: str, phase: str, settings: Settings) -> Bundle:
    """The opened bundle of a phase. Raises SpecError where none was opened, DataError where it is damaged."""
    folder = settings.seasons / season / phase
    if not (folder / bundles.RECORD).exists():
        raise SpecError(
            "needs_bundle",
            f"The organisers' files of {season}, {phase}, were not opened yet",
            fix="open them: vccapp season open FOLDER",
        )
    return bundles.load_bundle(folder)


def open_bundle(
    path: Path | str, settings: Settings, *, phase: str | None = None, progress: Progress = silent
) -> Bundle:
    """Read, check and keep the folder or zip that the organisers give; see `vccapp.seasons.bundle.open_bundle`."""
    known = [season for _, season in SEASONS.items() if season.needs_bundle]
    return bundles.open_bundle(path, settings, seasons=known, phase=phase, progress=progress)


def _fill(season: Season, opened: list[Bundle]) -> Season:
    """With genes and targets of its opened bundles."""
    own = {bundle.phase: bundle for bundle in opened if bundle.season == season.name}
    if not own:
        return season
    phases = tuple(
        phase.model_copy(update={"targets": own[phase.name].targets}) if phase.name in own else phase
        for phase in season.phases
    )
    known = {name: getattr(season, name) for name in Season.model_fields}
    return Season(**known | {"phases": phases, "gene_file": next(iter(own.values())).gene_file})
