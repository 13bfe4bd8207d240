"""Settings of the app, from the environment (`VCCAPP_*`), and the places in the workspace.

The Ray address alone can be kept in the workspace too (`settings.json`, which `vccapp.data.installation` writes); its
variable wins over it.

VCCAPP_HOME          the workspace (default ./workspace)
VCCAPP_CHECKPOINTS   where runs live (default ./checkpoints)
VCCAPP_DATA_ROOTS    folders from which the app opens data, separated by ':' (default: the current folder)
VCCAPP_MEMORY_GB     memory one job may plan with (default 4); never more than the machine has
VCCAPP_MAX_JOBS      jobs that run at once; others wait (default 2)
VCCAPP_MACHINE_GB    memory that all jobs together may plan with (default: that of this machine)
VCCAPP_THREADS       processors of one job (default: all, so that heavy jobs run one after the other)
VCCAPP_DEVICE        where networks train: auto (default: a CUDA GPU where there is one), cpu, cuda
VCCAPP_DEVICES       processes that share the training of a network, one a GPU or a part of the cores each (default 1);
                     auto: all GPUs
VCCAPP_RAY_ADDRESS   the Ray cluster of `--on ray` and `--executor ray`: HOST:PORT, or auto for the one on this machine
                     (default)
VCCAPP_TRACKERS      where runs are shown beside TensorBoard: wandb, mlflow, trackio, separated by commas
VCCAPP_STATE         STATE's official program `state`, or its environment (default: what `vccapp state install` made)
VCCAPP_NOTIFY_COMMAND  a command that is run when a training has ended, with a notice as JSON on its standard input
VCCAPP_NOTIFY_URL    an http or https address to which that notice is posted
VCCAPP_HOSTS         names under which the app answers beside localhost, separated by commas
VCCAPP_TOKEN         what a browser must bring once, in the link, before the app answers it (default: nothing)
"""

import os
import re
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from vccapp.errors import SpecError, explain
from vccapp.machine import process_memory
from vccapp.records import Format, read_record
from vccapp.wording import bytes_text

HOST = re.compile(r"[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]")
"""A name or an address of a machine, as it stands in a URL."""

RAY_ADDRESS = re.compile(rf"auto|(http://)?({HOST.pattern}):\d{{1,5}}")
"""Of a cluster, as `vccapp.jobs.cluster` takes it."""
KEPT = Format("settings", fix="delete it, and set the Ray address again")

_LONGEST_NAME, _LONGEST_PATH = 255, 4095
"""Bytes that file systems take."""

Place = Literal["here", "ray"]
"""Where a job works: on this machine, or on the Ray cluster of the settings."""
Opened = TypeVar("Opened", bound=BaseSettings)


