"""Where the keeper of a machine says that it lives: a file it holds locked, with a sign of life in it."""

import hashlib
import json
from pathlib import Path
from typing import Any

from vccapp.data.lock import is_locked
from vccapp.jobs.host import boot_seconds
from vccapp.settings import Settings

DEAF_SECONDS = 15.0
"""A keeper that has given no sign of life for so long is frozen, and another takes its place."""


def keeper_lock(settings: Settings, host: str) -> Path:
    """The file of the keeper of that machine."""
    return settings.jobs / f"keeper-{hashlib.sha256(host.encode()).hexdigest()[:8]}.lock"


def write_sign(path: Path, pid: int) -> None:
    """A sign of life of the keeper that holds the file."""
    path.write_text(json.dumps({"pid": pid, "beat": boot_seconds()}))


def read_sign(path: Path) -> dict[str, Any]:
    """pid and beat of the keeper; nothing where they cannot be read."""
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def is_kept(path: Path) -> bool:
    """Whether a keeper holds the file, and lives."""
    return is_locked(path) and boot_seconds() - read_sign(path).get("beat", boot_seconds()) < DEAF_SECONDS
