"""The structure that the design fixes: imports run one way, importing is cheap, pages stay light."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

LAYERS = [
    {"errors", "settings", "registry", "progress"},
    {"figures"},
    {"data"},
    {"challenges", "stats"},
    {"losses"},
    {"neural"},
    {"models"},
    {"evaluation"},
    {"training"},
    {"submission"},
    {"jobs"},
    {"ui", "cli"},
]
"""Lower layers first. A module imports from its own package or from lower layers."""

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


def level(part: str) -> int:
    return next(i for i, layer in enumerate(LAYERS) if part in layer)


MODULES = sorted(p for p in (ROOT / "vccapp").rglob("*.py") if p.parent != ROOT / "vccapp" or p.stem in LAYERS[0])


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_arrows_run_one_way(path: Path) -> None:
    part = path.relative_to(ROOT / "vccapp").parts[0].removesuffix(".py")
    for name in imported(path):
        if name.startswith("vccapp."):
            other = name.split(".")[1]
            if other != "__version__":
                below = level(other) < level(part) or level(part) == 0
                assert other == part or below, f"{path.name} imports {name}"
        if name.split(".")[0] == "streamlit":
            assert part == "ui", f"{path.name} imports streamlit"
        if part == "figures" and not name.startswith("vccapp.figures"):
            frames, drawing = {"pandas", "numpy"}, {"altair", "plotly", "vl_convert", "html"}
            assert name.split(".")[0] in frames | drawing | {"collections", "dataclasses", "typing", "math"}, name


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
