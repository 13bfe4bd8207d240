"""Labels of unperturbed cells, of cells without a call, and of cells that are neither: told by their words.

A control's family is its word without numbers: 'non-targeting_00001' and 'Non-Targeting' are of 'nontargeting'.
"""

import re
from collections.abc import Iterable
from fnmatch import fnmatchcase
from functools import lru_cache

CONTROL_LABELS = (
    *("nontargeting", "nontarget", "nontargetingcontrol", "ntc", "nt", "control", "ctrl", "negctrl", "negcontrol"),
    *("negativecontrol", "unperturbed", "safetargeting", "safetarget", "scramble", "scrambled", "mock", "vehicle"),
    *("dmso", "nontargetingsgrna", "nontargetinggrna", "intergenic", "nosite", "oneintergenicsite", "onenongenesite"),
)
"""Usual words, the better ones first; compared in lower case without punctuation."""
SHORT_WORDS = ("nt", "ctrl", "mock", "vehicle", "dmso", "scramble", "scrambled", "unperturbed")
"""Words that a number follows only after a sign, as in 'ctrl_1': CTRL1 may be a gene."""
NO_CALL_LABELS = frozenset(
    (
        *("none", "na", "nan", "null", "missing", "unknown", "unassigned", "notassigned", "noassignment", "unmapped"),
        *("undetermined", "undefined", "unidentified", "unclassified", "unlabeled", "unlabelled", "nocall", "nomatch"),
        *("noguide", "noguides", "nosgrna", "nogrna", "nobarcode", "nofeature", "notdetected", "nd", "negative"),
        *("multiplet", "multiplets", "doublet", "doublets", "singletunknown", "multiple", "multi", "multiguide"),
        *("multipleguides", "ambiguous", "lowquality", "discard", "discarded", "filtered", "outlier", "uncertain"),
    )
)
"""Of cells whose perturbation is not known."""
OTHER_CONTROLS = frozenset(
    (
        *("aavs1", "rosa26", "wt", "wildtype", "parental", "untransduced", "untreated", "unedited", "uninfected"),
        *("luciferase", "luc", "lacz", "gfp", "egfp", "rfp", "bfp", "mcherry", "empty", "emptyvector", "blank"),
        *("sgnt", "sgntc", "sgctrl", "sgcontrol", "sgnontargeting", "sgscramble", "safeharbor", "safeharbour"),
    )
)
"""Words that mean no gene: of a second kind of control, or of cells without a guide."""
_NUMBERED = (
    re.compile(r"(?P<word>.*?[A-Za-z])(?P<sign>[-_. #]*)\d+[A-Za-z]?"),
    re.compile(r"(?P<word>.*?[A-Za-z])(?P<sign>[-_. #]*(?:g|sg|guide|sgrna)[-_. #]*)\d+"),
)
_SEPARATORS = ("+", "||", "|", ";", ",", "/", "&", "__", "_")


def plain(text: str) -> str:
    """Lower case without punctuation: how names of columns and control labels are compared."""
    return re.sub(r"[^a-z0-9]", "", text.lower())


@lru_cache(maxsize=2**17)
def control_family(label: str) -> str | None:
    """The word of a control label; None for one that is none. Joined labels are controls where all parts are."""
    if word := _family(label):
        return word
    for sign in _SEPARATORS:
        parts = label.split(sign)
        if len(parts) > 1 and all(parts):
            words = [control_family(part) for part in parts]
            if all(words):
                return min((word for word in words if word), key=CONTROL_LABELS.index)
    return None


def _family(text: str) -> str | None:
    word = plain(text)
    if word in CONTROL_LABELS:
        return word
    for pattern in _NUMBERED:
        if match := pattern.fullmatch(text.strip()):
            word = plain(match["word"])
            if word in CONTROL_LABELS and (match["sign"] or word not in SHORT_WORDS):
                return word
    return None


def is_control_like(label: str) -> bool:
    """Whether a label is a usual name of unperturbed cells; 'ctrl+ctrl' and 'NegCtrl0_NegCtrl3' are too."""
    return control_family(label) is not None


def is_without_call(label: str) -> bool:
    """Whether a label says that the perturbation of its cells is not known."""
    return plain(label) in NO_CALL_LABELS


def is_other_control(label: str) -> bool:
    """Whether a label is a usual word for no gene, such as 'AAVS1', 'WT' or 'luciferase'."""
    return plain(re.sub(r"[-_. ]+\d+$", "", label.strip())) in OTHER_CONTROLS


def matches(label: str, patterns: Iterable[str]) -> bool:
    """Whether a label is one of `patterns`, in which * stands for any text."""
    return any(label == pattern or ("*" in pattern and fnmatchcase(label, pattern)) for pattern in patterns)
