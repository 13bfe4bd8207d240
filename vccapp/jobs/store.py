"""The job store: one SQLite file per workspace, shared by the app, the command line and every worker.

    queued ──> starting ──> running ──> succeeded | failed | stopped | lost
       │          └───────────┴──> stopping ──> stopped | succeeded | failed | lost
       └──> stopped | failed | lost

A change of state is one UPDATE that names the states it may come from, so whoever comes late changes nothing and is
told so. The file is in WAL mode and belongs on a local disk. A newer version of the app migrates an older file
forward; an older version refuses a newer file.
"""

import codecs
import contextlib
import errno
import json
import os
import re
import secrets
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict

from vccapp.errors import JobError
from vccapp.faults import errno_of, name_problem, probe_disk
from vccapp.jobs.unwritable import copy_store, may_write
from vccapp.records import Listing, Unreadable
from vccapp.settings import Settings
from vccapp.tasks.base import Task, read_task
from vccapp.wording import reason_text

State = Literal["queued", "starting", "running", "stopping", "succeeded", "failed", "stopped", "lost"]
CLAIMED: tuple[State, ...] = ("starting", "running", "stopping")
ACTIVE: tuple[State, ...] = ("queued", *CLAIMED)
FROM: dict[State, tuple[State, ...]] = {
    "starting": ("queued",),
    "running": ("starting",),
    "stopping": ("starting", "running"),
    "succeeded": ("running", "stopping"),
    "failed": ACTIVE,
    "stopped": ACTIVE,
    "lost": ACTIVE,
}
PARKED = 0
"""The process number of a queued job that gets its process only when there is a slot for it."""
BUSY_SECONDS = 30.0
LOCKED = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
"""Primary codes of SQLite, the last byte of those that it gives."""
BROKEN = (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_ERROR, sqlite3.SQLITE_SCHEMA)
"""Codes of a file that is no store of ours: no database, or one without its table."""

_COLUMNS = (
    "id, task, title, params, state, fraction, message, created, started, ended, heartbeat, pid, pid_created, "
    "exit_code, error_code, reason, result"
)
MIGRATIONS: tuple[str, ...] = (
    f"""CREATE TABLE jobs (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,
        task TEXT NOT NULL,
        title TEXT NOT NULL,
        params TEXT NOT NULL,
        state TEXT NOT NULL CHECK (state IN {get_args(State)}),
        fraction REAL NOT NULL DEFAULT 0,
        message TEXT NOT NULL DEFAULT '',
        created REAL NOT NULL,
        started REAL,
        ended REAL,
        heartbeat REAL,
        pid INTEGER,
        pid_created REAL,
        exit_code INTEGER,
        reason TEXT NOT NULL DEFAULT '',
        result TEXT
    )""",
    "CREATE INDEX jobs_state ON jobs (state, seq)",
    # What 0.1.0 wrote becomes the fields of today's tasks.
    "ALTER TABLE jobs ADD COLUMN error_code TEXT NOT NULL DEFAULT ''",
    """UPDATE jobs SET params = json_remove(json_set(params, '$.paths', json(coalesce(
        json_extract(params, '$.paths'), json_array(json_extract(params, '$.path'))))), '$.path')
        WHERE task = 'index'""",
    """UPDATE jobs SET task = 'resume', params = json_remove(params, '$.resume')
        WHERE task = 'train' AND json_extract(params, '$.resume')""",
    """UPDATE jobs SET params = json_remove(json_set(params, '$.run_title',
        coalesce(json_extract(params, '$.title'), '')), '$.title') WHERE task IN ('train', 'import')""",
    """UPDATE jobs SET params = json_remove(json_set(params, '$.run_id', json_extract(params, '$.run')), '$.run')
        WHERE task = 'score'""",
    """UPDATE jobs SET params = json_remove(json_set(params, '$.params', json_extract(params, '$.spec')), '$.spec')
        WHERE task = 'embed'""",
)
_ID = re.compile(r"\d{8}-\d{6}-[0-9a-f]{6}")


class Job(BaseModel):
    """One row. Times are seconds since 1970 (UTC); `pid_created` is seconds since the machine booted.

    task, params : name and fields of the task, as they were written; error_code, reason : why it did not succeed
    """

    model_config = ConfigDict(frozen=True)

    id: str
    task: str
    title: str
    params: dict[str, Any]
    state: State
    fraction: float
    message: str
    created: float
    started: float | None
    ended: float | None
    heartbeat: float | None
    pid: int | None
    pid_created: float | None
    exit_code: int | None
    error_code: str
    reason: str
    result: dict[str, Any] | None

    @property
    def active(self) -> bool:
        """Whether the job can still change its state."""
        return self.state in ACTIVE

    def read_task(self) -> Task:
        """The task itself. Raises SpecError or JobError where this version cannot read it."""
        return read_task(self.task, self.params)


def seconds_left(job: Job, now: float) -> float | None:
    """The time a running job still needs if it goes on as it did on average; None when that cannot be told."""
    if job.state != "running" or job.started is None or job.fraction <= 0:
        return None
    return max(now - job.started, 0.0) * (1 - job.fraction) / job.fraction


