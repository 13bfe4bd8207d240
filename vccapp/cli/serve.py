"""`vccapp app`: the app in the browser. It is a command of its own, not a noun."""

import os
import secrets
import sys
from typing import Annotated

import typer


def serve(
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port on which the app answers.")] = 8501,
    browser: Annotated[bool, typer.Option(help="Open the app in a browser.")] = True,
    token: Annotated[
        bool,
        typer.Option(
            "--token",
            help="Answer only browsers that open the link printed at the start. Take it where others use the machine. "
            "VCCAPP_TOKEN sets the token; otherwise a new one is made.",
        ),
    ] = False,
) -> None:
    """Open the app. Its workspace is ./workspace unless VCCAPP_HOME names another."""
    from vccapp.data.places import APP

    command = [sys.executable, "-m", "streamlit", "run", str(APP), f"--server.port={port}"]
    if not browser:
        command.append("--server.headless=true")
    if token:  # by the environment, for everyone on the machine can read a command line
        os.environ.setdefault("VCCAPP_TOKEN", secrets.token_urlsafe(24))
    os.execv(sys.executable, command)
