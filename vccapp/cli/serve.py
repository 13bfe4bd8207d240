"""`vccapp app`: the app in the browser. It is a command of its own, not a noun."""

import os
import sys
from typing import Annotated

import typer


def serve(
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port on which the app answers.")] = 8501,
    browser: Annotated[bool, typer.Option(help="Open the app in a browser.")] = True,
) -> None:
    """Open the app. Its workspace is ./workspace unless VCCAPP_HOME names another."""
    from vccapp.places import APP

    command = [sys.executable, "-m", "streamlit", "run", str(APP), f"--server.port={port}"]
    if not browser:
        command.append("--server.headless=true")
    os.execv(sys.executable, command)
