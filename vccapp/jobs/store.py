"""The job store: one SQLite file per workspace, shared by the app, the command line and every worker.

A change of state is one UPDATE that names the states it may come from, so whoever comes late changes nothing and is
told so; each is kept with its time and reason. The file belongs on a local disk. It has no write-ahead log: of a store
whose second file was deleted, two processes see two versions, and the last to close wins. A newer version of the app
migrates an older file forward; an older version refuses a newer file. A file that was deleted is made anew from what
stands beside the logs of the jobs (`vccapp.jobs.restore`).
"""

import codecs
import contextlib
import errno
import functools
import json
import os
import re
import secrets
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from vccapp.errors import JobError
from vccapp.faults import errno_of, name_problem, probe_disk
from vccapp.jobs.ending import ENDING, write_ending
from vccapp.jobs.host import boot_id, boot_seconds, host_id
from vccapp.jobs.job import ACTIVE, FROM, Event, Job, State
from vccapp.jobs.migrations import COLUMNS, JSON_COLUMNS, MIGRATIONS
from vccapp.jobs.restore import describe_rows, write_description
from vccapp.jobs.unwritable import copy_store, may_write
from vccapp.records import Listing, Unreadable
from vccapp.settings import Settings
from vccapp.tasks.base import Needs, Task
from vccapp.wording import reason_text

BUSY_SECONDS = 30.0
BROKEN = (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_ERROR, sqlite3.SQLITE_SCHEMA)
"""Codes of a file that is no store of ours: no database, or one without its table."""
NAMES = COLUMNS.split(", ")
MAX_KEPT = 4000
"""Jobs that have ended that a process keeps, parsed: hundreds are listed at each look at a page."""

_ID = re.compile(r"\d{8}-\d{6}-[0-9a-f]{6}")


