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


def is_for_pages(name: str) -> bool:
    """Whether a page may import it: the standard library, Streamlit, `vccapp.ui` and figures; nothing of the domain."""
    first = name.split(".")[0]
    return first in {*sys.stdlib_module_names, "streamlit"} or name == "vccapp.ui" or name.startswith("vccapp.figures.")


@pytest.mark.parametrize("path", [ROOT / "app.py", *sorted((ROOT / "pages").glob("*.py"))], ids=lambda path: path.stem)
def test_pages_import_ui_and_figures_alone(path: Path) -> None:
    assert not {name for name in imported(path) if not is_for_pages(name)}


def test_a_page_that_imports_the_domain_is_noticed(tmp_path: Path) -> None:
    page = tmp_path / "page.py"
    page.write_text("import pandas as pd\nfrom vccapp import ui\nfrom vccapp.stats.index import Index\n")
    assert {name for name in imported(page) if not is_for_pages(name)} == {"pandas", "vccapp.stats.index.Index"}


@pytest.mark.slow
def test_private_parts_of_streamlit_are_used_in_one_file_that_says_why() -> None:
    files = [path for path in (ROOT / "vccapp").rglob("*.py") if any(map(is_private, imported(path)))]
    assert [path.name for path in files] == ["warmup.py"]
    assert "no public switch" in files[0].read_text()


def is_private(name: str) -> bool:
    return name.startswith(("streamlit.runtime.", "streamlit.elements."))


@pytest.mark.slow
@pytest.mark.parametrize("module", ["vccapp", "vccapp.settings", "vccapp.cli", "vccapp.ui", "vccapp.stats.index"])
def test_importing_loads_nothing_heavy(module: str) -> None:
    code = f"import sys, {module}; print(*sorted({{m.split('.')[0] for m in sys.modules}}))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert not set(loaded.stdout.split()) & HEAVY


def test_importing_the_package_loads_only_itself() -> None:
    code = "import sys; before = set(sys.modules); import vccapp; print(*(set(sys.modules) - before))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    ours = {name for name in loaded.stdout.split() if name.startswith("vccapp")}
    assert ours == {"vccapp"}
