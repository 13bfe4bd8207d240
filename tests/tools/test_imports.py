"""What scripts beside the package import of it is there: nobody else runs them all."""

import ast
import importlib
from importlib.util import find_spec
from pathlib import Path

import pytest
from places import ROOT

SCRIPTS = sorted(path for folder in ("benchmarks", "tools") for path in (ROOT / folder).rglob("*.py"))


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_names_that_a_script_imports_are_there(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "vccapp":
            module = importlib.import_module(node.module)
            for name in node.names:
                found = hasattr(module, name.name) or find_spec(f"{node.module}.{name.name}")
                assert found, f"line {node.lineno}: {node.module} has no {name.name}"
