"""Files that the page Submit has mended, in `<home>/mended`: they stay until they are deleted."""

from collections.abc import Container
from pathlib import Path

from vccapp.settings import Settings


def mended_folder(settings: Settings) -> Path:
    return settings.home / "mended"


def list_mended(settings: Settings) -> list[tuple[Path, int]]:
    """Path and bytes of each, the oldest first."""
    return [(path, path.stat().st_size) for path in sorted(mended_folder(settings).glob("*.h5ad"), key=_age)]


def delete_mended(settings: Settings, *, busy: Container[Path] = ()) -> int:
    """Delete them, but those that are `busy`; returns the bytes that are free again."""
    freed = 0
    for path, size in list_mended(settings):
        if path not in busy:
            path.unlink(missing_ok=True)
            freed += size
    return freed


def _age(path: Path) -> float:
    return path.stat().st_mtime
