"""Archives of what released versions wrote (`tests/archives/<version>/`), opened in a folder of a test's own.

    home, checkpoints = unpack("0.1.0", tmp_path)       # for VCCAPP_HOME and VCCAPP_CHECKPOINTS

Records hold absolute paths; in an archive the folder they were written in is called PLACE. `unpack` puts the new one
there. A data file counts as changed after a copy (its time differs), so the app hashes it again and finds it the same.
"""

import gzip
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

from places import TESTS

ARCHIVES = TESTS / "archives"
PLACE = "@ARCHIVE@"
TEXT = (".json", ".jsonl", ".toml", ".txt")


def unpack(version: str, into: Path) -> tuple[Path, Path]:
    """Copy an archive to `into`, which must exist, with its paths put right; its workspace and its folder of runs."""
    shutil.copytree(ARCHIVES / version, into, dirs_exist_ok=True)
    for path in [*into.rglob("*.gz")]:
        path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))
        path.unlink()
    move_paths(into, PLACE, str(into.resolve()))
    return into / "home", into / "checkpoints"


def move_paths(folder: Path, old: str, new: str) -> None:
    """Put `new` for `old` in all text files below a folder, and in its store of jobs."""
    for path in folder.rglob("*"):
        if path.suffix in TEXT and path.is_file() and old in (text := path.read_text()):
            path.write_text(text.replace(old, new))
    for path in folder.rglob("jobs.db"):
        with closing(sqlite3.connect(path, isolation_level=None)) as store:
            for column in ("title", "params", "message", "reason", "result"):
                store.execute(f"UPDATE jobs SET {column} = replace({column}, ?, ?)", (old, new))
            store.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            store.execute("VACUUM")