class JobStore:
    """An open store: one connection, safe to share between threads. Close it, or use it in a `with` block.

    Every method raises JobError when the file cannot be used. In a workspace that can only be read, jobs can be listed:
    what is there is read into memory, and every change is refused.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._lock = threading.RLock()
        self.read_only = not may_write(settings.home)
        with self._explained():
            if not self.read_only:
                settings.home.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(
                ":memory:" if self.read_only else settings.jobs_db,
                timeout=BUSY_SECONDS,
                isolation_level=None,
                check_same_thread=False,
            )
            self._db.row_factory = sqlite3.Row
            self._db.text_factory = lambda text: text.decode(errors="replace")
        try:
            with self._explained():
                if self.read_only:
                    copy_store(settings.jobs_db, self._db)
                else:
                    self._use_wal()
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

    def create(self, task: Task, *, pid: int | None = None) -> Job:
        """Write a queued job (pid: PARKED or nothing)."""
        now = time.time()
        job_id = f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime(now))}-{secrets.token_hex(3)}"
        row = (job_id, task.name, task.title, task.model_dump_json(), "queued", now, pid)
        self._run("INSERT INTO jobs (id, task, title, params, state, created, pid) VALUES (?, ?, ?, ?, ?, ?, ?)", row)
        return self.get(job_id)

    def get(self, job_id: str) -> Job:
        """Raises JobError when there is no such job."""
        rows = self._rows(f"SELECT {_COLUMNS} FROM jobs WHERE id = ?", (job_id,))
        if not rows:
            raise JobError(
                "unknown_job",
                f"There is no job '{job_id}' in {self.settings.jobs_db}",
                fix="see `vccapp jobs list` for the ids",
            )
        return self._read(rows[0])

    def find(
        self, *, state: State | Iterable[State] = (), task: str | Iterable[str] = (), limit: int | None = None
    ) -> Listing[Job]:
        """Jobs, the newest first: of one or several states, of one or several tasks; of all by default.

        Unreadable are rows that are damaged.
        """
        asked = {"state": state, "task": task}
        wanted = {name: (given,) if isinstance(given, str) else tuple(given) for name, given in asked.items()}
        clauses = [f"{name} IN ({', '.join('?' * len(given))})" for name, given in wanted.items() if given]
        values = [value for given in wanted.values() for value in given]
        where = f"WHERE {' AND '.join(clauses)}" if clauses else ""
        sql = f"SELECT {_COLUMNS} FROM jobs {where} ORDER BY seq DESC LIMIT ?"
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
        if "result" in fields:
            fields["result"] = json.dumps(fields["result"])
        assignments = "".join(f", {name} = ?" for name in fields)
        sql = f"UPDATE jobs SET state = ?{assignments} WHERE id = ? AND state IN ({', '.join('?' * len(sources))})"
        return self._run(sql, (state, *fields.values(), job_id, *sources)) == 1

    def claim(self, job_id: str, *, max_jobs: int) -> bool:
        """Take one of `max_jobs` slots (queued -> starting); False while the slots are held or owed to older jobs."""
        sql = f"""UPDATE jobs SET state = 'starting' WHERE id = ? AND state = 'queued' AND ? > (
            SELECT count(*) FROM jobs AS other
            WHERE other.state IN {CLAIMED} OR (other.state = 'queued' AND other.seq < jobs.seq))"""
        return self._run(sql, (job_id, max_jobs)) == 1

    def take_parked(self, *, max_jobs: int, pid: int, pid_created: float) -> str | None:
        """The oldest parked job that could `claim` a slot now; this process stands for it until it has its own."""
        sql = f"""UPDATE jobs SET pid = ?, pid_created = ? WHERE id = (
            SELECT id FROM jobs AS own WHERE state = 'queued' AND pid = {PARKED} AND ? > (
                SELECT count(*) FROM jobs AS other
                WHERE other.state IN {CLAIMED} OR (other.state = 'queued' AND other.seq < own.seq))
            ORDER BY seq LIMIT 1) RETURNING id"""
        rows = self._rows(sql, (pid, pid_created, max_jobs))
        return rows[0]["id"] if rows else None

    def set_process(self, job_id: str, *, pid: int, pid_created: float) -> None:
        """Note which process works for a queued job."""
        sql = "UPDATE jobs SET pid = ?, pid_created = ? WHERE id = ? AND state = 'queued'"
        self._run(sql, (pid, pid_created, job_id))

    def report(self, job_id: str, *, fraction: float, message: str, now: float) -> None:
        """Note progress and a sign of life of a job that runs or stops."""
        sql = """UPDATE jobs SET fraction = ?, message = ?, heartbeat = ?
            WHERE id = ? AND state IN ('running', 'stopping')"""
        self._run(sql, (fraction, message, now, job_id))

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

    def _use_wal(self) -> None:
        """SQLite does not wait for its own lock while it changes to WAL, so several first openers wait here."""
        give_up = time.monotonic() + BUSY_SECONDS
        while True:
            try:
                self._db.execute("PRAGMA journal_mode = WAL")
                self._db.execute("PRAGMA synchronous = NORMAL")
                return
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF not in LOCKED or time.monotonic() > give_up:
                    raise
                time.sleep(0.02)

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
            self._db.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")

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
        values = dict(row)
        try:
            values["params"] = json.loads(values["params"])
            values["result"] = None if values["result"] is None else json.loads(values["result"])
            return Job.model_validate(values)
        except (TypeError, ValueError, RecursionError):
            raise JobError(
                "job_damaged",
                f"The job {values['id']} in {self.settings.jobs_db} is damaged",
                found=str(values["id"]),
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
