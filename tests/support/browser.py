"""A small driver for browser tests: the app on a free port, a headless Chromium, and what people do with a page."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest
from places import ROOT
from playwright.sync_api import Page, expect, sync_playwright

from vccapp.jobs.keeping.launch import environment
from vccapp.settings import Settings

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]
SECOND = 1000
"""Playwright counts in milliseconds."""


def need_chromium() -> None:
    """Skip where there is no browser, except in the check, which must have one."""
    if not CHROMIUM.exists():
        if os.environ.get("CI") == "true":
            pytest.fail(f"{CHROMIUM} is missing; the browser tests must run here (apt-get install chromium)")
        pytest.skip(f"{CHROMIUM} is missing; install chromium to run the browser tests")


class Server:
    """The app on a workspace; `url` where it answers. `command` is what the port option is added to."""

    def __init__(
        self,
        settings: Settings,
        *,
        command: Sequence[str] = (sys.executable, "-m", "streamlit", "run", "app.py", "--server.headless=true"),
        port_option: str = "--server.port",
        folder: Path = ROOT,
        env: Mapping[str, str] = os.environ,
    ) -> None:
        self.settings = settings
        self._command, self._port_option, self._folder, self._env = command, port_option, folder, env
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen | None = None

    def start(self) -> None:
        """Start, and wait until it answers."""
        self.settings.home.parent.mkdir(parents=True, exist_ok=True)
        with (self.settings.home.parent / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                [*self._command, f"{self._port_option}={self.port}"],
                cwd=self._folder,
                env={**self._env, **environment(self.settings)},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        for _ in range(600):
            try:
                urllib.request.urlopen(f"{self.url}/_stcore/health", timeout=1).read()
            except urllib.error.HTTPError:  # it answers, if only that it wants a token
                return
            except (urllib.error.URLError, ConnectionError, TimeoutError):
                time.sleep(0.05)
            else:
                return
        msg = "the server did not start within 30 s"
        raise RuntimeError(msg)

    def kill(self) -> None:
        """End it at once, as a crash would."""
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
            self.process = None

    def log(self) -> str:
        return (self.settings.home.parent / "server.log").read_text()


@contextlib.contextmanager
def open_browser(*, dark: bool = False, bypass_csp: bool = False) -> Iterator[Page]:
    """A page of a fresh browser, 1400 x 900; bypass_csp : it does not obey what the server says may be loaded."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        context = browser.new_context(
            viewport={"width": 1400, "height": 900},
            color_scheme="dark" if dark else "light",
            accept_downloads=True,
            bypass_csp=bypass_csp,
        )
        context.set_default_timeout(30 * SECOND)
        try:
            yield context.new_page()
        finally:
            browser.close()


def go(page: Page, title: str) -> None:
    """Go to a page by the navigation, and wait until it stands."""
    page.get_by_test_id("stSidebarNav").get_by_role("link", name=title, exact=True).click()
    expect(heading(page)).to_have_text(title)
    settle(page)


def heading(page: Page):
    return page.get_by_test_id("stMain").locator("h1")


def settle(page: Page) -> None:
    """Wait until the script has run and nothing on the page is stale."""
    page.wait_for_function(
        "() => document.querySelector('[data-testid=stApp]')?.dataset.testScriptState === 'notRunning'",
        timeout=30 * SECOND,
    )


def charts(page: Page):
    """The drawn charts of a page."""
    return page.get_by_test_id("stMain").locator(".vega-embed canvas, .vega-embed svg.marks")
