"""Where the official program of STATE is, and which versions it is made of.

    program = find_program(open_settings())       # SpecError where there is none
    program.command, program.versions["arc-state"]

It is the one that VCCAPP_STATE names (the command `state`, or the folder of an environment that has it), else the one
that `vccapp state install` put into the workspace.
"""

import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from vccapp.errors import SpecError
from vccapp.records import Format, read_record
from vccapp.settings import Settings

ENVIRONMENT = Format("environment", fix="run `vccapp state install` again")
RECORD = "environment.json"
PACKAGES = ("arc-state", "cell-load", "lightning", "transformers", "torch")
"""Whose versions are told and kept with a run."""
ASK = f"""
import json
from importlib.metadata import PackageNotFoundError, version
found = {{}}
for name in {PACKAGES!r}:
    try:
        found[name] = version(name)
    except PackageNotFoundError:
        pass
print(json.dumps(found))
"""
INSTALL = "install it on the page Train or with `vccapp state install`, or name it in VCCAPP_STATE"


@dataclass(frozen=True)
class Program:
    """python : of its environment; command : the program itself; versions : of `PACKAGES`; installed : by us"""

    python: Path
    command: Path
    versions: Mapping[str, str]
    installed: bool

    @property
    def version(self) -> str:
        return self.versions["arc-state"]


def find_program(settings: Settings) -> Program:
    """Raises SpecError where it is not there or does not answer, DataError for a damaged record of the environment."""
    if settings.state:
        return _named(Path(settings.state))
    folder = settings.state_environment
    if not (folder / RECORD).is_file():
        raise SpecError("state_missing", "The official program of STATE is not installed", fix=INSTALL)
    versions = read_record(folder / RECORD, ENVIRONMENT, lambda fields: dict(fields["versions"]))
    python, command = folder / "bin" / "python", folder / "bin" / "state"
    if not (python.exists() and command.exists()):
        raise SpecError("state_missing", f"{folder} has lost its program", fix="run `vccapp state install` again")
    return Program(python, command, versions, installed=True)


def _named(path: Path) -> Program:
    command = path / "bin" / "state" if path.is_dir() else path
    python = command.with_name("python")
    for needed in (command, python):
        if not needed.is_file():
            raise SpecError(
                "state_missing", f"VCCAPP_STATE is {path}, but there is no {needed}", fix="name the command `state`"
            )
    versions = ask_versions(python, command.stat().st_mtime_ns)
    if "arc-state" not in versions:
        raise SpecError("state_missing", f"The environment of {command} has no arc-state", fix=INSTALL)
    return Program(python, command, versions, installed=False)


@lru_cache(maxsize=8)
def ask_versions(python: Path, changed: int) -> Mapping[str, str]:
    """Of `PACKAGES`, by name, those that an environment has; changed : asks again. Raises SpecError for no answer."""
    try:
        ended = subprocess.run([python, "-P", "-c", ASK], capture_output=True, text=True, timeout=60, check=True)
        return json.loads(ended.stdout)
    except (OSError, subprocess.SubprocessError, ValueError):
        raise SpecError("state_unusable", f"{python} does not answer", fix="repair it, or name another") from None
