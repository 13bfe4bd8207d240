"""The work that jobs do, by name: one file a task, each a thin call of the layer below.

    @TASKS.register("index")
    def index(params: dict, settings: Settings, progress: Progress) -> dict: ...

`params` and the result are JSON. Heavy imports stand inside the functions: importing this package is cheap.
"""

from collections.abc import Callable
from typing import Any

from vccapp.progress import Progress
from vccapp.registry import Registry
from vccapp.settings import Settings

Task = Callable[[dict[str, Any], Settings, Progress], dict[str, Any]]

TASKS = Registry("task", package="vccapp.jobs.tasks")
