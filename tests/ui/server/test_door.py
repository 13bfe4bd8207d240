"""Who gets in: names, origins and the token, asked of a running server over its own sockets."""

import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import Server
from refusals import refusal
from starlette.datastructures import Headers

from vccapp.errors import SpecError
from vccapp.settings import Settings, open_server_settings
from vccapp.ui.server.door import is_host_known, is_same_place

EVIL = "evil.example"
TOKEN = "a token with % and & in it"
ROUTES = ["/", "/jobs", "/_stcore/health", "/_stcore/host-config", "/static/nothing.js", "/media/nothing"]
ROUTES += ["/files/submission/some/some.vcc", "/component/nothing/index.html", "/_stcore/upload_file/a/b"]


@pytest.fixture(scope="module")
def open_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    yield from _serve(tmp_path_factory.mktemp("open"), {"VCCAPP_HOSTS": "lab.example.org"})


@pytest.fixture(scope="module")
def closed_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    yield from _serve(tmp_path_factory.mktemp("closed"), {"VCCAPP_TOKEN": TOKEN})


def _serve(folder: Path, more: dict[str, str]) -> Iterator[Server]:
    settings = Settings(home=folder / "workspace", checkpoints=folder / "checkpoints", data_roots=(folder,))
    server = Server(settings, env={**os.environ, **more})
    server.start()
    yield server
    server.kill()


def ask(server: Server, path: str, *headers: str, method: str = "GET") -> str:
    """The head of the answer to a request with exactly these headers."""
    end = () if any(line.startswith("Connection:") for line in headers) else ("Connection: close",)
    lines = [f"{method} {path} HTTP/1.1", *headers, *end, "", ""]
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as channel:
        channel.sendall("\r\n".join(lines).encode())
        answer = b""
        while b"\r\n\r\n" not in answer and (part := channel.recv(65536)):
            answer += part
    return answer.partition(b"\r\n\r\n")[0].decode("latin-1")


def status(server: Server, path: str, *headers: str, method: str = "GET") -> int:
    return int(ask(server, path, *headers, method=method).split()[1])


def handshake(server: Server, *headers: str) -> int:
    """What a WebSocket is answered."""
    upgrade = ("Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13")
    key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
    return status(server, "/_stcore/stream", *upgrade, key, *headers)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("host", "origin", "answer"),
    [("own", "own", 101), (EVIL, "own", 403), ("own", EVIL, 403), (EVIL, EVIL, 403)],
    ids=["right", "host", "origin", "both"],
)
def test_four_handshakes(open_server: Server, host: str, origin: str, answer: int) -> None:
    names = {"own": f"127.0.0.1:{open_server.port}", EVIL: f"{EVIL}:{open_server.port}"}
    headers = (f"Host: {names[host]}", f"Origin: http://{names[origin]}")
    assert handshake(open_server, *headers) == answer
    assert status(open_server, "/", *headers) == (200 if answer == 101 else 403)


@pytest.mark.slow
def test_a_name_without_the_port_is_no_other_name(open_server: Server) -> None:
    assert handshake(open_server, f"Host: {EVIL}", f"Origin: http://{EVIL}") == 403


@pytest.mark.parametrize(
    "name", ["localhost", "127.0.0.1", "[::1]", "LOCALHOST", "lab.example.org", "Lab.Example.Org."]
)
def test_names_of_this_machine_and_of_the_user(open_server: Server, name: str) -> None:
    host = f"Host: {name}:{open_server.port}"
    assert status(open_server, "/_stcore/health", host) == 200
    assert handshake(open_server, host, f"Origin: http://{name}:{open_server.port}") == 101


@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"])
def test_every_route_asks_who_is_meant(open_server: Server, path: str, method: str) -> None:
    assert status(open_server, path, f"Host: {EVIL}", method=method) == 403
    assert status(open_server, path, "Host: localhost", f"Origin: http://{EVIL}", method=method) == 403
    if method in ("GET", "HEAD"):  # others need the token of uploads as well
        assert status(open_server, path, "Host: localhost", method=method) != 403


