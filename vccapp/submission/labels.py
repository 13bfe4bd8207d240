"""Labels that mean another: guides of a target, words for the control, contexts in another spelling.

Checks hint at what these find, and mends rename by it: both see the same.
"""

import re
from collections.abc import Iterable

from vccapp.data.names.controls import control_family

GUIDE = re.compile(
    r"(?P<target>.+?)(?:[-_.](?:g|sg|guide|sgrna|gRNA)?[-_]?\d+|[-_](?:pos|neg|P1P2|P1|P2))", re.IGNORECASE
)
"""A target and the number of a guide: ADNP-1, ADNP_2, ADNP_sg1, ADNP.1."""


def strip_suffixes(labels: Iterable[str], asked: Iterable[str]) -> dict[str, str]:
    """Labels that are no target, but are one without the number of a guide: what each becomes."""
    asked, found = set(asked), {}
    for label in labels:
        match = GUIDE.fullmatch(label)
        if label not in asked and match and match["target"] in asked:
            found[label] = match["target"]
    return found


def find_control_labels(labels: Iterable[str], control: str) -> list[str]:
    """Labels that are words for controls, other than the season's own."""
    return [label for label in labels if label != control and control_family(label) is not None]


def fix_contexts(labels: Iterable[str], asked: Iterable[str]) -> dict[str, str]:
    """Contexts in another spelling (`a`, ` A`, `context_A`) and what each becomes; {} unless all of them become known
    ones, each another.
    """
    labels, asked = list(labels), list(asked)
    plain = {_plain(name): name for name in asked}
    fixed = {label: label if label in asked else plain.get(_plain(label), "") for label in labels}
    if "" in fixed.values() or len(set(fixed.values())) < len(fixed) or not any(k != v for k, v in fixed.items()):
        return {}
    return {label: name for label, name in fixed.items() if label != name}


def _plain(name: str) -> str:
    """Lower case, without spaces and the word itself."""
    return re.sub(r"^(?:context|ctx)[\s_.-]*", "", name.strip().lower())
