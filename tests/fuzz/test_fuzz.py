"""300 damaged inputs, one command or page each: no traceback, no hang, no memory taken, no half-written file.

`python tests/fuzz/run.py --n 3000` gives each to every command that takes it.
"""

import collections
import os
import subprocess
import sys
from pathlib import Path

import pytest
from fuzz.damage import KINDS, Kit, make_case, write_files
from fuzz.run import BAD, Outcome, _judge

RUNNER = Path(__file__).parent / "run.py"


@pytest.mark.slow
def test_nothing_ends_badly(tmp_path: Path) -> None:
    """In a process of its own, which forks: this one has threads."""
    import json

    words = [sys.executable, "-W", "ignore", str(RUNNER), "--n", "300", "--one", "--json", str(tmp_path / "out.json")]
    done = subprocess.run(words, capture_output=True, text=True, env=os.environ | {"TMPDIR": str(tmp_path)})
    outcomes = [Outcome(**outcome) for outcome in json.loads((tmp_path / "out.json").read_text())]
    states = collections.Counter(outcome.state for outcome in outcomes)
    assert [outcome for outcome in outcomes if outcome.state in BAD] == []
    assert done.returncode == 0
    assert len(outcomes) == 300
    assert states["refused"] > 100, "the damage must matter"
    assert states["late"] <= 0.02 * len(outcomes)


@pytest.mark.slow
def test_the_same_seed_gives_the_same_damage(tmp_path: Path) -> None:
    (tmp_path / "kit").mkdir()
    write_files(tmp_path / "kit")
    kit = Kit(tmp_path / "kit", "", "")
    seeds = [seed for seed in range(36) if KINDS[seed % len(KINDS)] in ("csv", "genes", "toml", "embedding", "zarr")]
    first, again = ([make_case(seed, kit, tmp_path / name / str(seed)) for seed in seeds] for name in ("a", "b"))
    assert [case.what for case in first] == [case.what for case in again]
    assert len({case.what for case in first}) > len(seeds) // 2
    for one, two in zip(first, again, strict=True):
        if one.path.is_file() and two.path.is_file() and one.path.stat().st_size < 10**7:
            assert one.path.read_bytes() == two.path.read_bytes()


@pytest.mark.parametrize(
    ("text", "code", "hung", "left", "state"),
    [
        ("all well", 0, False, [], "fine"),
        ("Error: a.h5ad: it has no X; write it.", 2, False, [], "refused"),
        ("LATE\nError: a.csv: it is no table; mend it.", 2, False, ["checkpoints/r/run.json"], "late"),
        ("Error: a.h5ad: it has no X; write it.", 2, False, ["workspace/splits/a.json"], "half-written"),
        ("Error: a.h5ad (KeyError: 'X')", 2, False, [], "library"),
        ("Error: " + "x" * 301, 2, False, [], "long"),
        ("Error: Something unexpected went wrong (ValueError).", 1, False, [], "unexpected"),
        ("Traceback (most recent call last):\n  File", 1, False, [], "traceback"),
        ("", -1, True, [], "hang"),
        ("", -11, False, [], "died"),
        ("MEMORY", 70, False, [], "memory"),
    ],
)
def test_how_an_end_is_judged(text: str, code: int, hung: bool, left: list[str], state: str) -> None:
    assert _judge(text, code, hung, left, "/nowhere")[0] == state
