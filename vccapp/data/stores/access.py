"""What may be read, and with how much memory: made from the settings at each door and handed down."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vccapp.settings import Settings


@dataclass(frozen=True)
class Access:
    """roots : folders into which links of a file may lead; without one, none may leave the file
    memory_bytes : that reading may take; cache : where files that cannot be read in place are converted to, else a
    folder that this process removes when it ends
    """

    roots: tuple[Path, ...] = ()
    memory_bytes: int = 4 * 10**9
    cache: Path | None = None

    @classmethod
    def of(cls, settings: "Settings") -> "Access":
        return cls((*settings.data_roots, settings.demo), settings.memory_bytes, settings.home / "converted")

    def admits(self, target: Path) -> bool:
        """Whether a file lies in the roots, links resolved."""
        real = Path(os.path.realpath(target))
        return any(real.is_relative_to(root) for root in self.roots)


CLOSED = Access()
"""No link may leave a file."""
