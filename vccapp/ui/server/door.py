"""The door of the server: which requests reach the app, pages and routes and WebSocket alike, before anything answers.

A request passes when its `Host` is this machine or a name of VCCAPP_HOSTS, when its `Origin`, if it has one, is the
same place, and, where VCCAPP_TOKEN is set, when it has the token: once in the link (`/?token=...`), then in a cookie.
Listening on 127.0.0.1 is not enough: any web page may have its own name resolve to 127.0.0.1 and ask there.
Every answer tells the browser to load nothing from another address.
"""

import hmac
from collections.abc import Iterable
from functools import cached_property
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

import streamlit as st
from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware import Middleware
from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from vccapp.errors import SpecError
from vccapp.settings import ServerSettings, open_server_settings

LOOPBACK = ("localhost", "127.0.0.1", "::1")
CLOSED = "/_stcore/metrics"
"""Streamlit's own counters, which nobody asks for here."""
PARAMETER = "token"
HEADERS = {
    # Streamlit and Vega need inline styles and compiled expressions; what counts is that no other address is asked.
    "Content-Security-Policy": "; ".join(
        [
            "default-src 'self' data: blob:",
            "script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:",
            "style-src 'self' 'unsafe-inline'",
            "base-uri 'self'",
            "form-action 'self'",
            "frame-ancestors 'self'",
            "object-src 'none'",
        ]
    ),
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}


class Door:
    """ASGI middleware around the whole app."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    @cached_property
    def _settings(self) -> ServerSettings:
        return open_server_settings()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        refused = self._refuse(scope)
        if refused is None:
            await self._app(scope, receive, _with_headers(send))
        elif scope["type"] == "http":
            await refused(scope, receive, _with_headers(send))
        else:
            await send({"type": "websocket.close", "code": 1008})  # before it is accepted: the server answers 403

    def _refuse(self, scope: Scope) -> Response | None:
        """What a request gets instead of an answer; None where it may pass."""
        request = HTTPConnection(scope)
        try:
            settings = self._settings
        except SpecError as error:
            return PlainTextResponse(str(error), status_code=500)
        if not is_host_known(request.headers, settings.hosts):
            return PlainTextResponse(
                "The app does not answer under this name; add the name to VCCAPP_HOSTS.", status_code=403
            )
        if not is_same_place(request.headers):
            return PlainTextResponse("The app does not answer pages of other sites.", status_code=403)
        if token := settings.token.get_secret_value():
            refused = _ask_token(request, token)
            if refused is not None:
                return refused
        if request.url.path.endswith(CLOSED):
            return PlainTextResponse("Not served.", status_code=404)
        return None


def is_host_known(headers: Headers, hosts: Iterable[str]) -> bool:
    """Whether the one `Host` of a request is this machine, or a name that the user gave."""
    asked = headers.getlist("host")
    name = _split(asked[0])[0] if len(asked) == 1 else ""
    given = (*hosts, *st.get_option("server.allowedHosts"), *_own_addresses())
    return bool(name) and name in {*LOOPBACK, *(_plain_name(host) for host in given)}


def is_same_place(headers: Headers) -> bool:
    """Whether a request comes from a page of this app, or from no page at all."""
    host, port = _split(headers["host"])
    allowed = {origin.rstrip("/") for origin in st.get_option("server.corsAllowedOrigins")}
    for origin in headers.getlist("origin"):
        parts = urlsplit(origin)
        standard = {"http": "80", "https": "443"}.get(parts.scheme)
        from_host, from_port = _split(parts.netloc)
        same_name = from_host == host or {from_host, host} <= set(LOOPBACK)
        same_port = (from_port or standard) == (port or standard)
        if not (standard and same_name and same_port) and origin not in allowed:
            return False
    return True


def link(token: str) -> str:
    """Where a browser opens the app, with the token."""
    scheme = "https" if st.get_option("server.sslCertFile") else "http"
    address = st.get_option("server.address")
    host = "localhost" if address in (None, "", "0.0.0.0", "::", *LOOPBACK) else address
    base = str(st.get_option("server.baseUrlPath") or "").strip("/")
    return f"{scheme}://{host}:{st.get_option('server.port')}/{base}{'/' if base else ''}?{PARAMETER}={quote(token)}"


def print_link() -> None:
    """Print where to open the app, where it wants a token."""
    if token := open_server_settings().token.get_secret_value():
        print(f"\n  Open the app with its token:  {link(token)}\n", flush=True)


def _ask_token(request: HTTPConnection, token: str) -> Response | None:
    """None where the request has the token. A link that brings it gets the cookie, and the address without it."""
    cookie = f"vccapp-token-{_split(request.headers['host'])[1]}"  # cookies know no ports, two apps on a machine do
    sealed = hmac.digest(token.encode(), b"cookie of the vccapp door", "sha256").hex()
    if _equal(request.cookies.get(cookie, ""), sealed):
        return None
    brought = [value for name, value in parse_qsl(request.url.query) if name == PARAMETER]
    if not (request.scope["type"] == "http" and brought and _equal(brought[-1], token)):
        return PlainTextResponse(
            "The app asks for its token; open the link that was printed when it started.", status_code=401
        )
    rest = urlencode([pair for pair in parse_qsl(request.url.query, keep_blank_values=True) if pair[0] != PARAMETER])
    path = "/" + quote(request.scope["path"]).lstrip("/")
    answer = RedirectResponse(f"{path}?{rest}" if rest else path, status_code=303)
    answer.set_cookie(cookie, sealed, httponly=True, samesite="lax", secure=request.url.scheme == "https")
    return answer


def _equal(left: str, right: str) -> bool:
    """In the same time, wherever they differ."""
    return hmac.compare_digest(left.encode(), right.encode())


def _split(place: str) -> tuple[str, str]:
    """Name and port of a `Host`: "[::1]:8501" is ("::1", "8501"); empty strings where it is none."""
    try:
        parts = urlsplit(f"//{place}")
        port = parts.port
    except ValueError:
        return "", ""
    if parts.netloc != place or "@" in place or not parts.hostname:
        return "", ""
    return _plain_name(parts.hostname), "" if port is None else str(port)


def _plain_name(host: str) -> str:
    return host.strip().lower().strip("[]").rstrip(".")


def _own_addresses() -> list[str]:
    """The address that the user made the server listen on or be known by."""
    named = (st.get_option("server.address"), st.get_option("browser.serverAddress"))
    return [name for name in named if name and name not in ("0.0.0.0", "::")]


def _with_headers(send: Send) -> Send:
    async def send_with(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message).update(HEADERS)
        await send(message)

    return send_with


MIDDLEWARE = [Middleware(Door)]
