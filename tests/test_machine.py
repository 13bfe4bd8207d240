"""Memory of the machine, of containers by cgroup v1 and v2, and of a process by `ulimit`."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from vccapp import machine
from vccapp.machine import machine_memory, process_memory
from vccapp.settings import Settings

PHYSICAL = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def put(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.mark.parametrize(
    ("own", "files", "found"),
    [
        ("0::/job/inner\n", {"job/inner/memory.max": "max\n", "job/memory.max": "50000000\n"}, 50_000_000),
        ("0::/job/inner\n", {"job/inner/memory.max": "40000000\n", "job/memory.max": "50000000\n"}, 40_000_000),
        ("0::/\n", {"memory.max": "30000000\n"}, 30_000_000),
        # The path of the host, seen from a container whose own group is the root.
        ("4:memory:/docker/0a1b\n0::/\n", {"memory/memory.limit_in_bytes": "20000000\n"}, 20_000_000),
        ("5:cpu,memory:/a\n", {"memory/a/memory.limit_in_bytes": "9223372036854771712\n"}, PHYSICAL),
        ("3:cpu:/a:b\n", {"cpu/memory.limit_in_bytes": "1000\n"}, PHYSICAL),
        ("0::/job\n", {"job/memory.max": "odd\n"}, PHYSICAL),
        (None, {}, PHYSICAL),
    ],
)
def test_the_narrowest_group_limits_the_machine(
    own: str | None, files: dict[str, str], found: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "CGROUPS", tmp_path / "groups")
    monkeypatch.setattr(machine, "OWN_CGROUPS", tmp_path / "own")
    for name, text in files.items():
        put(tmp_path / "groups" / name, text)
    if own is not None:
        put(tmp_path / "own", own)
    assert machine_memory() == found
    settings = Settings(memory_gb=100.0)
    assert settings.memory_bytes == min(found, process_memory()) and settings.memory_note
    assert not Settings(memory_gb=0.01).memory_note


@pytest.mark.parametrize("kind", ["RLIMIT_AS", "RLIMIT_DATA"])
def test_ulimit_binds_the_process_alone(kind: str) -> None:
    program = (
        "import resource; from vccapp.machine import *; from vccapp.settings import Settings;"
        f"resource.setrlimit(resource.{kind}, (2 * 10**9, resource.getrlimit(resource.{kind})[1]));"
        "print(machine_memory(), process_memory(), Settings().memory_bytes)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert list(map(int, done.stdout.split())) == [machine_memory(), 2 * 10**9, 2 * 10**9]


@pytest.mark.parametrize(("words", "code"), [(["data", "list", "--json"], 2), (["--version"], 0)])
def test_a_limit_in_which_libraries_hang_is_refused_before_they_are_loaded(
    words: list[str], code: int, tmp_path: Path
) -> None:
    program = (
        "import resource, sys; from vccapp.cli import main;"
        "resource.setrlimit(resource.RLIMIT_AS, (10**9, resource.getrlimit(resource.RLIMIT_AS)[1])); main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *words],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"VCCAPP_HOME": str(tmp_path)},
    )
    assert done.returncode == code, done.stderr
    if code:
        assert json.loads(done.stderr)["code"] == "memory_limit"
