"""Start the cluster of ray_nodes.py for tests, and end it with them."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import pytest
from places import TESTS


@dataclass
class Nodes:
    """address : of the cluster; head, second : ids of its nodes"""

    address: str
    head: str
    second: str
    words: IO[str]
    answers: IO[str]

    def tell(self, word: str) -> str:
        """ "lose" the second node, or "add" another; its id."""
        print(word, file=self.words, flush=True)
        return self.answers.readline().strip()


@contextlib.contextmanager
def start_nodes(*words: str) -> Iterator[Nodes]:
    """words : as ray_nodes.py takes them after its folder"""
    folder = Path(tempfile.mkdtemp(prefix="ray"))  # short, for the names of sockets
    with pytest.MonkeyPatch.context() as patch, (folder / "log").open("w") as log:
        patch.setenv("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
        command = [sys.executable, str(TESTS / "support" / "ray_nodes.py"), str(folder), *words]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": log}
        nodes = subprocess.Popen(command, **pipes, text=True, start_new_session=True)
        bound = threading.Timer(1200, os.killpg, (nodes.pid, signal.SIGKILL))
        bound.start()
        try:
            found = nodes.stdout.readline().split()
            assert len(found) == 3, (folder / "log").read_text()[-2000:]
            yield Nodes(*found, nodes.stdin, nodes.stdout)
        finally:
            nodes.stdin.close()
            nodes.wait()
            bound.cancel()
            shutil.rmtree(folder, ignore_errors=True)