class JobStore:
    """An open store: one connection, safe to share between threads. Close it, or use it in a `with` block.

    Every method raises JobError when the file cannot be used. In a workspace that can only be read, jobs can be listed:
    what is there is read into memory, and every change is refused.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._lock = threading.RLock()
        self.read_only = not may_write(settings.home)
        self._open()

    def _open(self) -> None:
        settings = self.settings
        with self._explained():
            if not self.read_only:
                settings.home.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(
                ":memory:" if self.read_only else settings.jobs_db,
                timeout=BUSY_SECONDS,
                isolation_level=None,
                check_same_thread=False,
            )
            # At once, since whoever deletes the file now takes it from this store too.
            self._inode = None if self.read_only else self._inode_there()
            self._db.row_factory = sqlite3.Row
            self._db.text_factory = lambda text: text.decode(errors="replace")
        try:
            with self._explained():
                if self.read_only:
                    copy_store(settings.jobs_db, self._db)
                else:
                    self._db.execute("PRAGMA journal_mode = TRUNCATE")
                    # A commit that waits for the disk holds the lock meanwhile, long where others write much; what a
                    # loss of power takes stands beside the logs of the jobs.
                    self._db.execute("PRAGMA synchronous = OFF")
                self._migrate()
        except BaseException:
            self._db.close()
            raise

    def __enter__(self) -> "JobStore":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        with self._lock:
            self._db.close()

    def create(
        self,
        task: Task,
        *,
        needs: Needs | None = None,
        after: Iterable[str] = (),
        environ: Mapping[str, str] = {},
        same: str = "",
    ) -> Job:
        """Write a queued job of this machine; or, where a job with this `same` is still active, that one."""
        now = time.time()
        job_id = f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime(now))}-{secrets.token_hex(3)}"
        row: dict[str, Any] = {
            "id": job_id,
            "task": task.name,
            "title": task.title,
            "params": task.model_dump_json(),
            "state": "queued",
            "created": now,
            "host": host_id(),
            "boot": boot_id(),
            "after": json.dumps([*after]),
            "needs": (needs or Needs(memory_bytes=0, threads=1)).model_dump_json(),
            "environ": json.dumps(dict(environ)),
            "same": same,
        }
        with self.exclusive():
            if same and (known := self._rows(f"SELECT id FROM jobs WHERE same = ? AND state IN {ACTIVE}", (same,))):
                return self.get(known[0]["id"])
            self._insert(row)
        with self._explained():
            write_description(self.settings.jobs / job_id, row)
        return self.get(job_id)

    def get(self, job_id: str) -> Job:
        """Raises JobError when there is no such job."""
        rows = self._rows(f"SELECT {COLUMNS} FROM jobs WHERE id = ?", (job_id,))
        if not rows:
            raise JobError(
                "unknown_job",
                f"There is no job '{job_id}' in {self.settings.jobs_db}",
                fix="see `vccapp jobs list` for the ids",
            )
        return self._read(rows[0])

    def find(
        self,
        *,
        state: State | Iterable[State] = (),
        task: str | Iterable[str] = (),
        naming: str = "",
        limit: int | None = None,
    ) -> Listing[Job]:
        """Jobs, the newest first: of one or several states, of one or several tasks; of all by default.

        naming : only those in whose params this text stands somewhere. Unreadable are rows that are damaged.
        """
        asked = {"state": state, "task": task}
        wanted = {name: (given,) if isinstance(given, str) else tuple(given) for name, given in asked.items()}
        clauses = [f"{name} IN ({', '.join('?' * len(given))})" for name, given in wanted.items() if given]
        values = [value for given in wanted.values() for value in given]
        if naming:
            clauses.append("instr(params, ?) > 0")
            values.append(naming)
        where = f"WHERE {' AND '.join(clauses)}" if clauses else ""
        sql = f"SELECT {COLUMNS} FROM jobs {where} ORDER BY seq DESC LIMIT ?"
        jobs, damaged = [], []
        for row in self._rows(sql, (*values, -1 if limit is None else limit)):
            try:
                jobs.append(self._read(row))
            except JobError as error:
                damaged.append(Unreadable(self.settings.jobs_db, error))
        return Listing(jobs, damaged)

    def move(self, job_id: str, state: State, *, only_from: State | None = None, **fields: Any) -> bool:
        """Change the state, and `fields` with it; False when the job is not in a state this may follow."""
        sources = tuple(source for source in FROM[state] if only_from in (None, source))
        values = {name: json.dumps(value) if name in JSON_COLUMNS else value for name, value in fields.items()}
        assignments = "".join(f", {name} = ?" for name in values)
        sql = f"UPDATE jobs SET state = ?{assignments} WHERE id = ? AND state IN ({', '.join('?' * len(sources))})"
        moved = self._run(sql, (state, *values.values(), job_id, *sources)) == 1
        if moved and state not in ACTIVE:
            write_ending(self.settings.jobs / job_id / ENDING, state, fields)
        return moved

    @contextlib.contextmanager
    def exclusive(self) -> Iterator[None]:
        """What is read and written in the block is read and written at once, with nobody else in between."""
        with self._lock:
            self._run("BEGIN IMMEDIATE", ())
            try:
                yield
            except BaseException:
                self._db.rollback()
                raise
            self._run("COMMIT", ())

    def find_states(self, job_ids: Iterable[str]) -> dict[str, State]:
        """The states of those of these jobs that there are."""
        ids = [*job_ids]
        rows = self._rows(f"SELECT id, state FROM jobs WHERE id IN ({', '.join('?' * len(ids))})", tuple(ids))
        return {row["id"]: row["state"] for row in rows}

    def events(self, job_id: str) -> list[Event]:
        """Each change of its state, the oldest first."""
        rows = self._rows("SELECT time, state, reason FROM events WHERE job = ? ORDER BY rowid", (job_id,))
        return [Event(**dict(row)) for row in rows]

    def set_process(self, job_id: str, **process: Any) -> None:
        """Note which process works for a job: pid, pid_created, and where."""
        names = ", ".join(f"{name} = ?" for name in process)
        self._run(f"UPDATE jobs SET {names} WHERE id = ?", (*process.values(), job_id))

    def note_waiting(self, job_id: str, waits: str) -> None:
        """Note why a job waits."""
        self._run("UPDATE jobs SET waits = ? WHERE id = ? AND waits != ?", (waits, job_id, waits))

    def set_place(self, job_id: str, *, first: bool) -> bool:
        """Make a waiting job the first or the last of the queue; False when it does not wait."""
        end = "min(place) - 1" if first else "max(place) + 1"
        sql = (
            f"UPDATE jobs SET place = (SELECT {end} FROM jobs WHERE state = 'queued') WHERE id = ? AND state = 'queued'"
        )
        return self._run(sql, (job_id,)) == 1

    def report(
        self, job_id: str, *, fraction: float, message: str, now: float, left: float | None = None
    ) -> State | None:
        """Note progress and a sign of life of a job that runs or stops; its state, or None when it is neither."""
        sql = """UPDATE jobs SET fraction = ?, message = ?, heartbeat = ?, left = ?, beat = ?
            WHERE id = ? AND state IN ('running', 'stopping') RETURNING state"""
        rows = self._rows(sql, (fraction, message, now, left, boot_seconds(), job_id))
        return rows[0]["state"] if rows else None

    def is_replaced(self) -> bool:
        """Whether the file that this store has open is no longer the one of the workspace."""
        return self._inode is not None and self._inode != self._inode_there()

    def _inode_there(self) -> int:
        """Of the file of the workspace; 0 where there is none."""
        try:
            return self.settings.jobs_db.stat().st_ino
        except OSError:
            return 0

    def reopen(self) -> None:
        """Open the file of the workspace anew, after somebody deleted or replaced the one that was open."""
        with self._lock:
            self._db.close()
            self._open()

    def log_path(self, job_id: str) -> Path:
        """Where the job writes its log. Raises JobError for what is not a job id."""
        if not _ID.fullmatch(job_id):
            raise JobError(
                "bad_job_id",
                f"'{job_id}' is not a job id",
                fix="see `vccapp jobs list` for the ids",
            )
        return self.settings.jobs / job_id / "log.txt"

    def read_log(self, job_id: str, *, last: int = 20_000) -> str:
        """At most the last `last` bytes of the log as text; characters cut at either end are left out."""
        try:
            with self.log_path(job_id).open("rb") as file:
                start = max(file.seek(0, os.SEEK_END) - last, 0)
                file.seek(start)
                data = file.read(last)
        except FileNotFoundError:
            return ""
        if start:
            data = re.sub(rb"\A[\x80-\xbf]{1,3}", b"", data)
        return codecs.getincrementaldecoder("utf-8")("replace").decode(data)

    def _migrate(self) -> None:
        if self._version() == len(MIGRATIONS):
            return
        with self._db:
            self._db.execute("BEGIN IMMEDIATE")
            version = self._version()
            if version > len(MIGRATIONS):
                raise JobError(
                    "newer_job_store",
                    f"{self.settings.jobs_db} was written by a newer version of this app (store version "
                    f"{version}, this app reads up to {len(MIGRATIONS)})",
                    fix="update the app or choose another workspace (VCCAPP_HOME)",
                )
            for statement in MIGRATIONS[version:]:
                self._db.execute(statement)
            if not version and not self.read_only:
                for row in describe_rows(self.settings.jobs):
                    self._insert(row)
            self._db.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")

    def _insert(self, row: Mapping[str, Any]) -> None:
        names = ", ".join(row)
        place = "(SELECT coalesce(max(place), 0) + 1 FROM jobs)"
        sql = f"INSERT INTO jobs ({names}, place) VALUES ({', '.join('?' * len(row))}, {place})"
        self._run(sql, tuple(row.values()))

    def _version(self) -> int:
        return self._db.execute("PRAGMA user_version").fetchone()[0]

    def _run(self, sql: str, values: tuple[Any, ...]) -> int:
        if self.read_only:
            raise JobError(
                "read_only",
                f"The workspace {self.settings.home} can only be read, so no job can be started or changed",
                fix="make it writable, or choose another one (VCCAPP_HOME)",
            )
        with self._lock, self._explained():
            return self._db.execute(sql, values).rowcount

    def _rows(self, sql: str, values: tuple[Any, ...]) -> list[sqlite3.Row]:
        with self._lock, self._explained():
            return self._db.execute(sql, values).fetchall()

    def _read(self, row: sqlite3.Row) -> Job:
        """Raises JobError for a row that is damaged; its id is what was found."""
        parse = _parse.__wrapped__ if row["state"] in ACTIVE else _parse
        try:
            return parse(tuple(row))
        except (TypeError, ValueError, RecursionError):
            raise JobError(
                "job_damaged",
                f"The job {row['id']} in {self.settings.jobs_db} is damaged",
                found=str(row["id"]),
                fix="start it again",
            ) from None

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn what SQLite and the file system raise into one sentence; `found` is the system's error number."""
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            number = errno_of(error)
            if number in (errno.EIO, errno.ENOENT):  # all that SQLite says of a disk that it cannot write when it opens
                number = probe_disk(self.settings.home) or number
            broken = getattr(error, "sqlite_errorcode", 0) & 0xFF in BROKEN
            reason = "it is damaged or no job store" if broken else name_problem(number) or reason_text(error)
            fix = "move the file away to start a new one" if broken else "check its folder and the disk"
            raise JobError(
                "job_store",
                f"The job store {self.settings.jobs_db} cannot be used ({reason})",
                found=number,
                fix=fix,
            ) from error


@functools.lru_cache(maxsize=MAX_KEPT)
def _parse(row: tuple[Any, ...]) -> Job:
    """The job that COLUMNS of a row hold. Raises TypeError, ValueError or RecursionError where they are damaged."""
    values = dict(zip(NAMES, row, strict=True))
    for name in JSON_COLUMNS:
        values[name] = None if values[name] is None else json.loads(values[name])
    return Job.model_validate(values)
