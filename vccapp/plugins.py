"""Plug-ins: what other installed packages add, by entry points of the group `vccapp.plugins`.

    [project.entry-points."vccapp.plugins"]
    "loss.spread" = "my_package.spread"             # the module registers the loss `spread`
    "page.markers" = "my_package.pages.markers"     # a page is a script, which is run when it is opened

A name is one of KINDS, a point, and what is added. A registry imports the plug-ins of its kind when it is first asked;
one that cannot be used is left out and said once in the log, on every page and by `vccapp plugins list`.
"""

import logging
from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path

from vccapp.errors import SpecError, VccAppError

GROUP = "vccapp.plugins"
KINDS = ("model", "loss", "metric", "check", "scorer", "embedding", "tracker", "page")

log = logging.getLogger("vccapp.plugins")


@dataclass(frozen=True)
class Plugin:
    """One thing that a package adds. package : its name and version; module : what registers it, or is the page."""

    kind: str
    name: str
    module: str
    package: str

    @property
    def source(self) -> Path:
        """The file of the module, which is not imported; the packages around it are."""
        spec = find_spec(self.module)
        if spec is None or spec.origin is None:
            raise SpecError("plugin_module", f"There is no module {self.module}")
        return Path(spec.origin)


_faults: dict[Plugin, str] = {}


@cache
def find_plugins() -> tuple[Plugin, ...]:
    """All that installed packages name, in the order of packages and names."""
    found = []
    for entry in entry_points(group=GROUP):
        kind, _, name = entry.name.partition(".")
        package = f"{entry.dist.name} {entry.dist.version}" if entry.dist else entry.module
        plugin = Plugin(kind, name, entry.value, package)
        found.append(plugin)
        if kind not in KINDS or not name:
            kinds = ", ".join(KINDS)
            add_fault(plugin, SpecError("plugin_name", f"'{entry.name}' is not a kind of {kinds}, a point, and a name"))
    return tuple(sorted(found, key=lambda plugin: (plugin.package, plugin.kind, plugin.name)))


def plugins_of(kind: str) -> list[Plugin]:
    """Those of a kind, faulty ones included."""
    return [plugin for plugin in find_plugins() if plugin.kind == kind and plugin.name]


def add_fault(plugin: Plugin, error: BaseException) -> None:
    """Leave a plug-in out, and say why; the first time in the log."""
    why = str(error) if isinstance(error, VccAppError) else f"{type(error).__name__}: {error}."
    what = f"{plugin.kind} '{plugin.name}'" if plugin.kind in KINDS else f"entry '{plugin.kind}.{plugin.name}'"
    text = f"The {what} of the plug-in {plugin.package} is left out ({plugin.module}). {' '.join(why.split())}"
    if plugin not in _faults:
        log.warning("%s", text)
    _faults[plugin] = text


def plugin_faults() -> dict[Plugin, str]:
    """What is wrong with those that were tried, in a sentence each."""
    return dict(_faults)
