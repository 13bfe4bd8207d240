"""Where the parts of the project lie that are no modules: the app, its pages and its assets.

In a checkout they stand beside the package. A wheel holds them in `vccapp/_app`, in the same order (pyproject.toml).
"""

from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]
IMPORT_ROOT = PACKAGE.parent
"""On `sys.path`, the package is found."""

_PACKED = PACKAGE / "_app"
ROOT = _PACKED if _PACKED.is_dir() else PACKAGE.parent
APP = ROOT / "app.py"
PAGES = ROOT / "pages"
ASSETS = ROOT / "assets"
