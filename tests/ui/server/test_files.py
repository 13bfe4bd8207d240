"""The download route: which file a link gives, and how its bytes travel."""

import hashlib
import os
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.client import HTTPResponse
from pathlib import Path

import psutil
import pytest
from browser import Server

from vccapp.settings import Settings
from vccapp.ui.server.files import file_url, submission_file

PACKAGE = bytes(range(256)) * 400


def make_submission(settings: Settings, name: str, data: bytes = b"x") -> Path:
    folder = settings.submissions / name
    folder.mkdir(parents=True)
    (folder / f"{name}.vcc").write_bytes(data)
    (folder / "plan.json").write_text("{}")
    return folder


def test_a_link_gives_the_package_alone(settings: Settings, tmp_path: Path) -> None:
    folder, other = make_submission(settings, "one"), make_submission(settings, "two")
    (tmp_path / "secret.vcc").write_bytes(b"x")
    (folder / "link.vcc").symlink_to(tmp_path / "secret.vcc")
    (folder / "sibling.vcc").write_bytes(b"x")
    for name, target in (("out", tmp_path / "secret.vcc"), ("aside", other / "two.vcc"), ("plan", other / "plan.json")):
        (settings.submissions / name).mkdir()
        (settings.submissions / name / f"{name}.vcc").symlink_to(target)
    (settings.submissions / "three").symlink_to(other)
    assert submission_file("one", "one.vcc", settings) == folder / "one.vcc"
    for submission, name in (
        ("one", "plan.json"),
        ("one", "absent.vcc"),
        ("one", "link.vcc"),
        ("one", "sibling.vcc"),
        ("one", "two.vcc"),
        ("one", "../two/two.vcc"),
        ("three", "three.vcc"),
        ("three", "two.vcc"),
        ("out", "out.vcc"),
        ("aside", "aside.vcc"),
        ("plan", "plan.vcc"),
        ("one", "../../../secret.vcc"),
        ("..", "one.vcc"),
        ("..", "...vcc"),
        (".", "one.vcc"),
        ("", "one.vcc"),
        ("one/..", "one.vcc"),
    ):
        assert submission_file(submission, name, settings) is None, (submission, name)


def test_a_workspace_behind_a_link_serves_its_own(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "far")
    make_submission(settings, "one")
    (tmp_path / "near").mkdir()
    (tmp_path / "near" / "submissions").symlink_to(settings.submissions)
    assert submission_file("one", "one.vcc", Settings(home=tmp_path / "near")) is not None


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("download")
    settings = Settings(home=folder / "workspace", checkpoints=folder / "checkpoints", data_roots=(folder,))
    make_submission(settings, "one", PACKAGE)
    server = Server(settings, env=os.environ)
    server.start()
    yield server
    server.kill()


def fetch(server: Server, *, method: str = "GET", **headers: str) -> tuple[HTTPResponse, bytes]:
    named = {"Accept-Encoding": "gzip, deflate, br"} | {name.replace("_", "-"): text for name, text in headers.items()}
    asked = urllib.request.Request(server.url + file_url("one", "one.vcc"), headers=named, method=method)
    try:
        answer = urllib.request.urlopen(asked, timeout=20)
    except urllib.error.HTTPError as error:
        answer = error
    with answer:
        return answer, answer.read()


@pytest.mark.slow
def test_a_browser_gets_the_bytes_as_they_are(server: Server) -> None:
    answer, data = fetch(server)
    assert data == PACKAGE
    assert answer.headers["Content-Encoding"] == "identity"
    assert int(answer.headers["Content-Length"]) == len(PACKAGE)


@pytest.mark.slow
def test_a_download_goes_on_where_it_ended(server: Server) -> None:
    whole, _ = fetch(server)
    etag = whole.headers["ETag"]
    rest, data = fetch(server, Range="bytes=1000-", If_Range=etag)
    assert (rest.status, data, rest.headers["ETag"]) == (206, PACKAGE[1000:], etag)
    assert rest.headers["Content-Range"] == f"bytes 1000-{len(PACKAGE) - 1}/{len(PACKAGE)}"
    changed, data = fetch(server, Range="bytes=1000-", If_Range='"of another file"')
    assert (changed.status, data) == (200, PACKAGE)


