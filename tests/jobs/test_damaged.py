"""A damaged job store, or one row of it, hides no more than itself: commands and pages show it, and the rest stands."""

import contextlib
import json
import sqlite3

import pytest
from page_kit import open_alone, use

from vccapp.cli import main
from vccapp.jobs.local import reconcile
from vccapp.jobs.store import JobStore
from vccapp.tasks.demo import Demo


@pytest.fixture
def jobs(settings, monkeypatch):
    use(settings, monkeypatch)
    with JobStore(settings) as store:
        return [store.create(Demo()).id for _ in range(3)]


@pytest.mark.parametrize(
    "column", ["params = '{'", "params = '[]'", "created = 'soon'", "result = 'x'", "title = x'ff'"]
)
def test_one_damaged_row_is_shown_and_the_rest_stands(column, settings, jobs, capsys):
    with contextlib.closing(sqlite3.connect(settings.jobs_db)) as db, db:
        db.execute(f"UPDATE jobs SET {column}, state = 'running' WHERE id = ?", (jobs[1],))
    if "title" not in column:
        reconcile(settings)
        with JobStore(settings) as store:
            found = store.find()
        assert [job.id for job in found] == [jobs[2], jobs[0]]
        [damaged] = found.unreadable
        assert damaged.error.code == "job_damaged" and jobs[1] in str(damaged.error)
        with contextlib.closing(sqlite3.connect(settings.jobs_db)) as db:  # it holds no slot for ever
            assert db.execute("SELECT state FROM jobs WHERE id = ?", (jobs[1],)).fetchone() == ("lost",)
    with pytest.raises(SystemExit) as end:
        main(["jobs", "list"])
    out = capsys.readouterr().out
    assert end.value.code == 0 and all(job in out for job in jobs)
    page = open_alone("jobs")
    assert not page.exception and not page.error


@pytest.mark.parametrize("damage", ["text", "newer", "no table"])
def test_a_store_that_cannot_be_used_is_told_and_pages_stand(damage, settings, jobs, capsys):
    if damage == "text":
        for path in settings.home.glob("jobs.db*"):
            path.unlink()
        settings.jobs_db.write_text("no database at all, " * 100)
    else:
        change = "PRAGMA user_version = 999" if damage == "newer" else "DROP TABLE jobs"
        with contextlib.closing(sqlite3.connect(settings.jobs_db)) as db, db:
            db.execute(change)
    with pytest.raises(SystemExit) as end:
        main(["jobs", "list", "--json"])
    told = json.loads(capsys.readouterr().err)
    assert end.value.code == 2 and told["code"] in ("job_store", "newer_job_store") and len(told["error"]) < 300
    assert "sqlite" not in told["error"].lower() and "database disk image" not in told["error"]
    page = open_alone("glossary")
    assert not page.exception and not page.error
    page = open_alone("jobs")
    assert not page.exception and str(settings.jobs_db) in "".join(warning.value for warning in page.warning)
