"""Refusals by their codes: sentences may change, codes are what programs and tests go by."""

import pytest

from vccapp.errors import VccAppError


def refusal(kind: type[VccAppError], code: str) -> "pytest.RaisesExc[VccAppError]":
    """The block must raise this kind of error with this code."""
    return pytest.raises(kind, check=lambda error: error.code == code)
