"""Task `install-state`: the official program of STATE, in an environment of its own in the workspace."""

from vccapp.progress import Progress
from vccapp.settings import Settings
from vccapp.tasks.base import TASKS, Needs, Result, Task

MEMORY_BYTES = 600_000_000
"""Of pip, and of the program when it starts for the first time; measured."""


class Installed(Result):
    """versions : of arc-state and of what it runs on; folder : of the environment"""

    versions: dict[str, str]
    folder: str


@TASKS.register("install-state")
class InstallState(Task[Installed]):
    name = "install-state"
    Result = Installed

    @property
    def title(self) -> str:
        return "Install the official program of STATE"

    def command(self) -> list[str]:
        return ["vccapp", "state", "install"]

    def check(self, settings: Settings) -> None:
        from vccapp.data.resources import require_disk
        from vccapp.neural.arc_state.install import needs_disk

        settings.home.mkdir(parents=True, exist_ok=True)
        require_disk(settings.home, needs_disk(), purpose="The official program of STATE")

    def needs(self, settings: Settings) -> Needs:
        return Needs(memory_bytes=MEMORY_BYTES, threads=1)

    def run(self, settings: Settings, progress: Progress) -> Installed:
        from vccapp.neural.arc_state.install import install_program

        program = install_program(settings, progress=progress)
        return Installed(versions=dict(program.versions), folder=str(settings.state_environment))
