"""One small registry: models, seasons, checks and tasks are found by name.

    MODELS = Registry[type[Model]]("model", package="vccapp.models")

    @MODELS.register("control_mean")
    class ControlMean(Model): ...

    MODELS["control_mean"]

A registry imports every module of its package on first use, so adding one is writing one file; then the plug-ins of
its kind, see `vccapp.plugins`.
"""

import importlib
import pkgutil
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from vccapp.errors import SpecError, explain
from vccapp.plugins import Plugin, add_fault, plugins_of

if TYPE_CHECKING:
    from pydantic import BaseModel

    Spec = TypeVar("Spec", bound=BaseModel)

Item = TypeVar("Item")
Kept = TypeVar("Kept")


class Registry(Generic[Item]):
    """Names of one kind of thing, in the order of registration."""

    def __init__(self, kind: str, *, package: str) -> None:
        self.kind = kind
        self.package = package
        self.added: list[str] = []
        """Names that plug-ins brought, once it was asked for anything."""
        self._items: dict[str, Any] = {}
        self._loaded = False

    def register(self, name: str) -> Callable[[Kept], Kept]:
        def keep(item: Kept) -> Kept:
            if name in self._items:
                raise SpecError(
                    "name_taken",
                    f"Two {self.kind}s have the name '{name}'",
                    fix="rename one of them",
                )
            self._items[name] = item
            return item

        return keep

    def _load(self) -> None:
        if not self._loaded:
            package = importlib.import_module(self.package)
            for module in sorted(m.name for m in pkgutil.iter_modules(package.__path__)):
                importlib.import_module(f"{self.package}.{module}")
            self.added = [plugin.name for plugin in plugins_of(self.kind) if self._add(plugin)]
            self._loaded = True

    def _add(self, plugin: Plugin) -> bool:
        """Import a plug-in; a fault of it is kept and said, and the rest goes on."""
        known = plugin.name in self._items
        try:
            importlib.import_module(plugin.module)
            if plugin.name not in self._items:
                raise SpecError("plugin_empty", f"It registers no {self.kind} called '{plugin.name}'")
        except (Exception, SystemExit) as error:  # whatever a stranger's module does
            if not known:
                self._items.pop(plugin.name, None)
            add_fault(plugin, error)
            return False
        return True

    def __getitem__(self, name: str) -> Item:
        self._load()
        if name not in self._items:
            raise SpecError(
                "unknown_name",
                f"There is no {self.kind} called '{name}'",
                fix=f"choose one of {', '.join(self._items)}",
            )
        return self._items[name]

    def __iter__(self) -> Iterator[str]:
        self._load()
        return iter(self._items)

    def items(self) -> Iterator[tuple[str, Item]]:
        self._load()
        return iter(self._items.items())


def make_spec(kind: "type[Spec]", params: Mapping[str, Any], *, name: str) -> "Spec":
    """The parameters of `name`. Raises SpecError, in one sentence, for one that is wrong or unknown."""
    from pydantic import ValidationError

    try:
        return kind(**params)
    except ValidationError as error:
        allowed = ", ".join(kind.model_fields) or "none"
        problem = explain(error, name=lambda field: f"Parameter {field} of {name}")
        raise SpecError("bad_parameter", problem, fix=f"its parameters are: {allowed}") from None
