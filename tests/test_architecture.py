"""Importing is cheap and pages stay light. Which way imports run is checked by `lint-imports` (.importlinter)."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from places import ROOT

HEAVY = {"torch", "scanpy", "illico", "cell_eval", "numba", "anndata", "lightning"}


def imported(path: Path) -> set[str]:
    """Every module that a file imports, at any depth."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def test_pages_import_only_the_package_and_streamlit() -> None:
    for path in [ROOT / "app.py", *sorted((ROOT / "pages").glob("*.py"))]:
        heavy = {name.split(".")[0] for name in imported(path)} & HEAVY
        assert not heavy, f"{path.name} imports {heavy}"


@pytest.mark.parametrize("module", ["vccapp", "vccapp.settings", "vccapp.cli", "vccapp.ui", "vccapp.stats.index"])
def test_importing_loads_nothing_heavy(module: str) -> None:
    code = f"import sys, {module}; print(*sorted({{m.split('.')[0] for m in sys.modules}}))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert not set(loaded.stdout.split()) & HEAVY


def test_importing_the_package_loads_only_itself() -> None:
    code = "import sys; before = set(sys.modules); import vccapp; print(*(set(sys.modules) - before))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert loaded.stdout.split() == ["vccapp"]
