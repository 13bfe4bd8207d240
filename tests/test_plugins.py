"""Plug-ins that cannot be used are left out with a sentence; the others, and ours, go on."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from vccapp import plugins
from vccapp.cli.plugins import registries
from vccapp.errors import SpecError
from vccapp.plugins import KINDS, find_plugins, plugin_faults, plugins_of
from vccapp.registry import Registry

OWN = "from toy_app import KINDS\nKINDS.register('{0}')('own {0}')\n"
ADDED = "from toy_app import KINDS\nKINDS.register('{0}')('added {0}')\n"


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of installed packages: the app `toy_app` with a registry of one thing, and a plug-in of it."""
    things, package, info = (
        tmp_path / "toy_app" / "things",
        tmp_path / "toy_plugin",
        tmp_path / "toy_plugin-1.0.dist-info",
    )
    for folder in (things, package, info):
        folder.mkdir(parents=True)
    registry = "from vccapp.registry import Registry\nKINDS = Registry('metric', package='toy_app.things')\n"
    (tmp_path / "toy_app" / "__init__.py").write_text(registry)
    (things / "__init__.py").touch()
    (things / "one.py").write_text(OWN.format("one"))
    (package / "__init__.py").touch()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-plugin\nVersion: 1.0\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(plugins, "_faults", {})
    find_plugins.cache_clear()
    yield tmp_path
    find_plugins.cache_clear()


def install(site: Path, entries: dict[str, str], **modules: str) -> None:
    lines = [f"{name} = {module}" for name, module in entries.items()]
    (site / "toy_plugin-1.0.dist-info" / "entry_points.txt").write_text("\n".join(["[vccapp.plugins]", *lines]) + "\n")
    for name, text in modules.items():
        (site / "toy_plugin" / f"{name}.py").write_text(text)


def load() -> Registry:
    import importlib
    import sys

    for name in [name for name in sys.modules if name.startswith(("toy_app", "toy_plugin"))]:
        del sys.modules[name]
    importlib.invalidate_caches()
    return importlib.import_module("toy_app").KINDS


def test_a_plugin_adds_to_a_registry(site: Path) -> None:
    install(site, {"metric.two": "toy_plugin.two", "loss.other": "toy_plugin.none"}, two=ADDED.format("two"))
    registry = load()
    assert dict(registry.items()) == {"one": "own one", "two": "added two"}
    assert registry.added == ["two"] and not plugin_faults()
    [plugin] = plugins_of("metric")
    assert plugin.package == "toy-plugin 1.0" and plugin.source == site / "toy_plugin" / "two.py"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("1 / 0\n", "ZeroDivisionError"),
        ("import not_there\n", "not_there"),
        ("def broken(\n", "SyntaxError"),
        ("raise SystemExit(3)\n", "SystemExit"),
        ("", "registers no metric"),
        (ADDED.format("one"), "Two metrics have the name 'one'"),
        (ADDED.format("two") + "1 / 0\n", "ZeroDivisionError"),
    ],
)
def test_what_cannot_be_loaded_is_left_out_and_said_once(
    site: Path, text: str, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    install(site, {"metric.two": "toy_plugin.two", "metric.three": "toy_plugin.three"}, two=text)
    (site / "toy_plugin" / "three.py").write_text(ADDED.format("three"))
    with caplog.at_level(logging.WARNING, "vccapp.plugins"):
        registry = load()
        assert dict(registry.items()) == {"one": "own one", "three": "added three"}
        assert list(registry) == ["one", "three"]
    [(plugin, fault)] = plugin_faults().items()
    assert plugin.name == "two" and reason in fault and "toy-plugin 1.0" in fault and "\n" not in fault
    assert caplog.messages == [fault]
    with pytest.raises(SpecError):
        registry["two"]


def test_a_name_taken_by_ours_is_a_fault_of_the_plugin(site: Path) -> None:
    install(site, {"metric.one": "toy_plugin.one"}, one=ADDED.format("one"))
    assert dict(load().items()) == {"one": "own one"}
    assert ["Two metrics" in fault for fault in plugin_faults().values()] == [True]


@pytest.mark.parametrize("name", ["modle.two", "two", "metric."])
def test_an_entry_must_say_what_it_adds(site: Path, name: str) -> None:
    install(site, {name: "toy_plugin.two"}, two="")
    assert list(load()) == ["one"]
    [fault] = plugin_faults().values()
    assert all(kind in fault for kind in KINDS)


def test_every_kind_has_a_registry_but_pages() -> None:
    assert {registry.kind for registry in registries()} == set(KINDS) - {"page"}