@pytest.mark.parametrize(
    "headers",
    [
        (),
        ("Host: localhost", f"Host: {EVIL}"),
        ("Host: localhost@evil.example",),
        ("Host: localhost.evil.example",),
        ("Host: evil.example#localhost",),
        ("Host: localhost:http",),
        ("Host: localhost", "Origin: null"),
        ("Host: localhost:1", "Origin: http://localhost:2"),
        ("Host: localhost", "Origin: file://localhost"),
        ("Host: localhost", "Origin: http://localhost", f"Origin: http://{EVIL}"),
    ],
)
def test_what_is_no_name_of_this_place(headers: tuple[str, ...]) -> None:
    pairs = [tuple(line.split(": ", 1)) for line in headers]
    found = Headers(raw=[(name.lower().encode(), value.encode()) for name, value in pairs])
    assert not (is_host_known(found, ()) and is_same_place(found))


def test_counters_are_closed(open_server: Server) -> None:
    assert status(open_server, "/_stcore/metrics", "Host: localhost") == 404


def test_every_answer_keeps_the_browser_here(open_server: Server) -> None:
    for path, host in (("/", "localhost"), ("/_stcore/health", "localhost"), ("/", EVIL)):
        assert "default-src 'self'" in ask(open_server, path, f"Host: {host}")


@pytest.mark.slow
def test_a_token_is_asked_on_every_route(closed_server: Server) -> None:
    host = f"Host: localhost:{closed_server.port}"
    assert {status(closed_server, path, host) for path in [*ROUTES, "/?token=", "/?token=wrong"]} == {401}
    assert handshake(closed_server, host, f"Origin: http://localhost:{closed_server.port}") == 403
    assert status(closed_server, "/", f"Host: {EVIL}") == 403


@pytest.mark.slow
def test_the_printed_link_lets_in_and_leaves_no_token_in_the_address(closed_server: Server) -> None:
    printed = re.search(r"http://localhost:(\d+)/(\?token=\S+)", closed_server.log())
    assert printed is not None
    assert int(printed[1]) == closed_server.port
    host = f"Host: localhost:{closed_server.port}"
    answer = ask(closed_server, f"/jobs{printed[2]}&data=a%20b", host)
    assert answer.split()[1] == "303"
    assert re.search(r"^location: (.*)$", answer, re.M | re.I)[1].strip() == "/jobs?data=a+b"
    cookie = re.search(r"^set-cookie: ([^;]*)(.*)$", answer, re.M | re.I)
    assert "httponly" in cookie[2].lower()
    assert "samesite=lax" in cookie[2].lower()
    assert "token with" not in answer
    with_cookie = (host, f"Cookie: {cookie[1]}")
    assert status(closed_server, "/jobs", *with_cookie) == 200
    assert handshake(closed_server, *with_cookie, f"Origin: http://localhost:{closed_server.port}") == 101
    assert handshake(closed_server, *with_cookie, f"Origin: http://{EVIL}") == 403
    assert status(closed_server, "/jobs", host, f"Cookie: {cookie[1][:-1]}") == 401


def test_the_way_on_stays_on_this_server(closed_server: Server) -> None:
    token = re.search(r"\?token=(\S+)", closed_server.log())[1]
    for path in ("//evil.example/", "/%2F/evil.example", "/%5Cevil.example", "/%0d%0aX-Evil:%201"):
        head = ask(closed_server, f"{path}?token={token}", "Host: localhost")
        place = re.search(r"^location: (.*)$", head, re.M | re.I)[1].strip()
        assert place.startswith("/")
        assert not place.startswith(("//", "/\\"))
        assert "x-evil" not in {line.partition(":")[0].lower() for line in head.splitlines()}


@pytest.mark.parametrize("hosts", ["http://lab.example.org", "lab.example.org:8501", "*", "a/b"])
def test_hosts_are_names(monkeypatch: pytest.MonkeyPatch, hosts: str) -> None:
    monkeypatch.setenv("VCCAPP_HOSTS", hosts)
    with refusal(SpecError, "bad_setting"):
        open_server_settings()


def test_the_token_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VCCAPP_TOKEN", "secret")
    assert "secret" not in repr(open_server_settings())
