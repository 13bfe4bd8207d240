"""Where things of the project lie, for tests at any depth."""

from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
ROOT = TESTS.parent
ASSETS = TESTS / "assets"
ORACLES = TESTS / "oracles"
SHARED = ROOT.parent / "shared" / "data"