class Settings(BaseSettings):
    """Opened once at each door (`open_settings`) and handed on; every path is absolute."""

    model_config = SettingsConfigDict(env_prefix="VCCAPP_", frozen=True)

    home: Path = Path("workspace")
    checkpoints: Path = Path("checkpoints")
    data_roots: Annotated[tuple[Path, ...], NoDecode] = (Path(),)
    memory_gb: float = Field(4.0, gt=0, lt=1e6)
    max_jobs: int = Field(2, ge=1)
    machine_gb: float | None = Field(None, gt=0, lt=1e6)
    threads: int | None = Field(None, ge=1)
    device: Literal["auto", "cpu", "cuda"] = "auto"
    devices: Annotated[int, Field(ge=1)] | Literal["auto"] = 1
    ray_address: str = "auto"
    trackers: Annotated[tuple[str, ...], NoDecode] = ()
    state: str = ""
    notify_command: str = Field("", repr=False)
    notify_url: str = Field("", repr=False)

    @field_validator("data_roots", mode="before")
    @classmethod
    def _split_roots(cls, value: object) -> object:
        return tuple(Path(p) for p in value.split(os.pathsep) if p) if isinstance(value, str) else value

    @field_validator("trackers", mode="before")
    @classmethod
    def _split_trackers(cls, value: object) -> object:
        return tuple(re.findall(r"[^\s,:]+", value)) if isinstance(value, str) else value

    @field_validator("home", "checkpoints", mode="after")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        return _resolve(value)

    @field_validator("data_roots", mode="after")
    @classmethod
    def _absolute_roots(cls, value: tuple[Path, ...]) -> tuple[Path, ...]:
        return tuple(map(_resolve, value))

    @field_validator("state", mode="after")
    @classmethod
    def _absolute_program(cls, value: str) -> str:
        return str(Path(value).expanduser().absolute()) if value.strip() else ""

    @property
    def memory_bytes(self) -> int:
        """What a job may plan with on the machine that asks."""
        return min(int(self.memory_gb * 1e9), process_memory())

    @property
    def memory_note(self) -> str:
        """That a job may plan with less than was set, as a sentence without its point; empty where it may not."""
        there = process_memory()
        if self.memory_gb * 1e9 <= there:
            return ""
        return (
            f"VCCAPP_MEMORY_GB is {self.memory_gb:g}, but this machine, its container or ulimit gives "
            f"{bytes_text(there)}, with which jobs plan"
        )

    @property
    def datasets(self) -> Path:
        return self.home / "datasets"

    def index_of(self, dataset: str) -> Path:
        """Where the index of a dataset lies, by its fingerprint; it may not be there yet."""
        return self.datasets / dataset / "index"

    @property
    def splits(self) -> Path:
        return self.home / "splits"

    @property
    def embeddings(self) -> Path:
        """Where people put files of gene vectors, to find them in lists."""
        return self.home / "embeddings"

    @property
    def sweeps(self) -> Path:
        return self.home / "sweeps"

    @property
    def seasons(self) -> Path:
        return self.home / "seasons"

    @property
    def submissions(self) -> Path:
        return self.home / "submissions"

    @property
    def jobs(self) -> Path:
        return self.home / "jobs"

    @property
    def jobs_db(self) -> Path:
        return self.home / "jobs.db"

    @property
    def state_environment(self) -> Path:
        """Where the official program of STATE is installed; it may not be there yet."""
        return self.home / "environments" / "state"

    @property
    def demo(self) -> Path:
        return self.home / "demo"

    @property
    def kept(self) -> Path:
        """Where the workspace keeps settings that the page Settings changes; it may not be there yet."""
        return self.home / "settings.json"


class Kept(BaseModel):
    """What the workspace keeps of the settings; None: nothing was chosen."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    ray_address: str | None = Field(None, pattern=f"^({RAY_ADDRESS.pattern})$")


class ServerSettings(BaseSettings):
    """Who may talk to the app: of the server alone, not handed to jobs."""

    model_config = SettingsConfigDict(env_prefix="VCCAPP_", frozen=True)

    hosts: Annotated[tuple[str, ...], NoDecode] = ()
    token: SecretStr = SecretStr("")

    @field_validator("hosts", mode="before")
    @classmethod
    def _split_hosts(cls, value: object) -> object:
        return tuple(name for name in value.replace(",", " ").split()) if isinstance(value, str) else value

    @field_validator("hosts", mode="after")
    @classmethod
    def _check_hosts(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            if not HOST.fullmatch(name):
                raise ValueError("write names such as app.example.org, without http:// and port")
        return value


def _resolve(path: Path) -> Path:
    """Absolute. Raises ValueError for what no folder can be called, or a user that there is not."""
    data = os.fsencode(path)
    if b"\0" in data or len(data) > _LONGEST_PATH or any(len(part) > _LONGEST_NAME for part in data.split(b"/")):
        raise ValueError("no folder can be called so")
    try:
        return path.expanduser().resolve()
    except RuntimeError:
        raise ValueError("there is no such user, or its links go in a circle") from None


def open_settings() -> Settings:
    """Settings from the environment, then from the workspace. Raises SpecError, in one sentence, for a variable that is
    wrong, and DataError for a file of the workspace that cannot be read."""
    settings = _open(Settings)
    if is_set("ray_address") or not settings.kept.exists():
        return settings
    kept = read_record(settings.kept, KEPT, Kept.model_validate)
    return settings if kept.ray_address is None else settings.model_copy(update=kept.model_dump())


def is_set(name: str) -> bool:
    """Whether the environment sets the setting of this name."""
    return variable_of(name).lower() in {key.lower() for key in os.environ}


def variable_of(name: str) -> str:
    """The environment variable of a setting."""
    return f"VCCAPP_{name.upper()}"


def open_server_settings() -> ServerSettings:
    """Those of the server, from the environment. Raises SpecError, in one sentence, for a variable that is wrong."""
    return _open(ServerSettings)


def _open(kind: type[Opened]) -> Opened:
    try:
        return kind()
    except ValidationError as error:
        prefix = kind.model_config["env_prefix"]
        problem = explain(error, name=lambda field: f"{prefix}{field.split('.')[0].upper()}")
        raise SpecError("bad_setting", problem, fix="change it or unset it") from None