def test_head_says_what_get_would(server: Server) -> None:
    told, nothing = fetch(server, method="HEAD")
    whole, _ = fetch(server)
    assert nothing == b""
    for name in ("ETag", "Content-Length", "Content-Encoding", "Accept-Ranges"):
        assert told.headers[name] == whole.headers[name], name


def test_a_range_beyond_the_end(server: Server) -> None:
    answer, _ = fetch(server, Range=f"bytes={len(PACKAGE)}-")
    assert answer.status == 416


def test_another_file_gets_another_etag(server: Server) -> None:
    path = server.settings.submissions / "one" / "one.vcc"
    before, _ = fetch(server)
    stat = path.stat()
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1_000_000))
    after, _ = fetch(server)
    assert before.headers["ETag"] != after.headers["ETag"]


SIZE, BLOCK = 10 * 10**9, 2**20


def peak_bytes(server: Server) -> int:
    """The highest memory so far of the server and of what it started."""
    assert server.process is not None
    top = psutil.Process(server.process.pid)
    statuses = [Path(f"/proc/{one.pid}/status").read_text() for one in (top, *top.children(recursive=True))]
    return sum(int(status.split("VmHWM:")[1].split()[0]) * 1024 for status in statuses if "VmHWM:" in status)


def settle(server: Server) -> int:
    """The memory of the server once it has loaded what it loads after its start."""
    before, now = 0, peak_bytes(server)
    while now > before:
        time.sleep(3)
        before, now = now, peak_bytes(server)
    return now


def ask(server: Server, name: str, **headers: str) -> HTTPResponse:
    named = {key.replace("_", "-"): text for key, text in headers.items()}
    return urllib.request.urlopen(
        urllib.request.Request(server.url + file_url(name, f"{name}.vcc"), headers=named), timeout=60
    )


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is read from /proc")
def test_ten_gigabytes_break_go_on_and_take_no_memory(server: Server) -> None:
    """A sparse file: what is read of it is there, and the server never holds it."""
    path = make_submission(server.settings, "large") / "large.vcc"
    marks = {place: os.urandom(BLOCK) for place in (0, SIZE // 3, SIZE - 40 * BLOCK, SIZE - BLOCK)}
    with path.open("wb") as file:
        file.truncate(SIZE)
        for place, mark in marks.items():
            file.seek(place)
            file.write(mark)
    before = settle(server)
    with ask(server, "large") as whole:
        etag = whole.headers["ETag"]
        assert int(whole.headers["Content-Length"]) == SIZE
        assert whole.read(BLOCK) == marks[0]
        for _ in range(300):  # then the line breaks
            assert whole.read(BLOCK) == bytes(BLOCK)
    for place in (SIZE // 3, SIZE - 40 * BLOCK):
        with ask(server, "large", Range=f"bytes={place}-", If_Range=etag) as rest:
            assert (rest.status, rest.headers["Content-Range"]) == (206, f"bytes {place}-{SIZE - 1}/{SIZE}")
            assert rest.read(BLOCK) == marks[place]
            if place > SIZE // 2:
                tail = rest.read()
    assert tail[-BLOCK:] == marks[SIZE - BLOCK] and len(tail) == 39 * BLOCK
    assert peak_bytes(server) - before < 100 * 10**6
    path.unlink()


@pytest.mark.slow
def test_pieces_of_a_broken_download_have_the_checksum(server: Server) -> None:
    path = make_submission(server.settings, "pieces", os.urandom(30 * BLOCK)) / "pieces.vcc"
    sha256, place, etag = hashlib.sha256(), 0, ""
    for pieces in (7, 11, 99):
        headers = {"Range": f"bytes={place}-", "If_Range": etag} if etag else {}
        with ask(server, "pieces", **headers) as answer:
            etag = answer.headers["ETag"]
            for _ in range(pieces):
                block = answer.read(BLOCK)
                sha256.update(block)
                place += len(block)
    assert (place, sha256.hexdigest()) == (30 * BLOCK, hashlib.sha256(path.read_bytes()).hexdigest())
