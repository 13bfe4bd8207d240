"""docs/checks.md says what the code does: its rules, its mends, and the tests of the forty pitfalls."""

import re
from pathlib import Path

from vccapp.submission.checking.stricter import table_of_rules
from vccapp.submission.mending.mend import MENDS

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "checks.md").read_text(encoding="utf-8")


def test_rules_are_those_of_the_checks() -> None:
    assert table_of_rules() in TEXT


def test_rules_that_checks_name_are_there_and_no_others() -> None:
    from vccapp.submission.checking.stricter import STRICTER

    named = {"dense", "csc"}  # by the layout's own name
    for file in (ROOT / "vccapp" / "submission" / "checks").glob("*.py"):
        for found in re.findall(r"rule=([^,\n]+)", file.read_text(encoding="utf-8")):
            named |= set(re.findall(r'"(\w+)"', found))
    every = {rule for rules in STRICTER.values() for rule in rules}
    assert named - every == set() and every - named == {"damaged"}  # damaged: told by an error


def test_every_mend_is_told() -> None:
    for name, kind in MENDS.items():
        assert f"| `{name}` | {kind.label} |" in TEXT


def test_all_pitfalls_have_a_test_that_is_there() -> None:
    rows = re.findall(r"^\| (\d+) \|.*\| `([^`]+)` \|$", TEXT, flags=re.MULTILINE)
    assert [int(number) for number, _ in rows] == list(range(1, 41))
    for _, test in rows:
        if test != "text alone":
            path, name = test.split("::")
            assert f"def {name}(" in (ROOT / "tests" / "submission" / path).read_text(encoding="utf-8"), test
