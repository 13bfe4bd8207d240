"""A notice of a training that has ended: it arrives whole, nothing of it is run, and no failure of it hurts."""

import http.server
import json
import logging
import shlex
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from vccapp.jobs import notices
from vccapp.jobs.notices import send_notices
from vccapp.jobs.store import Job, JobStore
from vccapp.settings import Settings
from vccapp.tasks.demo import Demo
from vccapp.tasks.train import Train

HOSTILE = "$(touch hit); `touch hit` && touch hit | touch hit"


def make_job(settings: Settings, task: Any, state: str = "failed", reason: str = "Memory ran out.") -> Job:
    with JobStore(settings) as store:
        job = store.create(task)
        for step in ("starting", "running"):
            store.move(job.id, step)
        store.move(job.id, state, ended=job.created + 5, started=job.created, reason=reason, error_code="memory")
        return store.get(job.id)


@pytest.fixture
def job(settings: Settings) -> Job:
    return make_job(settings, Train(model="ridge", split="s", run_title=HOSTILE, run_id="r"))


def keep_stdin(path: Path) -> str:
    """A command that writes what it reads."""
    code = f"import pathlib, sys; pathlib.Path({str(path)!r}).write_text(sys.stdin.read() + ' '.join(sys.argv[1:]))"
    return shlex.join([sys.executable, "-c", code])


def test_a_command_gets_the_notice_and_no_shell_runs(job: Job, settings: Settings, tmp_path: Path) -> None:
    asked = settings.model_copy(update={"notify_command": keep_stdin(tmp_path / "got")})
    send_notices(job, asked)
    notice = json.loads((tmp_path / "got").read_text())  # nothing else: no word of the job is an argument
    assert (notice["job"], notice["run"], notice["state"], notice["code"]) == (job.id, "r", "failed", "memory")
    assert HOSTILE in notice["title"] and "Memory ran out." in notice["text"] and notice["seconds"] == 5
    assert not [path for path in (tmp_path, Path.cwd()) if (path / "hit").exists()]


@pytest.fixture
def posted() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """An address that takes notices, and what it got."""
    got: list[dict[str, Any]] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            if self.path == "/wrong":
                self.send_error(500)
                return
            got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", got
    server.shutdown()
    server.server_close()


def test_an_address_gets_the_notice(job: Job, settings: Settings, posted: tuple[str, list[dict[str, Any]]]) -> None:
    url, got = posted
    send_notices(job, settings.model_copy(update={"notify_url": url}))
    assert [notice["job"] for notice in got] == [job.id]


@pytest.mark.parametrize(
    "asked",
    [
        {"notify_command": "/no/such/program"},
        {"notify_command": "'unfinished"},
        {"notify_command": "false"},
        {"notify_url": "http://127.0.0.1:1/"},
        {"notify_url": "file:///etc/passwd"},
        {"notify_url": "http://"},
        {"notify_url": "{url}/wrong"},
    ],
    ids=str,
)
def test_what_fails_is_a_line_in_the_log(
    asked: dict[str, str],
    job: Job,
    settings: Settings,
    posted: tuple[str, list[dict[str, Any]]],
    caplog: pytest.LogCaptureFixture,
) -> None:
    url, got = posted
    [(name, value)] = asked.items()
    with caplog.at_level(logging.WARNING):
        send_notices(job, settings.model_copy(update={name: value.format(url=url)}))
    assert len(caplog.records) == 1 and job.id in caplog.text and not got


def test_what_never_ends_is_given_up(
    job: Job, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(notices, "SECONDS", 0.5)
    send_notices(job, settings.model_copy(update={"notify_command": "sleep 600"}))
    assert caplog.records


def test_only_trainings_that_ended_are_told(settings: Settings, tmp_path: Path) -> None:
    asked = settings.model_copy(update={"notify_command": keep_stdin(tmp_path / "got")})
    send_notices(make_job(settings, Demo()), asked)
    with JobStore(settings) as store:
        send_notices(store.create(Train(model="ridge", split="s", run_id="q")), asked)
    assert not (tmp_path / "got").exists()
    send_notices(make_job(settings, Train(model="ridge", split="s", run_id="r")), settings)  # nothing was asked for


def test_a_setting_of_it_is_not_printed(settings: Settings) -> None:
    secret = settings.model_copy(update={"notify_url": "https://example.org/hook/SECRET"})
    assert "SECRET" not in repr(secret)
